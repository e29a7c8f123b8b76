/** Registries by way of the CLI and a real nyxd: logins in every form, pulls, policies and platforms. */

import assert from "node:assert/strict";
import { buildIndex, busyboxImage, busyboxLayer, pushLayout } from "../support/oci.ts";
import { BASIC_PASSWORD, BASIC_USER, startRegistry } from "../support/registry.ts";
import { startTokenServer } from "../support/token_server.ts";
import { startWorld } from "../support/world.ts";

const TOKEN_USER = "bob";
const TOKEN_PASSWORD = "t0ken pass:word";
const base64 = (text: string) => btoa(text);

Deno.test("nyx login, pull, run, logout: Basic, token and helper logins work, and no secret is in nyxd's log, events, records or files", async (t) => {
  await using world = await startWorld();
  await using basic = await startRegistry({ auth: "basic" });
  await using tokens = await startTokenServer({ users: { [TOKEN_USER]: TOKEN_PASSWORD } });
  await using token = await startRegistry({ auth: { token: tokens.auth } });
  const { nyxd, dir } = world;
  const config = `${dir}/docker`;
  const helpers = `${dir}/helpers`;
  Deno.mkdirSync(helpers);
  const env = { DOCKER_CONFIG: config, PATH: `${helpers}:${Deno.env.get("PATH")}` };
  const nyx = (args: string[], stdin?: string) => nyxd.nyx(args, { env, ...(stdin === undefined ? {} : { stdin }) });
  const registries = [
    { kind: "Basic", host: basic.host, user: BASIC_USER, password: BASIC_PASSWORD },
    { kind: "token", host: token.host, user: TOKEN_USER, password: TOKEN_PASSWORD },
  ];
  const secrets = registries.flatMap(({ user, password }) => [password, base64(`${user}:${password}`)]);
  for (const { kind, host, user, password } of registries) {
    const ref = `${host}/private/app:v1`;
    await pushLayout(`${dir}/layout`, "latest", ref, { credentials: `${user}:${password}` });
    await t.step(`${kind}: refused without a login, which the error names`, async () => {
      const r = await nyx(["run", "--rm", ref, "true"]);
      assert.equal(r.code, 125);
      assert.match(r.stderr, new RegExp(`nyx login ${host}`));
    });
    await t.step(`${kind}: a wrong password is refused and not kept`, async () => {
      const r = await nyx(["login", "-u", user, "--password-stdin", host], "wrong\n");
      assert.equal(r.code, 1);
      assert.match(r.stderr, /refused the user name or password/);
      assert.throws(() => Deno.readTextFileSync(`${config}/config.json`), Deno.errors.NotFound);
    });
    await t.step(`${kind}: after login pull and run work`, async () => {
      const login = await nyx(["login", "-u", user, "--password-stdin", host], `${password}\n`);
      assert.equal(login.code, 0, login.stderr);
      const kept = JSON.parse(Deno.readTextFileSync(`${config}/config.json`));
      const { auth, identitytoken } = kept.auths[host];
      // A token server's refresh token is kept in place of the password, as Docker does.
      assert.equal(auth, base64(kind === "token" ? `${user}:` : `${user}:${password}`));
      if (kind === "token") secrets.push(identitytoken);
      assert.equal(Deno.statSync(`${config}/config.json`).mode! & 0o777, 0o600);
      assert.equal((await nyx(["run", "--rm", "--pull", "always", ref, "echo", "in"])).stdout, "in\n");
      assert.equal((await nyx(["create", "--pull", "always", "--name", `c-${kind}`, ref])).code, 0);
      assert.equal((await nyx(["inspect", `c-${kind}`])).code, 0);
    });
    await t.step(`${kind}: after logout neither does`, async () => {
      assert.equal((await nyx(["logout", host])).code, 0);
      assert.equal(Object.keys(JSON.parse(Deno.readTextFileSync(`${config}/config.json`)).auths ?? {}).length, 0);
      assert.equal((await nyx(["pull", "-q", ref])).code, 1);
      Deno.removeSync(`${config}/config.json`);
    });
    await t.step(
      `${kind}: a credential helper on PATH gives the login, and is asked for its registry alone`,
      async () => {
        const asked = `${dir}/asked`;
        Deno.writeTextFileSync(
          `${helpers}/docker-credential-nyxtest`,
          `#!/bin/sh\nread -r host\necho "$1 $host" >> ${asked}\n` +
            `printf '{"ServerURL":"%s","Username":"%s","Secret":"%s"}' "$host" '${user}' '${password}'\n`,
          { mode: 0o755 },
        );
        Deno.writeTextFileSync(`${config}/config.json`, JSON.stringify({ credHelpers: { [host]: "nyxtest" } }));
        const r = await nyx(["pull", "-q", ref]);
        assert.equal(r.stdout, `${ref}\n`, r.stderr);
        assert.equal((await nyx(["pull", "-q", world.image])).code, 0);
        assert.equal(Deno.readTextFileSync(asked), `get ${host}\n`);
        Deno.removeSync(asked);
        Deno.removeSync(`${config}/config.json`);
      },
    );
  }
  const events = await nyx(["events", "--since", "10m", "--until", "0s", "--format", "json"]);
  const inspected = await nyx(["inspect", "c-Basic", "c-token"]);
  const files = await new Deno.Command("grep", {
    args: ["-rlFs", "--exclude-dir=layers", ...secrets.flatMap((s) => ["-e", s]), nyxd.baseDir],
  }).output();
  assert.equal(new TextDecoder().decode(files.stdout), "");
  for (const secret of [...secrets, "Bearer "]) {
    for (const [where, text] of Object.entries({ events, inspected })) {
      assert.ok(!text.stdout.includes(secret), where);
    }
    assert.ok(!nyxd.log.some((line) => line.includes(secret)), "nyxd's log at level debug");
  }
});

Deno.test("nyx pull from a registry: plain lines without a terminal, -q, --json; --pull always, missing and never; platforms", async (t) => {
  await using world = await startWorld();
  const { nyxd, registry, dir } = world;
  const host = `127.0.0.1:${registry.port}`;
  const platforms = [{ os: "linux", architecture: "amd64" }, { os: "linux", architecture: "arm64", variant: "v8" }];
  const push = async (text: string) => {
    const images = platforms.map((platform) => ({
      layers: [busyboxLayer(), [{ path: "what", data: `${platform.architecture} ${text}\n` }]],
      config: { Cmd: ["cat", "/what"], Env: ["PATH=/bin"] },
      platform,
    }));
    buildIndex(images, { dir: `${dir}/multi-${text}` });
    await pushLayout(`${dir}/multi-${text}`, "latest", `${host}/multi:latest`, { all: true });
  };
  const foreign = Deno.build.arch === "aarch64" ? "amd64" : "arm64";
  const own = foreign === "arm64" ? "amd64" : "arm64";
  const ref = `${host}/multi:latest`;
  const run = (...flags: string[]) => nyxd.nyx(["run", "--rm", ...flags, ref]);
  await push("one");
  await t.step("--pull never: refused with 125 while it is not here", async () => {
    const r = await run("--pull", "never");
    assert.equal(r.code, 125);
    assert.match(r.stderr, /there is no such image here, and pull is "never"/);
  });
  await t.step("plain lines: one a layer, the reference on stdout", async () => {
    const r = await nyxd.nyx(["pull", ref]);
    assert.equal(r.stdout, `${ref}\n`, r.stderr);
    assert.match(
      r.stderr,
      /^Pulling .*\n[0-9a-f]{12}: .* \(1\/2\)\n[0-9a-f]{12}: pulled \d+B \(2\/2\)\nDigest: sha256:/,
    );
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(r.stderr, /[\r\x1b]/);
  });
  await t.step("-q prints the reference alone", async () => {
    const r = await nyxd.nyx(["pull", "-q", ref]);
    assert.deepEqual([r.stdout, r.stderr], [`${ref}\n`, ""]);
  });
  await t.step("--json: one event a line, from begin to done", async () => {
    const r = await nyxd.nyx(["pull", "--json", ref]);
    const phases = r.stdout.trim().split("\n").map((line) => JSON.parse(line).phase);
    assert.equal(phases[0], "begin");
    assert.equal(phases.at(-1), "done");
    for (const phase of ["auth", "manifest", "config", "layer", "meta"]) assert.ok(phases.includes(phase), phase);
    assert.equal(r.stderr, "");
  });
  await t.step("missing keeps what is here when the tag moves, always fetches it, never asks nobody", async () => {
    assert.equal((await run()).stdout, `${own} one\n`);
    await push("two");
    assert.equal((await run()).stdout, `${own} one\n`);
    assert.equal((await run("--pull", "always", "-q")).stdout, `${own} two\n`);
    assert.equal((await run("--pull", "never")).stdout, `${own} two\n`);
  });
  await t.step(
    "--platform takes the other image of the index; without it that one then warns, as Docker does",
    async () => {
      const chosen = await run("-q", "--platform", `linux/${foreign}`);
      assert.equal(chosen.stdout, `${foreign} two\n`);
      assert.equal(chosen.stderr, "");
      const later = await run();
      assert.equal(later.stdout, `${foreign} two\n`);
      assert.match(
        later.stderr,
        new RegExp(`warning: The image is for linux/${foreign} and this host is linux/${own}`),
      );
      assert.equal((await run("-q", "--platform", `linux/${own}`)).stdout, `${own} two\n`);
    },
  );
  await t.step("an image that is not for this host is refused, naming what there is", async () => {
    buildIndex([{ layers: [busyboxLayer()], platform: { os: "linux", architecture: foreign } }], {
      dir: `${dir}/only`,
    });
    await pushLayout(`${dir}/only`, "latest", `${host}/only:latest`, { all: true });
    const r = await nyxd.nyx(["run", "--rm", `${host}/only`]);
    assert.equal(r.code, 125);
    assert.match(r.stderr, new RegExp(`for linux/${own}: it offers linux/${foreign}`));
  });
  await t.step("a tag that is not there: 125 from run, 1 from pull, the registry's words", async () => {
    assert.equal((await nyxd.nyx(["run", "--rm", `${host}/nope`])).code, 125);
    const r = await nyxd.nyx(["pull", `${host}/nope`]);
    assert.equal(r.code, 1);
    assert.match(r.stderr, /Could not find .*nope:latest.*MANIFEST_UNKNOWN|NAME_UNKNOWN/);
  });
  await t.step("bars on a terminal, from a registry", async () => {
    busyboxImage({ dir: `${dir}/bars`, layers: [busyboxLayer(), [{ path: "more", data: "x".repeat(100_000) }]] });
    await pushLayout(`${dir}/bars`, "latest", `${host}/bars:latest`);
    const root = new URL("../../", import.meta.url).pathname;
    const command =
      `stty cols 90; ${Deno.execPath()} run --quiet --no-check --cached-only --config=${root}deno.json -A ` +
      `${root}cli/main.ts --socket ${nyxd.socket} pull ${host}/bars`;
    const { stdout } = await new Deno.Command("script", { args: ["-qec", command, "/dev/null"], stdin: "null" })
      .output();
    const text = new TextDecoder().decode(stdout);
    // deno-lint-ignore no-control-regex
    assert.match(text, /\x1b\[/);
    assert.match(text, /[0-9a-f]{12} done \d+B/);
    assert.match(text, /2\/2 layers +\[=+\] +\d+B\/\d+B/);
  });
});
