/** Images of compose projects, built on the way up: the files are the client's, the images nyx's. */

import assert from "node:assert/strict";
import { startWorld } from "../support/world.ts";

Deno.test("nyx compose build and up --build: services are built from their sections, in order, again when told, and replaced when changed", async (t) => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  await nyxd.nyx(["tag", image, "base"]);
  await world.registry.stop();
  const write = async (path: string, text: string) => {
    await Deno.mkdir(`${dir}/p/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(`${dir}/p/${path}`, text);
  };
  await write(
    "compose.yaml",
    `name: shop
services:
  web:
    build:
      context: ./web
      dockerfile: \${FILE:-my.Dockerfile}
      target: final
      args:
        GREETING: hello
        FROM_ENV:
      additional_contexts:
        common: ./common
        lib: service:lib
      secrets:
        - token
        - source: key
          target: renamed
      labels: [stage=test]
      shm_size: 32m
      ulimits: { nofile: 321 }
      extra_hosts: ["db=10.1.2.3"]
      tags: ["shop/web:extra"]
    command: ["sh", "-c", "cat /all; sleep 1000"]
    stop_grace_period: 0s
  lib:
    build:
      context: .
      dockerfile_inline: |
        FROM base
        RUN echo "from lib" > /lib.txt
    command: ["true"]
  plain:
    image: base
    command: ["true"]
secrets:
  token: { environment: TOKEN }
  key: { file: ./key.txt }
`,
  );
  await write(".env", "TOKEN=envfile-secret\nFROM_ENV=dotenv\n");
  await write("key.txt", "file-secret");
  await write("common/c.txt", "common\n");
  await write("web/.dockerignore", "ignored\n");
  await write("web/ignored", "no");
  await write("web/v.txt", "v1\n");
  await write(
    "web/my.Dockerfile",
    `FROM base AS early
RUN false
FROM base AS final
ARG GREETING
ARG FROM_ENV
COPY . /ctx
COPY --from=common c.txt /
COPY --from=lib /lib.txt /
RUN --mount=type=secret,id=token --mount=type=secret,id=renamed \\
  { echo "$GREETING $FROM_ENV"; ls /ctx; cat /ctx/v.txt /c.txt /lib.txt; wc -c < /run/secrets/token; \\
  wc -c < /run/secrets/renamed; ulimit -n; df -k /dev/shm | awk 'END { print $2 }'; grep db /etc/hosts; } > /all
FROM base AS late
RUN false
`,
  );
  const compose = (...args: string[]) => nyxd.nyx(["compose", "-f", `${dir}/p/compose.yaml`, ...args]);
  const ok = async (...args: string[]) => {
    const result = await compose(...args);
    assert.equal(result.code, 0, `${args.join(" ")}: ${result.stdout}${result.stderr}`);
    return result;
  };
  const all = async () => (await nyxd.nyx(["run", "--rm", "shop-web", "cat", "/all"])).stdout.trim().split("\n");
  const webId = async () => (await ok("ps", "-q", "web")).stdout.trim();

  await t.step("without images up needs a build, which --no-build forbids and the API asks for", async () => {
    const refused = await compose("up", "-d", "--no-build");
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /--no-build was given: lib \(shop-lib\), web \(shop-web\)/);
    const yaml = "services: {a: {build: {context: /x}}}\n";
    await assert.rejects(nyxd.client.compose.up({ project: "p", yaml }), /images are to be built first/);
  });
  await t.step("build makes them, what others use first", async () => {
    const { stderr } = await ok("build", "web");
    assert.match(stderr, /lib \| .*RUN echo "from lib"[^]*web \| .*COPY --from=lib/);
    assert.deepEqual(await all(), [
      "hello dotenv",
      "my.Dockerfile",
      "v.txt",
      "v1",
      "common",
      "from lib",
      "14",
      "11",
      "321",
      "32768",
      "10.1.2.3\tdb",
    ]);
    const made = await nyxd.client.images.inspect("shop-web");
    assert.deepEqual(made.refs.sort(), ["docker.io/library/shop-web:latest", "docker.io/shop/web:extra"]);
    assert.deepEqual(made.config.config?.Labels, {
      stage: "test",
      "com.docker.compose.project": "shop",
      "com.docker.compose.service": "web",
    });
  });
  await t.step("up uses what is there; --build builds, and replaces only what came out differently", async () => {
    await ok("up", "-d");
    const first = await webId();
    await write("web/v.txt", "v2\n");
    const again = await ok("up", "-d");
    assert.doesNotMatch(again.stderr, /STEP/);
    assert.equal(await webId(), first);
    await ok("up", "-d", "--build", "--build");
    const second = await webId();
    assert.notEqual(second, first);
    assert.equal((await all())[3], "v2");
    const unchanged = await ok("up", "-d", "--build");
    assert.match(unchanged.stderr, /Using cache/);
    assert.equal(await webId(), second);
  });
  await t.step("a build that fails names its service, and what runs goes on", async () => {
    const before = await webId();
    const failed = await compose("build", "--build-arg", "GREETING=x", "-q", "web");
    assert.equal(failed.code, 0, failed.stderr);
    await write("web/my.Dockerfile", "FROM base AS final\nRUN exit 9\n");
    const broken = await compose("up", "-d", "--build");
    assert.equal(broken.code, 1);
    assert.match(broken.stderr, /Service web: Could not build: .*RUN exit 9.*exit status 9/);
    assert.equal(await webId(), before);
  });
  await ok("down", "--rmi", "local");
});

Deno.test("nyx compose config --resolve-image-digests: the digest that the registry gave, or which image has none", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  await Deno.writeTextFile(
    `${dir}/compose.yaml`,
    `name: p\nservices: {a: {image: "${image}"}, b: {image: "\${B:-${image}}"}}\n`,
  );
  const config = (flag: string, env = {}) =>
    nyxd.nyx(["compose", "-f", `${dir}/compose.yaml`, "config", flag, "--format", "json"], { env });
  const [digest = ""] = (await nyxd.client.images.inspect(image)).digests;
  for (const flag of ["--resolve-image-digests", "--lock-image-digests"]) {
    const { stdout, stderr } = await config(flag);
    const { services } = JSON.parse(stdout);
    assert.deepEqual([services.a.image, services.b.image], [digest, digest], stderr);
    assert.equal("networks" in services.a, flag.startsWith("--resolve"));
  }
  const none = await config("--resolve-image-digests", { B: "nobody/has:it" });
  assert.equal(none.code, 1);
  assert.match(none.stderr, /known of nobody\/has:it: pull first/);
});
