import { strict as assert } from "node:assert";
import { NyxError } from "../daemon/spec/errors.ts";
import { eraseCredentials, lookupCredentials, storeCredentials } from "./credentials.ts";

interface Setup {
  configDir: string;
  path: string;
  write(config: unknown): void;
  read(): Record<string, unknown>;
}

async function withConfig(run: (s: Setup) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "nyx-credentials-" });
  const configDir = `${dir}/config`;
  const path = `${configDir}/config.json`;
  try {
    await run({
      configDir,
      path,
      write: (config) => {
        Deno.mkdirSync(configDir, { recursive: true });
        Deno.writeTextFileSync(path, typeof config === "string" ? config : JSON.stringify(config));
      },
      read: () => JSON.parse(Deno.readTextFileSync(path)),
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Puts a helper of that name on PATH; it keeps secrets in files of its own directory and notes what it is asked. */
async function withHelper(name: string, run: (helperDir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "nyx-helper-" });
  const path = Deno.env.get("PATH") ?? "";
  Deno.writeTextFileSync(
    `${dir}/docker-credential-${name}`,
    `#!/bin/sh
input=$(cat); printf '%s %s\\n' "$1" "$input" >>${dir}/asked
case $1 in
get) [ -f ${dir}/secret ] && cat ${dir}/secret || { echo "credentials not found in native keychain"; exit 1; } ;;
store) printf '%s' "$input" >${dir}/secret ;;
erase) rm -f ${dir}/secret ;;
esac
`,
    { mode: 0o755 },
  );
  Deno.env.set("PATH", `${dir}:${path}`);
  try {
    await run(dir);
  } finally {
    Deno.env.set("PATH", path);
    await Deno.remove(dir, { recursive: true });
  }
}

const b64 = (text: string) => btoa(text);

Deno.test("lookupCredentials: auths by host, by URL, and docker.io under its own key", async () => {
  await withConfig(async (s) => {
    const { configDir } = s;
    assert.equal(await lookupCredentials("ghcr.io", { configDir }), undefined, "no file");
    s.write({
      auths: {
        "ghcr.io": { auth: b64("alice:p:w:d") },
        "https://quay.io/v2/": { auth: b64("bob:x") },
        "https://index.docker.io/v1/": { auth: b64("carol:y") },
        "localhost:5000": { auth: b64("dave:"), identitytoken: "refresh" },
        "empty.io": {},
        "plain.io": { username: "eve", password: "z" },
        "broken.io": { auth: "%%%" },
      },
    });
    assert.deepEqual(await lookupCredentials("ghcr.io", { configDir }), { username: "alice", password: "p:w:d" });
    assert.deepEqual(await lookupCredentials("quay.io", { configDir }), { username: "bob", password: "x" });
    assert.deepEqual(await lookupCredentials("docker.io", { configDir }), { username: "carol", password: "y" });
    assert.deepEqual(await lookupCredentials("localhost:5000", { configDir }), {
      username: "dave",
      identityToken: "refresh",
    });
    assert.deepEqual(await lookupCredentials("plain.io", { configDir }), { username: "eve", password: "z" });
    for (
      const host of [
        "empty.io",
        "broken.io",
        "localhost",
        "localhost:5001",
        "evil-ghcr.io",
        "ghcr.io.evil",
        "__proto__",
      ]
    ) {
      assert.equal(await lookupCredentials(host, { configDir }), undefined, host);
    }
  });
});

Deno.test("storeCredentials: mode 0600, foreign keys kept, what was stored is found, old spellings replaced", async () => {
  await withConfig(async (s) => {
    const { configDir } = s;
    const created = await storeCredentials("ghcr.io", { username: "ü", password: "pä:ss" }, { configDir });
    assert.ok(created.includes(s.path), created);
    assert.equal(Deno.statSync(s.path).mode, 0o100600);
    assert.deepEqual(await lookupCredentials("ghcr.io", { configDir }), { username: "ü", password: "pä:ss" });
    s.write({
      psFormat: "x",
      auths: { "https://quay.io": { auth: b64("old:old") }, other: { auth: b64("a:b"), email: "e" } },
    });
    await storeCredentials("quay.io", { username: "new", password: "pw" }, { configDir });
    await storeCredentials("docker.io", { username: "u", identityToken: "refresh" }, { configDir });
    assert.deepEqual(s.read(), {
      psFormat: "x",
      auths: {
        other: { auth: b64("a:b"), email: "e" },
        "quay.io": { auth: b64("new:pw") },
        "https://index.docker.io/v1/": { auth: b64("u:"), identitytoken: "refresh" },
      },
    });
    assert.deepEqual([...Deno.readDirSync(configDir)].map((e) => e.name), ["config.json"]);
  });
});

Deno.test("eraseCredentials: removes every spelling and nothing else", async () => {
  await withConfig(async (s) => {
    const { configDir } = s;
    s.write({ auths: { "quay.io": {}, "https://quay.io/v1/": { auth: b64("a:b") }, "ghcr.io": { auth: b64("c:d") } } });
    assert.equal(await eraseCredentials("quay.io", { configDir }), true);
    assert.equal(await eraseCredentials("quay.io", { configDir }), false);
    assert.deepEqual(s.read(), { auths: { "ghcr.io": { auth: b64("c:d") } } });
  });
});

Deno.test("storeCredentials: a config.json that is a symbolic link stays one", async () => {
  await withConfig(async (s) => {
    s.write({});
    const real = `${s.configDir}/../real.json`;
    Deno.renameSync(s.path, real);
    Deno.symlinkSync(real, s.path);
    await storeCredentials("ghcr.io", { username: "a", password: "b" }, { configDir: s.configDir });
    assert.ok(Deno.lstatSync(s.path).isSymlink);
    assert.deepEqual(await lookupCredentials("ghcr.io", { configDir: s.configDir }), { username: "a", password: "b" });
  });
});

Deno.test("credentials: credHelpers and credsStore speak the helper protocol, and no secret lands in the file", async () => {
  await withConfig((s) =>
    withHelper("nyxtest", async (helperDir) => {
      const { configDir } = s;
      for (const config of [{ credsStore: "nyxtest" }, { credHelpers: { "https://index.docker.io/v1/": "nyxtest" } }]) {
        s.write(config);
        assert.equal(await lookupCredentials("docker.io", { configDir }), undefined);
        const stored = await storeCredentials("docker.io", { username: "u", password: "s3cret" }, { configDir });
        assert.equal(stored, "The login is kept by docker-credential-nyxtest");
        assert.ok(!Deno.readTextFileSync(s.path).includes(b64("u:s3cret")));
        assert.deepEqual(await lookupCredentials("docker.io", { configDir }), { username: "u", password: "s3cret" });
        await storeCredentials("docker.io", { username: "u", identityToken: "refresh" }, { configDir });
        assert.deepEqual(await lookupCredentials("docker.io", { configDir }), { identityToken: "refresh" });
        assert.equal(await eraseCredentials("docker.io", { configDir }), true);
        assert.equal(await lookupCredentials("docker.io", { configDir }), undefined);
      }
      const asked = Deno.readTextFileSync(`${helperDir}/asked`).split("\n");
      assert.equal(asked[0], "get https://index.docker.io/v1/");
      assert.ok(
        asked.includes('store {"ServerURL":"https://index.docker.io/v1/","Username":"<token>","Secret":"refresh"}'),
      );
    })
  );
});

Deno.test("credentials: a broken file or helper is failed_precondition, without its content in the message", async () => {
  await withConfig(async (s) => {
    const { configDir } = s;
    const refused = (run: () => Promise<unknown>, message: RegExp) =>
      assert.rejects(
        run,
        (e) =>
          e instanceof NyxError && e.code === "failed_precondition" && message.test(e.message) &&
          !/s3cret/.test(e.message),
      );
    s.write('{"auths": "s3cret"');
    await refused(() => lookupCredentials("x.io", { configDir }), /not a JSON object/);
    await refused(
      () => storeCredentials("x.io", { username: "a", password: "s3cret" }, { configDir }),
      /not a JSON object/,
    );
    assert.equal(Deno.readTextFileSync(s.path), '{"auths": "s3cret"', "a broken file is not overwritten");
    s.write({ credsStore: "nyx-missing" });
    await refused(() => lookupCredentials("x.io", { configDir }), /docker-credential-nyx-missing: it is not installed/);
    s.write({ credsStore: "../../bin/evil" });
    await refused(() => lookupCredentials("x.io", { configDir }), /Invalid credential helper/);
  });
});
