import { strict as assert } from "node:assert";
import { digestOf } from "../../daemon/spec/digest_verifier.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { MEDIA_TYPES } from "../../daemon/spec/image.ts";
import { parsePlatform } from "../../daemon/spec/platform.ts";
import { startFlakyProxy } from "../support/flaky_proxy.ts";
import { type PullWorker, startTestPullWorker } from "../support/pull_worker.ts";
import { type Registry, startRegistry } from "../support/registry.ts";
import { putBlob, putImage, putManifest, randomBytes } from "../support/registry_content.ts";

async function failure(promise: Promise<unknown>): Promise<NyxError> {
  try {
    await promise;
  } catch (e) {
    assert.ok(e instanceof NyxError, `not a NyxError: ${e}`);
    return e;
  }
  throw new Error("it did not fail");
}

function resolve(worker: PullWorker, ref: string, platform = "linux/amd64") {
  return worker.host.call("resolve", { ref, platform: parsePlatform(platform) });
}

/** Pushes an index of one image for each platform, and gives the manifests' digests by platform. */
async function putIndex(registry: Registry, platforms: string[], mediaType: string) {
  const target = { host: registry.host, repository: "multi" };
  const manifests = [];
  const digests: Record<string, string> = {};
  for (const text of platforms) {
    const { architecture, os, variant } = parsePlatform(text);
    const image = await putImage(target, { layers: [randomBytes(100)], tag: text.replaceAll("/", "-"), architecture });
    digests[text] = image.manifestDigest;
    manifests.push({
      mediaType: MEDIA_TYPES.ociManifest,
      digest: image.manifestDigest,
      size: image.manifestBytes.length,
      platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
    });
  }
  const index = await putManifest(target, "latest", { schemaVersion: 2, mediaType, manifests });
  return { ref: `${registry.host}/multi:latest`, index, digests };
}

Deno.test("resolve: OCI and Docker schema 2, by tag, digest and both, with exact bytes", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  for (const docker of [false, true]) {
    const image = await putImage({ host: registry.host, repository: "app" }, { layers: [randomBytes(50)], docker });
    const name = `${registry.host}/app`;
    for (const ref of [image.ref, `${name}@${image.manifestDigest}`, `${name}:gone@${image.manifestDigest}`]) {
      const got = await resolve(worker, ref);
      assert.equal(got.manifestDigest, image.manifestDigest);
      assert.deepEqual(got.manifestBytes, image.manifestBytes);
      assert.equal(got.manifestMediaType, docker ? MEDIA_TYPES.dockerManifest : MEDIA_TYPES.ociManifest);
      assert.equal(digestOf(got.configBytes), image.config.digest);
      assert.equal(got.indexDigest, undefined);
    }
    assert.deepEqual(await worker.host.call("head", { ref: image.ref }), { digest: image.manifestDigest });
  }
});

Deno.test("resolve: chooses platform and variant from OCI indexes and manifest lists, and says what is offered", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  for (const mediaType of [MEDIA_TYPES.ociIndex, MEDIA_TYPES.dockerList]) {
    const { ref, index, digests } = await putIndex(registry, ["linux/amd64", "linux/arm64", "linux/arm/v7"], mediaType);
    const amd = await resolve(worker, ref);
    assert.equal(amd.manifestDigest, digests["linux/amd64"]);
    assert.equal(amd.indexDigest, index.digest);
    assert.equal(amd.indexMediaType, mediaType);
    assert.equal(digestOf(amd.indexBytes ?? new Uint8Array()), index.digest);
    assert.equal((await resolve(worker, ref, "linux/arm64/v8")).manifestDigest, digests["linux/arm64"]);
    assert.equal((await resolve(worker, ref, "linux/arm/v7")).manifestDigest, digests["linux/arm/v7"]);
    assert.deepEqual(await worker.host.call("head", { ref }), { digest: index.digest });
    const none = await failure(resolve(worker, ref, "linux/s390x"));
    assert.equal(none.code, "not_found");
    assert.match(none.message, /linux\/s390x: it offers linux\/amd64, linux\/arm64, linux\/arm\/v7\. .*--platform/);
  }
});

Deno.test("resolve: a single image for another platform is refused, an index in an index is followed", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  const target = { host: registry.host, repository: "multi" };
  const arm = await putImage(target, { layers: [], tag: "arm", architecture: "arm64" });
  const error = await failure(resolve(worker, arm.ref));
  assert.equal(error.code, "not_found");
  assert.match(error.message, /offers linux\/arm64/);
  const { index, digests } = await putIndex(registry, ["linux/amd64"], MEDIA_TYPES.ociIndex);
  const { bytes: _, ...descriptor } = index;
  await putManifest(target, "nested", { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [descriptor] });
  const nested = await resolve(worker, `${registry.host}/multi:nested`);
  assert.equal(nested.manifestDigest, digests["linux/amd64"]);
});

Deno.test("resolve: not_found for a missing tag and a missing repository, invalid_argument for a bad reference", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  await putImage({ host: registry.host, repository: "app" }, { layers: [] });
  for (const name of ["app:none", "none:latest"]) {
    const error = await failure(resolve(worker, `${registry.host}/${name}`));
    assert.equal(error.code, "not_found");
    assert.match(error.message, new RegExp(name));
    assert.equal((await failure(worker.host.call("head", { ref: `${registry.host}/${name}` }))).code, "not_found");
  }
  assert.equal((await failure(resolve(worker, "../etc/passwd"))).code, "invalid_argument");
});

Deno.test("head: asks by GET where HEAD is refused or gives no digest", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  const image = await putImage({ host: registry.host, repository: "app" }, { layers: [] });
  await using proxy = startFlakyProxy(registry.host);
  const ref = image.ref.replace(registry.host, proxy.host);
  for (const status of [405, 200]) {
    proxy.misbehave = (r) => r.method === "HEAD" ? { kind: "respond", status } : undefined;
    assert.deepEqual(await worker.host.call("head", { ref }), { digest: image.manifestDigest });
  }
});

Deno.test("attack: a manifest other than the digest asked for, or than the registry's own header says, is refused", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  const target = { host: registry.host, repository: "app" };
  const good = await putImage(target, { layers: [randomBytes(10)] });
  const evil = await putImage(target, { layers: [randomBytes(20)], tag: "evil" });
  await using proxy = startFlakyProxy(registry.host);
  const name = good.ref.replace(registry.host, proxy.host).replace(":latest", "");
  const answer = (headers: Record<string, string>) => {
    proxy.misbehave = (r) =>
      r.path.includes("/manifests/")
        ? {
          kind: "respond",
          status: 200,
          headers: { "content-type": MEDIA_TYPES.ociManifest, ...headers },
          body: evil.manifestBytes,
        }
        : undefined;
  };
  answer({ "docker-content-digest": good.manifestDigest });
  assert.equal((await failure(resolve(worker, `${name}@${good.manifestDigest}`))).code, "data_loss");
  assert.equal((await failure(resolve(worker, `${name}:latest`))).code, "data_loss");
  answer({});
  assert.equal((await failure(resolve(worker, `${name}:latest@${good.manifestDigest}`))).code, "data_loss");
  assert.equal((await resolve(worker, `${name}:latest`)).manifestDigest, evil.manifestDigest, "a tag may move");
});

Deno.test("attack: wrong config bytes, wrong sizes in descriptors, and too few diffIDs are refused", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  const target = { host: registry.host, repository: "app" };
  const image = await putImage(target, { layers: [randomBytes(10), randomBytes(10)] });
  await using proxy = startFlakyProxy(registry.host);
  const ref = image.ref.replace(registry.host, proxy.host);
  proxy.misbehave = (r) => r.path.includes("/blobs/") ? { kind: "corrupt", at: 3 } : undefined;
  assert.equal((await failure(resolve(worker, ref))).code, "data_loss");
  proxy.misbehave = () => undefined;
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: image.config };
  await putManifest(target, "few", { ...manifest, layers: image.layers.slice(1) });
  assert.match((await failure(resolve(worker, `${registry.host}/app:few`))).message, /2 diff_ids .* 1 layers/);
  const config = { ...image.config, size: image.config.size + 1 };
  proxy.misbehave = (r) =>
    r.path.includes("/manifests/")
      ? { kind: "respond", status: 200, body: JSON.stringify({ ...manifest, config, layers: image.layers }) }
      : undefined;
  assert.equal((await failure(resolve(worker, ref))).code, "data_loss");
});

Deno.test("attack: an endless or oversized manifest is cut off", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  await using proxy = startFlakyProxy(registry.host, () => ({
    kind: "respond",
    status: 200,
    body: new Uint8Array(5 * 1024 * 1024),
  }));
  const error = await failure(resolve(worker, `${proxy.host}/app:latest`));
  assert.equal(error.code, "resource_exhausted");
  assert.match(error.message, /larger than/);
});

Deno.test("attack: an index whose entry has another size or type than what it leads to is refused", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  const target = { host: registry.host, repository: "app" };
  const image = await putImage(target, { layers: [] });
  await using proxy = startFlakyProxy(registry.host);
  const entry = {
    mediaType: MEDIA_TYPES.ociManifest,
    digest: image.manifestDigest,
    size: image.manifestBytes.length,
    platform: { os: "linux", architecture: "amd64" },
  };
  for (const wrong of [{ size: 5 }, { size: 2 ** 50 }, { mediaType: MEDIA_TYPES.dockerManifest }]) {
    const body = JSON.stringify({ schemaVersion: 2, manifests: [{ ...entry, ...wrong }] });
    proxy.misbehave = (r) => r.path.endsWith("/latest") ? { kind: "respond", status: 200, body } : undefined;
    const error = await failure(resolve(worker, `${proxy.host}/app:latest`));
    assert.ok(["data_loss", "resource_exhausted"].includes(error.code), error.message);
  }
});

Deno.test("resolve: cut connections, 5xx and 429 are repeated, a config behind a redirect is followed", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  const image = await putImage({ host: registry.host, repository: "app" }, { layers: [] });
  await using elsewhere = startFlakyProxy(registry.host);
  await using proxy = startFlakyProxy(registry.host);
  proxy.misbehave = (r, count) => {
    if (r.path.includes("/blobs/")) return { kind: "redirect", to: `http://${elsewhere.host}`, status: 302 };
    if (count === 1) return { kind: "cut", after: 20 };
    return count === 2 ? { kind: "respond", status: 502 } : undefined;
  };
  const got = await resolve(worker, image.ref.replace(registry.host, proxy.host));
  assert.equal(got.manifestDigest, image.manifestDigest);
  assert.equal(elsewhere.requests.length, 1);
  proxy.misbehave = () => ({ kind: "redirect", to: `http://${proxy.host}` });
  assert.match((await failure(resolve(worker, `${proxy.host}/app:latest`))).message, /redirects more than/);
  proxy.misbehave = () => ({ kind: "redirect", to: "file://" });
  assert.match((await failure(resolve(worker, `${proxy.host}/app:latest`))).message, /scheme file:/);
});

Deno.test("resolve: what skopeo calls the digest is what nyx calls it", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  await putBlob({ host: registry.host, repository: "app" }, randomBytes(1));
  const image = await putImage({ host: registry.host, repository: "app" }, { layers: [randomBytes(99)], docker: true });
  const { stdout, success } = await new Deno.Command("skopeo", {
    args: ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", `docker://${image.ref}`],
  }).output();
  assert.ok(success);
  assert.equal((await resolve(worker, image.ref)).manifestDigest, new TextDecoder().decode(stdout).trim());
});
