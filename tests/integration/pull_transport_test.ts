import { strict as assert } from "node:assert";
import { NyxError } from "../../daemon/spec/errors.ts";
import { startFlakyProxy } from "../support/flaky_proxy.ts";
import { startTestPullWorker } from "../support/pull_worker.ts";
import { BASIC_PASSWORD, BASIC_USER, startRegistry } from "../support/registry.ts";
import { putImage, randomBytes } from "../support/registry_content.ts";

const PLATFORM = { os: "linux", architecture: "amd64" };
const USER = { username: BASIC_USER, password: BASIC_PASSWORD };
const BASIC = `Basic ${btoa(`${BASIC_USER}:${BASIC_PASSWORD}`)}`;

async function failure(promise: Promise<unknown>): Promise<NyxError> {
  try {
    await promise;
  } catch (e) {
    assert.ok(e instanceof NyxError, `not a NyxError: ${e}`);
    return e;
  }
  throw new Error("it did not fail");
}

/** Puts TLS with a self-signed certificate before a registry, and notes what credentials come. */
async function startTls(
  target: string,
): Promise<AsyncDisposable & { host: string; authorizations: (string | null)[] }> {
  const dir = await Deno.makeTempDir({ prefix: "nyx-tls-" });
  const { success } = await new Deno.Command("openssl", {
    args: [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
      ...["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
      ...["-keyout", `${dir}/key.pem`, "-out", `${dir}/cert.pem`],
    ],
    stderr: "null",
  }).output();
  assert.ok(success, "openssl could not make a certificate");
  const authorizations: (string | null)[] = [];
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    cert: Deno.readTextFileSync(`${dir}/cert.pem`),
    key: Deno.readTextFileSync(`${dir}/key.pem`),
    onListen: () => {},
  }, async (request) => {
    const url = new URL(request.url);
    authorizations.push(request.headers.get("authorization"));
    const headers = new Headers(request.headers);
    headers.delete("host");
    const upstream = await fetch(`http://${target}${url.pathname}${url.search}`, { method: request.method, headers });
    return new Response(upstream.body, { status: upstream.status, headers: upstream.headers });
  });
  return {
    host: `127.0.0.1:${server.addr.port}`,
    authorizations,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

Deno.test("insecure: https with an unknown certificate works when allowed, with logins and resume, else it is refused", async () => {
  await using registry = await startRegistry({ auth: "basic" });
  await using tls = await startTls(registry.host);
  await using worker = await startTestPullWorker();
  const image = await putImage({ host: registry.host, repository: "app", authorization: BASIC }, {
    layers: [randomBytes(1_500_000)],
  });
  const ref = image.ref.replace(registry.host, tls.host);
  const access = { ref, credentials: USER, insecure: true };
  assert.equal(
    (await worker.host.call("resolve", { ...access, platform: PLATFORM })).manifestDigest,
    image.manifestDigest,
  );
  const [layer] = image.layers;
  assert.ok(layer !== undefined);
  const whole = Deno.readFileSync(registry.blobPath(layer.digest));
  Deno.writeFileSync(worker.ingestPath(layer.digest), whole.subarray(0, 700_000));
  const got = await worker.host.call("fetchBlob", { ...access, descriptor: layer });
  assert.equal(got.downloaded, layer.size - 700_000);
  assert.deepEqual(await worker.host.call("login", { registry: tls.host, credentials: USER, insecure: true }), {});
  tls.authorizations.length = 0;
  const strict = await failure(
    worker.host.call("resolve", { ref, platform: PLATFORM }),
  );
  assert.ok(["unavailable", "failed_precondition"].includes(strict.code), strict.message);
  assert.deepEqual(tls.authorizations, [], "a loopback host is spoken to in plain http unless allowed otherwise");
});

Deno.test("insecure: plain http where nothing speaks https", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  const image = await putImage({ host: registry.host, repository: "app" }, { layers: [] });
  const got = await worker.host.call("resolve", { ref: image.ref, platform: PLATFORM, insecure: true });
  assert.equal(got.manifestDigest, image.manifestDigest);
});

Deno.test("https: a host that is not loopback is spoken to in https alone, and an untrusted certificate is named", async () => {
  await using registry = await startRegistry();
  await using tls = await startTls(registry.host);
  await using worker = await startTestPullWorker();
  const port = tls.host.split(":")[1];
  // 0.0.0.0 reaches this machine but is no loopback address by name.
  const untrusted = await failure(
    worker.host.call("resolve", { ref: `0.0.0.0:${port}/app:latest`, platform: PLATFORM, credentials: USER }),
  );
  assert.equal(untrusted.code, "failed_precondition");
  assert.match(untrusted.message, /certificate.*insecure/);
  const plain = await failure(
    worker.host.call("resolve", { ref: `0.0.0.0:${registry.port}/app:latest`, platform: PLATFORM, credentials: USER }),
  );
  assert.equal(plain.code, "failed_precondition");
  assert.match(plain.message, /plain http.*insecure/);
  assert.deepEqual(tls.authorizations, []);
  const insecure = await worker.host.call("resolve", {
    ref: `0.0.0.0:${registry.port}/app:latest`,
    platform: PLATFORM,
    insecure: true,
  }).catch((e: NyxError) => e.code);
  assert.equal(insecure, "not_found", "allowed as insecure it is reached");
});

Deno.test("loopback: by the name localhost, and on a port that fetch refuses", async () => {
  const storage = await Deno.makeTempDir({ prefix: "nyx-storage-" });
  try {
    await using registry = await startRegistry({ storage });
    await using worker = await startTestPullWorker();
    const image = await putImage({ host: registry.host, repository: "app" }, { layers: [randomBytes(300_000)] });
    const ref = `localhost:${registry.port}/app:latest`;
    const byName = await worker.host.call("resolve", { ref, platform: PLATFORM });
    assert.equal(byName.manifestDigest, image.manifestDigest);
    await registry.stop();
    await using blocked = await startRegistry({ storage, port: 6566 });
    await assert.rejects(fetch(`http://${blocked.host}/v2/`), /blocked/);
    const access = { ref: `${blocked.host}/app:latest` };
    const got = await worker.host.call("resolve", { ...access, platform: PLATFORM });
    assert.equal(got.manifestDigest, image.manifestDigest);
    const [layer] = image.layers;
    assert.ok(layer !== undefined);
    assert.equal((await worker.host.call("fetchBlob", { ...access, descriptor: layer })).downloaded, layer.size);
  } finally {
    await Deno.remove(storage, { recursive: true });
  }
});

Deno.test("proxy: HTTP_PROXY is used for other hosts, never for a loopback registry, and NO_PROXY is honoured", async () => {
  await using registry = await startRegistry();
  const image = await putImage({ host: registry.host, repository: "app" }, { layers: [] });
  await using proxy = startFlakyProxy(registry.host, () => ({ kind: "respond", status: 404 }));
  const code = `
    import { startTestPullWorker } from ${JSON.stringify(new URL("../support/pull_worker.ts", import.meta.url).href)};
    await using worker = await startTestPullWorker();
    const platform = { os: "linux", architecture: "amd64" };
    for (const ref of ${JSON.stringify([image.ref, "0.0.0.0:81/app:latest", "proxied.invalid/app:latest"])}) {
      const result = worker.host.call("resolve", { ref, platform, insecure: !ref.startsWith("127") });
      console.log(await result.then((r) => r.manifestDigest, (e) => e.code));
    }`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--config", new URL("../../deno.json", import.meta.url).pathname, "-"],
    env: { HTTP_PROXY: `http://${proxy.host}`, NO_PROXY: "0.0.0.0" },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(code));
  await writer.close();
  const { stdout } = await child.output();
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  assert.deepEqual(lines, [image.manifestDigest, "unavailable", "not_found"]);
  assert.ok(proxy.requests.length > 0);
});
