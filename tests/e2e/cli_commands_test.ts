import assert from "node:assert/strict";
import { encodeFrame, FRAME } from "../../mod.ts";
import { install } from "../../cli/packaging/install.ts";
import { nyxdLauncher } from "../../cli/packaging/launchers.ts";
import { cli, fakeDaemon, type Handler, lines, refusal } from "./cli_fake_daemon.ts";

const id = (n: number) => String(n).repeat(64).slice(0, 64);

function container(n: number, name: string) {
  return {
    id: id(n),
    short_id: id(n).slice(0, 12),
    name,
    image: "busybox",
    image_id: "sha256:00",
    command: "sleep 60",
    created: `2026-01-0${n}T00:00:00Z`,
    status: "running",
    status_text: "Up 5 minutes",
    ports: [],
    labels: { tier: "web" },
    networks: ["nyx"],
    mounts: [],
    restart_count: 0,
  };
}

const list: Handler = () => Response.json({ containers: [], items: [container(1, "one"), container(2, "two")] });
const ok: Handler = (_request, url) => Response.json({ ok: true, id: url.pathname.split("/")[3] });

Deno.test("nyx ps: newest first, -q ids, templates, json, filters in the query", async () => {
  await using daemon = fakeDaemon({ "GET /v1/containers": list });
  assert.equal((await cli(daemon, ["ps", "-q"])).stdout, `${id(2).slice(0, 12)}\n${id(1).slice(0, 12)}\n`);
  assert.equal((await cli(daemon, ["ps", "-q", "--no-trunc", "-n", "1"])).stdout, `${id(2)}\n`);
  assert.equal(
    (await cli(daemon, ["ps", "--format", "{{.Names}}\\t{{.Status}}"])).stdout,
    "two\tUp 5 minutes\none\tUp 5 minutes\n",
  );
  const [first] = (await cli(daemon, ["container", "ls", "--format", "json"])).stdout.split("\n");
  assert.equal((JSON.parse(first ?? "") as { Names: string }).Names, "two");
  await cli(daemon, ["ps", "-a", "-f", "status=exited", "--filter", "label=tier=web"]);
  assert.equal(
    daemon.requests.at(-1),
    "GET /v1/containers?detail=true&all=true&filter=status=exited&filter=label=tier=web",
  );
  const wrong = await cli(daemon, ["ps", "-f", "stauts=running"]);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /Invalid filter "stauts=running".*Did you mean "status"\?/);
});

Deno.test("nyx stop: acts on all, prints in order, tells each failure, exits with 1", async () => {
  await using daemon = fakeDaemon({
    "POST /v1/containers/one/stop": async (request, url) => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      return ok(request, url);
    },
    "POST /v1/containers/gone/stop": () =>
      refusal({ code: "not_found", message: 'No container "gone". Did you mean "one"?' }),
    "POST /v1/containers/two/stop": ok,
  });
  assert.deepEqual(await cli(daemon, ["stop", "-t", "3", "-s", "int", "one", "gone", "two"]), {
    code: 1,
    stdout: "one\ntwo\n",
    stderr: 'nyx: No container "gone". Did you mean "one"?\n',
  });
  assert.deepEqual(daemon.bodies, [1, 2, 3].map(() => ({ timeoutS: 3, signal: "SIGINT" })));
});

Deno.test("nyx rm -f: what is not there is no error; without -f it is", async () => {
  const gone: Handler = () => refusal({ code: "not_found", message: "No such container" });
  await using daemon = fakeDaemon({ "POST /v1/containers/x/remove": gone });
  assert.deepEqual(await cli(daemon, ["rm", "-f", "x"]), { code: 0, stdout: "", stderr: "" });
  assert.equal((await cli(daemon, ["rm", "x"])).code, 1);
});

Deno.test("nyx logs: stdout and stderr apart, query from the flags", async () => {
  const frames = [[FRAME.stdout, "a\n"], [FRAME.stderr, "b\n"], [FRAME.stdout, "c\n"]] as const;
  await using daemon = fakeDaemon({
    "GET /v1/containers/web/logs": () =>
      new Response(new Blob(frames.map(([kind, text]) => encodeFrame(kind, new TextEncoder().encode(text))))),
  });
  assert.deepEqual(await cli(daemon, ["logs", "-n", "10", "--since", "2026-01-01T00:00:00.5Z", "web"]), {
    code: 0,
    stdout: "a\nc\n",
    stderr: "b\n",
  });
  assert.equal(
    daemon.requests[0],
    "GET /v1/containers/web/logs?follow=false&timestamps=false&tail=10&since=2026-01-01T00:00:00.5Z&format=frames",
  );
  assert.match((await cli(daemon, ["logs", "--tail", "x", "web"])).stderr, /Invalid tail "x"/);
});

Deno.test("nyx: without a daemon it says where it looked and how to start it", async () => {
  await using daemon = fakeDaemon({});
  const { code, stderr } = await cli(daemon, ["--socket", `${daemon.dir}/none.sock`, "ps"]);
  assert.equal(code, 1);
  assert.match(stderr, /^nyx: Cannot reach nyxd at .*none\.sock: there is no such socket\. Start it with/);
});

Deno.test("nyx: unknown commands and options exit with 2 and a suggestion; --debug shows the cause", async () => {
  await using daemon = fakeDaemon({
    "POST /v1/containers/x/start": () =>
      refusal({
        code: "internal",
        message: "Start failed",
        op: "container.start",
        cause: { code: "internal", message: "beneath" },
      }),
  });
  const unknown = await cli(daemon, ["imgaes"]);
  assert.deepEqual([unknown.code, unknown.stderr], [
    2,
    `nyx: "nyx imgaes" is not a nyx command. Did you mean "nyx images"?\nSee 'nyx help'.\n`,
  ]);
  const nested = await cli(daemon, ["image", "purne"]);
  assert.match(nested.stderr, /"nyx image purne" is not a nyx command. Did you mean "nyx image prune"\?/);
  const option = await cli(daemon, ["ps", "--al"]);
  assert.deepEqual([option.code, option.stderr], [
    2,
    `nyx: Unknown option --al. Did you mean "--all"?\nSee 'nyx ps --help'.\n`,
  ]);
  const plain = await cli(daemon, ["start", "x"]);
  assert.equal(plain.stderr, "nyx: Start failed\n");
  const debug = await cli(daemon, ["--debug", "start", "x"]);
  assert.match(debug.stderr, /container\.start/);
  assert.match(debug.stderr, /caused by: beneath/);
});

Deno.test("nyx: every command has help, on standard output with code 0, and completion reads it", async () => {
  const { COMMANDS } = await import("../../cli/commands/table.ts");
  const { commandHelp } = await import("../../cli/args/help.ts");
  const visit = async (table: typeof COMMANDS, path: string[]) => {
    for (const [name, node] of Object.entries(table)) {
      if (node.children !== undefined) await visit(node.children, [...path, name]);
      if (node.load === undefined) continue;
      const { command } = await node.load();
      const text = commandHelp([...path, name], command, [], 80);
      for (const line of text.split("\n")) assert.ok(line.length <= 110, `${name}: ${line}`);
      const letters = Object.values(command.flags).flatMap((flag) => flag.short === undefined ? [] : [flag.short]);
      assert.equal(new Set(letters).size, letters.length, `${name}: a short option is used twice`);
    }
  };
  await visit(COMMANDS, []);
  await using daemon = fakeDaemon({});
  for (
    const args of [[], ["--help"], ["help", "run"], ["run", "--help"], ["image"], ["image", "ls", "-h"], [
      "help",
      "container",
      "rm",
    ]]
  ) {
    const { code, stdout, stderr } = await cli(daemon, args);
    assert.deepEqual([code, stderr], [0, ""], args.join(" "));
    assert.match(stdout, /^Usage: {2}nyx/);
  }
});

Deno.test("nyx pull: --json is the events, -q the reference; credentials from -u and --password-stdin reach the daemon alone", async () => {
  const done = {
    phase: "done",
    ok: true,
    ref: "docker.io/library/x:latest",
    id: "sha256:1",
    digest: "sha256:2",
    cached: false,
    config: { os: "linux", architecture: "amd64", entrypoint: [], cmd: [], working_dir: "", env_len: 0 },
  };
  await using daemon = fakeDaemon({ "POST /v1/images/pull": () => lines({ phase: "begin", ref: done.ref }, done) });
  const json = await cli(daemon, ["pull", "--json", "x"]);
  assert.deepEqual(json.stdout.trim().split("\n").map((line) => (JSON.parse(line) as { phase: string }).phase), [
    "begin",
    "done",
  ]);
  assert.deepEqual(await cli(daemon, ["pull", "-q", "x"]), {
    code: 0,
    stdout: "docker.io/library/x:latest\n",
    stderr: "",
  });
  await cli(daemon, ["pull", "-q", "-u", "me", "--password-stdin", "x"], { input: "secret\n" });
  assert.deepEqual(daemon.bodies.at(-1), { ref: "x", username: "me", password: "secret", stream: true });
  await using failing = fakeDaemon({
    "POST /v1/images/pull": () =>
      lines({ phase: "begin" }, { phase: "error", message: "no", error: { code: "not_found", message: "No image x" } }),
  });
  const failed = await cli(failing, ["pull", "-q", "x"]);
  assert.deepEqual([failed.code, failed.stderr], [1, "nyx: No image x\n"]);
});

Deno.test("nyx login: the password comes from stdin, is checked by the daemon, and is kept in the config file; logout forgets it", async () => {
  await using daemon = fakeDaemon({ "POST /v1/login": () => Response.json({ ok: true }) });
  const login = await cli(daemon, ["login", "-u", "me", "--password-stdin", "localhost:5000"], { input: "secret" });
  assert.equal(login.code, 0, login.stderr);
  assert.match(login.stdout, /Login Succeeded/);
  assert.ok(!login.stdout.includes("secret") && !login.stderr.includes("secret"));
  assert.deepEqual(daemon.bodies[0], { registry: "localhost:5000", username: "me", password: "secret" });
  const kept = Deno.readTextFileSync(`${daemon.dir}/config.json`);
  assert.ok(kept.includes(btoa("me:secret")));
  assert.equal((await cli(daemon, ["logout", "localhost:5000"])).stdout, "Removed the login for localhost:5000\n");
  assert.ok(!Deno.readTextFileSync(`${daemon.dir}/config.json`).includes(btoa("me:secret")));
  const bare = await cli(daemon, ["login", "-u", "me"], { input: "" });
  assert.match(bare.stderr, /standard input is not a terminal/);
});

Deno.test("nyx save and load: archives go through whole; a refused save leaves no file", async () => {
  const archive = crypto.getRandomValues(new Uint8Array(60_000));
  let loaded = 0;
  await using daemon = fakeDaemon({
    "GET /v1/images/save": (_request, url) =>
      url.searchParams.get("ref") === "bad"
        ? refusal({ code: "not_found", message: "No image bad" })
        : new Response(archive),
    "POST /v1/images/load": async (request) => {
      loaded = (await request.arrayBuffer()).byteLength;
      return Response.json({ ok: true, refs: ["docker.io/library/x:1"], ids: ["sha256:1"] });
    },
  });
  assert.equal((await cli(daemon, ["save", "-o", "x.tar", "x"])).code, 0);
  assert.deepEqual(Deno.readFileSync(`${daemon.dir}/x.tar`), archive);
  assert.equal((await cli(daemon, ["save", "-o", "bad.tar", "bad"])).code, 1);
  assert.deepEqual(
    [...Deno.readDirSync(daemon.dir)].map((entry) => entry.name).filter((name) => name.includes("bad")),
    [],
  );
  assert.equal((await cli(daemon, ["load", "-i", "x.tar"])).stdout, "Loaded image: docker.io/library/x:1\n");
  assert.equal(loaded, archive.byteLength);
});

Deno.test("nyx inspect: falls through kinds, Docker's names in templates, what is missing is told", async () => {
  const details = {
    id: id(1),
    short_id: id(1).slice(0, 12),
    name: "web",
    created: "2026-01-01T00:00:00Z",
    image: "x",
    image_id: "sha256:1",
    argv: ["sh"],
    config: { image: "x", labels: { a: "b" }, env: ["A=own", "GONE"] },
    image_config: {
      User: "app",
      WorkingDir: "/srv",
      Env: ["A=image", "B=1", "GONE=1"],
      Labels: { a: "i", c: "d" },
      Cmd: ["c"],
    },
    state: { status: "exited", running: false, pid: 0, exit_code: 3, oom_killed: false, restart_count: 2 },
    network: {
      mode: "bridge",
      endpoints: [{ network: "nyx", ip: "10.88.0.2", prefix: 16, gateway: "10.88.0.1", mac: "02:00:00:00:00:01" }],
      ports: [{ hostIp: "", hostPort: 8080, containerPort: 80, count: 1, protocol: "tcp" }],
    },
    mounts: [],
    paths: { bundle: "", rootfs: "", log: "/l", resolv_conf: "", hosts: "", hostname: "" },
    stop_signal: "SIGTERM",
    warnings: [],
  };
  await using daemon = fakeDaemon({
    "GET /v1/containers/web": () => Response.json(details),
    "GET /v1/volumes/data": () => Response.json({ name: "data" }),
  });
  const format =
    "{{.State.ExitCode}} {{.NetworkSettings.IPAddress}} {{range .NetworkSettings.Networks}}{{.Gateway}}{{end}} {{.Config.Labels.a}} {{.RestartCount}}";
  assert.equal((await cli(daemon, ["inspect", "-f", format, "web"])).stdout, "3 10.88.0.2 10.88.0.1 b 2\n");
  const merged = "{{.Config.User}} {{.Config.WorkingDir}} {{json .Config.Env}} {{.Config.Labels}} {{.Config.Cmd}}";
  assert.equal(
    (await cli(daemon, ["inspect", "-f", merged, "web"])).stdout,
    'app /srv ["B=1","A=own"] map[a:b c:d] [c]\n',
  );
  assert.equal(
    (await cli(daemon, ["inspect", "-f", '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "web"]))
      .stdout,
    "8080\n",
  );
  assert.deepEqual(JSON.parse((await cli(daemon, ["inspect", "web"])).stdout), [details]);
  assert.deepEqual(JSON.parse((await cli(daemon, ["inspect", "data"])).stdout), [{ name: "data" }]);
  const missing = await cli(daemon, ["inspect", "nope"]);
  assert.deepEqual(missing, {
    code: 1,
    stdout: "[]\n",
    stderr: 'nyx: No container, image, volume or network is called "nope"\n',
  });
  assert.equal((await cli(daemon, ["port", "web", "80"])).stdout, "0.0.0.0:8080\n");
});

Deno.test("nyx create: pulls when the image is missing, then creates", async () => {
  let pulled = false;
  await using daemon = fakeDaemon({
    "POST /v1/containers": () =>
      pulled
        ? Response.json({ ok: true, id: id(1), name: "n", image: "x", warnings: [] })
        : refusal({ code: "not_found", message: "No image x" }),
    "POST /v1/images/pull": () => {
      pulled = true;
      return lines({ phase: "done", ref: "x", id: "i", digest: "d", cached: false, config: {} });
    },
  });
  assert.deepEqual(await cli(daemon, ["create", "-q", "x"]), { code: 0, stdout: `${id(1)}\n`, stderr: "" });
  pulled = false;
  const never = await cli(daemon, ["create", "--pull", "never", "x"]);
  assert.deepEqual([never.code, never.stderr], [125, "nyx: No image x\n"]);
});

Deno.test("nyx prune: without a terminal it wants -f", async () => {
  await using daemon = fakeDaemon({
    "POST /v1/containers/prune": () => Response.json({ ok: true, removed: [id(1)], reclaimed: 1500 }),
  });
  assert.match((await cli(daemon, ["container", "prune"])).stderr, /give -f to do so without being asked/);
  assert.equal((await cli(daemon, ["container", "prune", "-f"])).stdout, `Removed: ${id(1)}\nSpace freed: 1.5kB\n`);
  const aged = ["container", "prune", "-f", "--filter", "until=24h"];
  assert.equal((await cli(daemon, aged)).code, 0);
  const { filters } = daemon.bodies.at(-1) as { filters: Record<string, string[]> };
  assert.match(filters.until?.[0] ?? "", /^\d{4}-\d\d-\d\dT/);
  assert.match((await cli(daemon, [...aged.slice(0, -1), "until=yesterday"])).stderr, /Invalid until/);
});

Deno.test("nyx __complete: live names, silent and quick without a daemon", async () => {
  await using daemon = fakeDaemon({
    "GET /v1/containers": list,
    "GET /v1/images": () => Response.json({ images: ["docker.io/library/busybox:1"] }),
  });
  // On a busy machine an answer may come too late for a shell's patience, which is no fault: then it is asked again.
  const complete = async (...words: string[]) => {
    for (let attempt = 0;; attempt++) {
      const { stdout } = await cli(daemon, ["__complete", "--", ...words]);
      if (stdout !== "" || attempt === 5) return stdout;
    }
  };
  assert.match(await complete("stop", ""), /^one\tbusybox Up 5 minutes\ntwo\t/);
  assert.equal(await complete("stop", "t"), "two\tbusybox Up 5 minutes\n");
  assert.equal(await complete("run", "bus"), "busybox:1\t\n");
  assert.equal(await complete("run", "--env-file", ""), ":files\n");
  assert.match(await complete("ru"), /^run\tCreate and run/);
  const offline = await cli(daemon, ["--socket", `${daemon.dir}/none`, "__complete", "--", "stop", ""]);
  assert.deepEqual(offline, { code: 0, stdout: "", stderr: "" });
});

Deno.test("nyx completion: scripts are valid for the shells that are here", async () => {
  await using daemon = fakeDaemon({ "GET /v1/containers": list });
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, stdout } = await cli(daemon, ["completion", shell]);
    assert.equal(code, 0);
    Deno.writeTextFileSync(`${daemon.dir}/script`, stdout);
    try {
      const check = await new Deno.Command(shell, { args: ["-n", `${daemon.dir}/script`], stderr: "piped" }).output();
      assert.equal(new TextDecoder().decode(check.stderr), "", shell);
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    }
  }
  // The bash script itself, driven as readline drives it; a launcher stands for nyx on the PATH.
  const main = new URL("../../cli/main.ts", import.meta.url).pathname;
  Deno.writeTextFileSync(`${daemon.dir}/nyx`, `#!/bin/sh\nexec "${Deno.execPath()}" run -A --quiet "${main}" "$@"\n`, {
    mode: 0o755,
  });
  const script =
    `source <(nyx completion bash); COMP_LINE="nyx stop t"; COMP_POINT=\${#COMP_LINE}; COMP_WORDS=(nyx stop t); COMP_CWORD=2; _nyx; echo "\${COMPREPLY[@]}"`;
  const env = { PATH: `${daemon.dir}:${Deno.env.get("PATH")}`, NYXD_SOCKET: daemon.socket, HOME: daemon.dir };
  let offered = "\n";
  for (let attempt = 0; offered === "\n" && attempt < 5; attempt++) {
    offered = new TextDecoder().decode(
      (await new Deno.Command("bash", { args: ["--norc", "-c", script], env }).output()).stdout,
    );
  }
  assert.equal(offered, "two\n");
});

Deno.test("install: both launchers run, from source and from bundles, a foreign file is never written over", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-install-" });
  const root = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
  try {
    const version = async (program: string) =>
      new TextDecoder().decode((await new Deno.Command(program, { args: ["--version"] }).output()).stdout);
    const [nyx = "", nyxd = ""] = await install({ binDir: `${dir}/bin`, root, bundle: false });
    assert.match(await version(nyx), /^nyx version \d/);
    assert.match(await version(nyxd), /^nyxd \d/);
    const umask = Deno.umask(0);
    const steps: string[] = [];
    const [bundled = "", bundledDaemon = ""] = await install({
      binDir: `${dir}/open/bin`,
      root,
      onStep: (text) => steps.push(text),
    }).finally(() => Deno.umask(umask));
    assert.deepEqual(
      steps,
      ["nyx", "nyxd"].map((name) => `${dir}/open/bin/${name} runs ${dir}/open/lib/nyx/${name}.js`),
    );
    assert.match(await version(bundledDaemon), /^nyxd \d/);
    const files = [...Deno.readDirSync(`${dir}/open/lib/nyx`)].map(({ name }) => `/lib/nyx/${name}`);
    assert.ok(files.includes("/lib/nyx/nyxd-streams.js"), files.join(" "));
    for (const path of ["", "/bin", "/bin/nyx", "/bin/nyxd", "/lib", "/lib/nyx", ...files]) {
      const mode = Deno.statSync(`${dir}/open${path}`).mode ?? 0;
      assert.equal(mode & 0o022, 0, `${path}: whatever the umask, nobody else writes what root runs`);
    }
    assert.match(
      new TextDecoder().decode((await new Deno.Command(bundled, { args: ["run", "--help"] }).output()).stdout),
      /^Usage: {2}nyx run/,
    );
    Deno.writeTextFileSync(nyx, "#!/bin/sh\necho mine\n");
    await assert.rejects(
      install({ binDir: `${dir}/bin`, root, bundle: false }),
      /a file that is not nyx's stands there/,
    );
    assert.equal(Deno.readTextFileSync(nyx), "#!/bin/sh\necho mine\n");
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("nyxdLauncher: permissions follow the daemon's own options, in both forms, and commas are refused", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-install-" });
  try {
    // A stand-in for deno that prints its arguments, one a line.
    Deno.writeTextFileSync(`${dir}/deno`, '#!/bin/sh\nprintf "%s\\n" "$@"\n', { mode: 0o755 });
    Deno.writeTextFileSync(
      `${dir}/nyxd`,
      nyxdLauncher({ deno: `${dir}/deno`, main: "/src/nyxd.js", dir: "/src", flags: [] }),
      { mode: 0o755 },
    );
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command(`${dir}/nyxd`, { args }).output();
      return { code, out: new TextDecoder().decode(stdout).trim().split("\n"), err: new TextDecoder().decode(stderr) };
    };
    const allowed = (out: string[], name: string) =>
      out.find((word) => word.startsWith(`--allow-${name}=`))?.split("=")[1]?.split(",") ?? [];
    const plain = (await run()).out;
    assert.deepEqual(allowed(plain, "read").slice(0, 3), ["/var/lib/nyxd", "/run/nyxd", "/src"]);
    assert.deepEqual(allowed(plain, "read").slice(-2), ["/var/lib/nyxd", "/etc/resolv.conf"]);
    assert.ok(!plain.includes("--allow-all") && !plain.includes("-A"));
    const { out } = await run(
      "--base-dir",
      "/b $(touch pwned) c",
      "--socket=/s/x.sock",
      "--crun",
      "/c",
      "--init-path=/i",
    );
    assert.deepEqual(allowed(out, "read").slice(0, 3), ["/b $(touch pwned) c", "/s", "/src"], out.join("\n"));
    assert.equal(allowed(out, "read").at(-2), "/i");
    assert.deepEqual(allowed(out, "write").slice(0, 2), ["/b $(touch pwned) c", "/s"]);
    assert.equal(allowed(out, "run")[0], "/c");
    assert.deepEqual(out.slice(-6), [
      "--base-dir",
      "/b $(touch pwned) c",
      "--socket=/s/x.sock",
      "--crun",
      "/c",
      "--init-path=/i",
    ]);
    assert.equal((await run("--base-dir", "/a,/etc")).code, 2);
    for (const name of ["bridge", "host-local", "a,b"]) {
      Deno.mkdirSync(`${dir}/cni`, { recursive: true });
      Deno.writeTextFileSync(`${dir}/cni/${name}`, "", { mode: 0o755 });
    }
    Deno.writeTextFileSync(`${dir}/cni/notes`, "", { mode: 0o644 });
    const cni = (await run("--net-driver=cni", "--cni-bin-dir", `${dir}/cni`, "--cni-conf-dir=/n")).out;
    assert.deepEqual(allowed(cni, "run").slice(0, 3), ["/usr/bin/crun", `${dir}/cni/bridge`, `${dir}/cni/host-local`]);
    assert.deepEqual(allowed(cni, "read").slice(-3), ["/etc/resolv.conf", "/n", `${dir}/cni`]);
    assert.deepEqual(allowed(cni, "run").slice(3), allowed(plain, "run").slice(1), "nothing else may be run");
    const native = (await run("--net-driver=native", "--cni-bin-dir", `${dir}/cni`)).out;
    assert.deepEqual(allowed(native, "run"), allowed(plain, "run"));
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("cli/main.ts: no npm package and no node: builtin in its graph; --version imports one constant", async () => {
  const main = new URL("../../cli/main.ts", import.meta.url).href;
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json", main] }).output();
  interface Dependency {
    specifier: string;
    isDynamic?: boolean;
  }
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: { specifier: string; dependencies?: Dependency[] }[];
  };
  assert.ok(modules.length > 50);
  assert.deepEqual(modules.map(({ specifier }) => specifier).filter((specifier) => !specifier.startsWith("file:")), []);
  const direct = modules.find(({ specifier }) => specifier === main)?.dependencies?.filter(({ isDynamic }) =>
    isDynamic !== true
  );
  assert.deepEqual(direct?.map(({ specifier }) => specifier), ["../daemon/spec/version.ts"]);
});

Deno.test("VERSION: the one in deno.json", async () => {
  const { VERSION } = await import("../../daemon/spec/version.ts");
  const config = JSON.parse(Deno.readTextFileSync(new URL("../../deno.json", import.meta.url))) as { version: string };
  assert.equal(VERSION, config.version);
});
