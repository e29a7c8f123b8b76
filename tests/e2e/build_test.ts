/** Builds by a real nyxd and buildah: what a Dockerfile says ends in nyx's store, with no registry reachable. */

import assert from "node:assert/strict";
import type { Nyxd } from "../support/daemon.ts";
import { startNyxd } from "../support/daemon.ts";
import { startWorld, type World } from "../support/world.ts";

async function write(dir: string, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await Deno.mkdir(`${dir}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(`${dir}/${path}`, text);
  }
}

async function ok(nyxd: Nyxd, args: string[], options = {}): Promise<{ stdout: string; stderr: string }> {
  const result = await nyxd.nyx(args, options);
  assert.equal(result.code, 0, `nyx ${args.join(" ")}: ${result.stdout}${result.stderr}`);
  return result;
}

const run = async (nyxd: Nyxd, ...args: string[]) => (await ok(nyxd, ["run", "--rm", ...args])).stdout.trim();

async function left(world: World): Promise<string[]> {
  const jobs = await Array.fromAsync(Deno.readDir(`${world.nyxd.baseDir}/build/jobs`)).catch(() => []);
  return jobs.map((j) => j.name);
}

Deno.test("nyx build: stages, arguments, ignored files, secrets and here-documents end in an image with the Dockerfile's config", async (t) => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  const app = `${dir}/app`;
  await ok(nyxd, ["tag", image, "base:1"]);
  // From here on nobody can be asked.
  await world.registry.stop();
  await write(app, {
    "Dockerfile": `ARG V=0
FROM base:\${V} AS build
ARG WHO=nobody
RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /size && echo "hello $WHO" > /greeting
COPY . /src
RUN ls -A /src > /list
FROM not.here.example/unused:9 AS unused
RUN false
FROM base:1
LABEL from=file both=file
ENV A=1
COPY --from=build /size /list /greeting /
COPY --chown=12:34 --chmod=750 run.sh /run.sh
RUN <<EOF
set -e
echo "step \${A}" > /heredoc
id -u >> /heredoc
EOF
RUN cat <<-"TEXT" > /text
	$A stays
	TEXT
COPY <<"CONF" /etc/app.conf
key=$value
CONF
WORKDIR /srv
USER 12:34
EXPOSE 80/tcp
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=7s --timeout=3s --retries=2 CMD test -f /run.sh
ENTRYPOINT ["/run.sh"]
CMD ["one", "two words"]
`,
    ".dockerignore": "*.log\nsecret\n!keep.log\n",
    "run.sh": '#!/bin/sh\necho "$(cat /greeting)|$(id -u):$(id -g)|$PWD|$*"\n',
    "a.log": "no",
    "keep.log": "yes",
    "secret/key": "no",
    "src/x": "1",
  });
  await write(`${dir}/early`, { Containerfile: "FROM base:1 AS early\nENV B=2\n" });
  await Deno.writeTextFile(`${dir}/token`, "s3cret");
  const flags = [
    "-t",
    "app:1",
    "-t",
    "registry.example/me/app",
    "--build-arg",
    "V=1",
    "--build-arg",
    "WHO=world",
    "--label",
    "both=flag",
  ];
  const build = () => ok(nyxd, ["build", ...flags, "--secret", `id=token,src=${dir}/token`, app]);

  await t.step("the image runs as the file says", async () => {
    const { stderr } = await build();
    assert.match(stderr, /STEP .*COPY --from=build/);
    assert.match(stderr, /Built sha256:[0-9a-f]{64}: app:1, registry\.example\/me\/app:latest/);
    assert.equal(await run(nyxd, "app:1"), "hello world|12:34|/srv|one two words");
    assert.equal(
      await run(nyxd, "--entrypoint", "cat", "app:1", "/size", "/list", "/heredoc", "/text", "/etc/app.conf"),
      "6\n.dockerignore\nDockerfile\nkeep.log\nrun.sh\nsrc\nstep 1\n0\n$A stays\nkey=$value",
    );
  });
  await t.step("its config is whole, with the health check that OCI's format does not have", async () => {
    const { config, refs } = await nyxd.client.images.inspect("app:1");
    assert.deepEqual(refs.sort(), ["docker.io/library/app:1", "registry.example/me/app:latest"]);
    const exec = config.config ?? {};
    assert.deepEqual(exec.Healthcheck, {
      Test: ["CMD-SHELL", "test -f /run.sh"],
      Interval: 7e9,
      Timeout: 3e9,
      Retries: 2,
    });
    assert.deepEqual([exec.User, exec.WorkingDir, exec.StopSignal, exec.Entrypoint, exec.Cmd], [
      "12:34",
      "/srv",
      "SIGINT",
      ["/run.sh"],
      ["one", "two words"],
    ]);
    assert.deepEqual([exec.Labels, exec.Volumes, exec.ExposedPorts], [
      { from: "file", both: "flag" },
      { "/data": {} },
      { "80/tcp": {} },
    ]);
    assert.doesNotMatch(JSON.stringify(config), /s3cret|nyx-base/);
  });
  await t.step("the same build gives the same image, from the steps of the first", async () => {
    const { id } = await nyxd.client.images.inspect("app:1");
    const { stderr } = await build();
    assert.match(stderr, /Using cache/);
    assert.equal((await nyxd.client.images.inspect("app:1")).id, id);
  });
  await t.step("a target stops at its stage; -q prints the id alone", async () => {
    const { stdout, stderr } = await ok(nyxd, [
      ...["build", "-q", "--target", "build", "--build-arg", "V=1"],
      ...["--secret", `id=token,src=${dir}/token`, app],
    ]);
    assert.match(stdout, /^sha256:[0-9a-f]{64}\n$/);
    assert.equal(stderr, "");
    assert.equal(await run(nyxd, stdout.trim(), "cat", "/greeting"), "hello nobody");
  });
  await t.step("nothing of a build is left but its steps, which df shows and prune removes", async () => {
    assert.deepEqual(await left(world), []);
    const rows = (await nyxd.client.system.df()).rows;
    assert.ok((rows.find((r) => r.type === "build-cache")?.size ?? 0) > 1_000_000);
    await ok(nyxd, ["builder", "prune", "-f"]);
    assert.equal((await nyxd.client.system.df()).rows.find((r) => r.type === "build-cache")?.size, 0);
    assert.equal(await run(nyxd, "app:1"), "hello world|12:34|/srv|one two words");
    await ok(nyxd, ["build", "-q", "--target", "early", `${dir}/early`]);
    await ok(nyxd, ["system", "prune", "-f"]);
    assert.notEqual((await nyxd.client.system.df()).rows.find((r) => r.type === "build-cache")?.size, 0);
    await ok(nyxd, ["system", "prune", "-a", "-f"]);
    assert.equal((await nyxd.client.system.df()).rows.find((r) => r.type === "build-cache")?.size, 0);
  });
});

Deno.test("nyx build: a stage that is called as its image is the stage; images in COPY and RUN --mount, by tag and digest, are images", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  await ok(nyxd, ["tag", image, "base"]);
  const [digest = ""] = (await nyxd.client.images.inspect(image)).digests;
  await write(`${dir}/s`, {
    Dockerfile: `FROM base AS base
RUN echo stage > /from
FROM \\
  base AS two
RUN cp /from /two
FROM ${digest}
COPY --from=base /from /copied
COPY --from=two /two /
COPY --from=${image} /etc/passwd /pw
RUN --mount=type=bind,from=base,target=/m --mount=type=bind,from=${digest},target=/i cat /m/from > /m1; ls /i/bin/sh > /m2
`,
  });
  await ok(nyxd, ["build", "-t", "named", `${dir}/s`]);
  assert.equal(await run(nyxd, "named", "cat", "/copied", "/two", "/m1", "/m2"), "stage\nstage\nstage\n/i/bin/sh");
});

Deno.test("nyx build: RUN has the network it was given, names of containers resolve, and a lease is not left", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  await nyxd.client.networks.create({ name: "back" });
  await nyxd.client.containers.run({
    image,
    name: "web",
    networkMode: "back",
    args: ["sh", "-c", "mkdir /w; echo found > /w/index.html; exec httpd -f -p 80 -h /w"],
  });
  await write(`${dir}/n`, { Dockerfile: `FROM ${image}\nRUN wget -q -O /got http://web/\n` });
  await ok(nyxd, ["build", "-t", "net", "--network", "back", `${dir}/n`]);
  assert.equal(await run(nyxd, "net", "cat", "/got"), "found");
  await write(`${dir}/none`, { Dockerfile: `FROM ${image}\nRUN ip -o link | wc -l > /links\n` });
  await ok(nyxd, ["build", "-t", "none", "--network", "none", `${dir}/none`]);
  assert.equal(await run(nyxd, "none", "cat", "/links"), "1");
  const missing = await nyxd.nyx(["build", "--network", "nope", `${dir}/n`]);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /No such network: "nope"/);
  await nyxd.client.containers.remove("web", { force: true });
  await nyxd.client.networks.remove("back");
});

Deno.test("nyx build: a failing step names itself and ends with 1; the image that had the name stays; so do builds that are given up", async (t) => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  await write(dir, {
    "bad/Dockerfile": `FROM ${image}\nRUN echo before; echo oops >&2; exit 3\n`,
    "slow/Dockerfile": `FROM ${image}\nRUN sleep 77777\n`,
  });
  await ok(nyxd, ["tag", image, "mine"]);
  const before = (await nyxd.client.images.inspect("mine")).id;
  await t.step("failure", async () => {
    for (const flags of [[], ["-q"]]) {
      const failed = await nyxd.nyx(["build", ...flags, "-t", "mine", `${dir}/bad`]);
      assert.equal(failed.code, 1);
      assert.match(failed.stderr, /oops/);
      assert.match(failed.stderr, /Could not build: .*RUN echo before.*exit status 3/);
    }
    assert.equal((await nyxd.client.images.inspect("mine")).id, before);
  });
  await t.step("a client that goes ends its build with all its processes", async () => {
    const gone = new AbortController();
    const { promise: begun, resolve } = Promise.withResolvers<void>();
    const build = nyxd.client.build.build({ dockerfile: `FROM ${image}\nRUN sleep 77777\n` }, {
      signal: gone.signal,
      onOutput: (_, bytes) => new TextDecoder().decode(bytes).includes("sleep 77777") && resolve(),
    });
    await begun;
    await new Promise((r) => setTimeout(r, 500));
    gone.abort();
    await assert.rejects(build, { code: "canceled" });
    await until("the build's files gone", async () => (await left(world)).length === 0);
    assert.deepEqual(await processes("sleep 77777"), []);
  });
  await t.step("a nyxd that is killed takes its builds along, and the next one cleans up and builds", async () => {
    const child = nyxd.client.build.build({ dockerfile: `FROM ${image}\nRUN sleep 77778\n` });
    child.catch(() => {});
    await until("the step running", async () => (await processes("sleep 77778")).length > 0);
    await nyxd.stop("SIGKILL");
    await assert.rejects(child, { code: "unavailable" });
    await until("the step ended", async () => (await processes("sleep 77778")).length === 0);
    assert.equal((await left(world)).length, 1);
    await using next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
    assert.deepEqual(await left(world), []);
    const { id } = await next.client.build.build({
      dockerfile: `FROM ${image}\nRUN echo again > /a\n`,
      tags: ["again"],
    });
    assert.equal((await next.client.images.inspect("again")).id, id);
  });
});

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await check()) return;
    await new Promise((r) => setTimeout(r, 25));
  }
  assert.fail(`Not within 10 s: ${what}`);
}

/** Command lines of processes that run exactly this. */
async function processes(line: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("pgrep", { args: ["-fx", line], stdout: "piped" }).output();
  return new TextDecoder().decode(stdout).trim().split("\n").filter((l) => l !== "");
}

Deno.test("POST /v1/build: an upload cannot write beside its directory, and what the daemon may read is not the caller's to name", async (t) => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  await t.step("a link that leads out of the context brings no file of the host into the image", async () => {
    await write(`${dir}/evil`, { Dockerfile: `FROM ${image}\nCOPY link /got\nCOPY dir/shadow /got2\n` });
    await Deno.symlink("/etc/shadow", `${dir}/evil/link`);
    await Deno.symlink("/etc", `${dir}/evil/dir`);
    const result = await nyxd.nyx(["build", "-t", "evil", `${dir}/evil`]);
    if (result.code === 0) assert.doesNotMatch(await run(nyxd, "evil", "cat", "/got", "/got2"), /root:/);
  });
  await t.step("members with .. and absolute names are refused, or land inside", async () => {
    const escape = `nyx-escape-${crypto.randomUUID().slice(0, 8)}`;
    await Deno.writeTextFile(`${dir}/f`, "out");
    const tar = await new Deno.Command("tar", {
      args: ["-cf", "-", "-P", "-C", dir, `--transform=s,^f$,0/../../../../../../../../tmp/${escape},`, "f"],
      stdout: "piped",
    }).output();
    await nyxd.client.build.build({ dockerfile: `FROM ${image}\nRUN true\n` }, {
      upload: ReadableStream.from([tar.stdout]),
    }).catch(() => {});
    await assert.rejects(Deno.lstat(`/tmp/${escape}`), Deno.errors.NotFound);
  });
  await t.step("names that would be options or fields of buildah's are refused", async () => {
    const bad: [object, RegExp][] = [
      [{ secrets: [{ id: "x,src=/etc/shadow", content: "" }] }, /secrets\[0\]\.id/],
      [{ ssh: [{ id: "x=/run/agent" }] }, /ssh\[0\]\.id/],
      [{ contexts: [{ name: "etc=/etc" }] }, /contexts\[0\]\.name/],
      [{ target: "--squash" }, /target/],
      [{ network: "ns:/proc/1/ns/net" }, /network|No such/],
      [{ tags: ["-t"] }, /tags\[0\]/],
      [{ extra_hosts: ["a:1.2.3.4 --x"] }, /extra_hosts\[0\]/],
      [{ ulimits: ["nofile=1 --x"] }, /ulimits\[0\]/],
    ];
    for (const [request, message] of bad) {
      const build = nyxd.client.build.build({ dockerfile: `FROM ${image}\n`, ...request });
      await assert.rejects(build, (e: Error) => message.test(e.message), JSON.stringify(request));
    }
  });
  await t.step("FROM with a transport reads no directory of the host", async () => {
    await write(`${dir}/t`, { Dockerfile: `FROM oci:${dir}/layout:latest\n` });
    const result = await nyxd.nyx(["build", `${dir}/t`]);
    assert.equal(result.code, 1, result.stdout);
  });
});

Deno.test("nyx build: an ssh agent is reached through the client, who alone opens its socket", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  // An agent that knows one answer: no identities (SSH_AGENT_IDENTITIES_ANSWER, draft-miller-ssh-agent section 4.4).
  const asked: number[] = [];
  using listener = Deno.listen({ transport: "unix", path: `${dir}/agent` });
  void (async () => {
    for await (const connection of listener) {
      const buffer = new Uint8Array(1024);
      for (let n = await connection.read(buffer); n !== null; n = await connection.read(buffer)) {
        asked.push(buffer[4] ?? 0);
        await connection.write(Uint8Array.of(0, 0, 0, 5, 12, 0, 0, 0, 0));
      }
      connection.close();
    }
  })().catch(() => {});
  await withLibraries("/usr/bin/socat", `${dir}/s/root`);
  const ask = "printf '\\000\\000\\000\\001\\013' | socat -t 5 - UNIX-CONNECT:$SSH_AUTH_SOCK | od -An -tx1 > /answer";
  await write(`${dir}/s`, { Dockerfile: `FROM ${image}\nCOPY root /\nRUN --mount=type=ssh ${ask}\n` });
  await ok(nyxd, ["build", "-t", "agent", "--ssh", `default=${dir}/agent`, `${dir}/s`]);
  assert.equal(await run(nyxd, "agent", "cat", "/answer"), "00 00 00 05 0c 00 00 00 00");
  assert.deepEqual(asked, [11]);
  const bare = await nyxd.nyx(["build", "--ssh", "default", `${dir}/s`], { env: { SSH_AUTH_SOCK: "" } });
  assert.notEqual(bare.code, 0);
  assert.match(bare.stderr, /SSH_AUTH_SOCK is not set/);
});

/** Copies a program with the libraries that it needs. */
async function withLibraries(program: string, to: string): Promise<void> {
  const { stdout } = await new Deno.Command("ldd", { args: [program], stdout: "piped" }).output();
  const files = [program, ...new TextDecoder().decode(stdout).match(/\/\S+(?= \()/g) ?? []];
  for (const file of files) {
    await Deno.mkdir(`${to}${file}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.copyFile(file, `${to}${file}`);
  }
}
