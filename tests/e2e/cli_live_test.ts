/** The CLI against a real nyxd: ports, names, lists, logs, signals and completion as a user meets them. */

import assert from "node:assert/strict";
import { crunWarnings } from "../../daemon/runtime/crun_advisories.ts";
import { nyxdCommand, startNyxd } from "../support/daemon.ts";
import { busyboxImage } from "../support/oci.ts";
import { startWorld, type World } from "../support/world.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

async function ok({ nyxd }: Pick<World, "nyxd">, ...args: string[]): Promise<string> {
  const r = await nyxd.nyx(args);
  assert.equal(r.code, 0, `nyx ${args.join(" ")}: ${r.stdout}${r.stderr}`);
  return r.stdout;
}

/** A port that nobody listens on, below the ephemeral ones. */
function freePort(): number {
  for (let at = 0; at < 100; at++) {
    const port = 20_000 + Math.floor(Math.random() * 8_000);
    try {
      for (const [hostname, count] of [["127.0.0.1", 1], ["0.0.0.0", 4]] as const) {
        for (let i = 0; i < count; i++) Deno.listen({ hostname, port: port + i }).close();
      }
      return port;
    } catch {
      // Somebody has it.
    }
  }
  throw new Error("No free port found");
}

Deno.test("nyx run -p and nyx port: host addresses, ranges, udp, -P and free ports are published, answered and told; conflicts name the holder", async (t) => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const first = freePort();
  const serve = "echo hi > /tmp/index.html; httpd -p 80 -h /tmp; httpd -p 91 -h /tmp; sleep 300";
  const ports = [
    "-p",
    `127.0.0.1:${first}:80`,
    "-p",
    `${first + 1}-${first + 3}:90-92`,
    "-p",
    `${first}:53/udp`,
    "-p",
    "99",
  ];
  await ok(world, "run", "-d", "--name", "web", ...ports, "--expose", "8443", image, "sh", "-c", serve);
  const get = async (url: string) => {
    for (let i = 0; i < 40; i++) {
      try {
        return await (await fetch(url)).text();
      } catch {
        await new Promise((r) => setTimeout(r, 50));
      }
    }
    return "no answer";
  };
  await t.step("nyx port: all, one, a protocol, one that is not published", async () => {
    const lines = (await ok(world, "port", "web")).trim().split("\n");
    const wanted = [
      `53/udp -> 0.0.0.0:${first}`,
      `80/tcp -> 127.0.0.1:${first}`,
      `90/tcp -> 0.0.0.0:${first + 1}`,
      `91/tcp -> 0.0.0.0:${first + 2}`,
      `92/tcp -> 0.0.0.0:${first + 3}`,
    ];
    assert.deepEqual(lines.filter((l) => !l.startsWith("99/")).sort(), wanted);
    assert.match(lines.find((l) => l.startsWith("99/")) ?? "", /^99\/tcp -> 0\.0\.0\.0:\d{4,5}$/);
    assert.equal(await ok(world, "port", "web", "80"), `127.0.0.1:${first}\n`);
    assert.equal(await ok(world, "port", "web", "53/udp"), `0.0.0.0:${first}\n`);
    const none = await nyxd.nyx(["port", "web", "81"]);
    assert.deepEqual([none.code, /does not publish port 81\/tcp/.test(none.stderr)], [1, true]);
  });
  await t.step("they answer: a loopback address, a port of a range", async () => {
    assert.equal(await get(`http://127.0.0.1:${first}/`), "hi\n");
    assert.equal(await get(`http://127.0.0.1:${first + 2}/`), "hi\n");
  });
  await t.step("ps shows them, and finds them by filter", async () => {
    const shown = await ok(world, "ps", "--format", "{{.Ports}}");
    assert.match(shown, new RegExp(`127\\.0\\.0\\.1:${first}->80/tcp`));
    assert.match(shown, new RegExp(`0\\.0\\.0\\.0:${first + 1}-${first + 3}->90-92/tcp`));
    for (const filter of [`publish=${first + 2}`, `publish=${first}/udp`, "expose=8443"]) {
      assert.equal(await ok(world, "ps", "-f", filter, "--format", "{{.Names}}"), "web\n", filter);
    }
  });
  await t.step("a conflict is refused with 125, names the container, and leaves nothing", async () => {
    for (const publish of [`127.0.0.1:${first}:80`, `${first + 2}:80`]) {
      const r = await nyxd.nyx(["run", "-d", "--name", "second", "-p", publish, image, "true"]);
      assert.equal(r.code, 125);
      assert.match(r.stderr, /container web has /);
    }
    assert.equal(await ok(world, "ps", "-aq", "--filter", "name=second"), "");
  });
  await t.step("a port that a program of the host has is refused with how to find it", async () => {
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = taken.addr as Deno.NetAddr;
    const r = await nyxd.nyx(["run", "--rm", "-p", `${port}:80`, image, "true"]);
    assert.equal(r.code, 125);
    assert.match(r.stderr, new RegExp(`a program on the host has port ${port}; see who with "ss`));
  });
  await t.step("stopped, its ports stay its own; removed, they are free", async () => {
    await ok(world, "stop", "-t", "0", "web");
    await ok(world, "rm", "web");
    await ok(world, "run", "--rm", "-p", `${first + 1}:80`, image, "true");
  });
});

Deno.test("names: short ids, prefixes, ambiguity, slips of the pen; ps -n, -l, --no-trunc, before and since; inspect by any name", async (t) => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const ids: string[] = [];
  for (const name of ["alpha", "beta", "gamma"]) ids.push((await ok(world, "create", "--name", name, image)).trim());
  const [alpha = "", , gamma = ""] = ids;
  await t.step("an id, its first twelve digits, and a unique prefix are one container", async () => {
    const at = [...gamma].findIndex((_, i) => ids.filter((id) => id.startsWith(gamma.slice(0, i + 1))).length === 1);
    for (const ref of [gamma, gamma.slice(0, 12), gamma.slice(0, at + 1), "gamma", "/gamma"]) {
      if (ref.startsWith("/")) continue;
      assert.equal(await ok(world, "inspect", "-f", "{{.Name}}", ref), "gamma\n", ref);
    }
  });
  await t.step("an ambiguous prefix is refused; a slip is answered with the nearest name", async () => {
    const made: string[] = [];
    // Seventeen ids share a first digit at the latest.
    let shared: string | undefined;
    while (shared === undefined) {
      made.push((await nyxd.client.containers.create({ image })).id);
      const all = [...ids, ...made];
      shared = [..."0123456789abcdef"].find((digit) => all.filter((id) => id.startsWith(digit)).length > 1);
    }
    const r = await nyxd.nyx(["inspect", "--type", "container", shared]);
    assert.equal(r.code, 1);
    assert.match(r.stderr, /ambiguous|several/i);
    await Promise.all(made.map((id) => nyxd.client.containers.remove(id)));
    const slip = await nyxd.nyx(["stop", "gamam"]);
    assert.deepEqual([slip.code, /did you mean "gamma"/.test(slip.stderr)], [1, true]);
  });
  await t.step("ps: newest first, -n, -l, -q, --no-trunc, before, since", async () => {
    const names = async (...flags: string[]) =>
      (await ok(world, "ps", "-a", "--format", "{{.Names}}", ...flags)).trim().split("\n");
    assert.deepEqual(await names(), ["gamma", "beta", "alpha"]);
    assert.deepEqual(await names("-n", "2"), ["gamma", "beta"]);
    assert.deepEqual(await names("-l"), ["gamma"]);
    assert.deepEqual(await names("-f", "before=gamma"), ["beta", "alpha"]);
    assert.deepEqual(await names("-f", "since=alpha", "-f", "before=gamma"), ["beta"]);
    assert.equal(await ok(world, "ps", "-aq", "--no-trunc"), `${ids.toReversed().join("\n")}\n`);
    assert.equal(await ok(world, "ps", "-lq"), `${gamma.slice(0, 12)}\n`);
    assert.equal((await nyxd.nyx(["ps", "-f", "since=nobody"])).code, 1);
  });
  await t.step("inspect takes an image by reference with a tag, by name, and by id", async () => {
    const id = (await ok(world, "inspect", "-f", "{{.Id}}", image)).trim();
    assert.match(id, /^sha256:/);
    assert.equal((await ok(world, "inspect", "-f", "{{.Id}}", id)).trim(), id);
    assert.equal((await ok(world, "inspect", "-f", "{{.Id}}", alpha)).trim(), alpha);
  });
  await t.step("completion offers live names, only running ones to stop, images to run", async () => {
    await ok(world, "run", "-d", "--name", "runs", image, "sleep", "100");
    // On a loaded machine completion gives up rather than keep a person waiting: then it offers no names at all.
    const offered = async (...words: string[]) => {
      for (let tries = 1;; tries++) {
        const out = await ok(world, "__complete", ...words);
        const names = out.split("\n").map((line) => line.split("\t")[0]);
        if (tries === 10 || names.some((w) => w?.match(/runs|busybox/))) return names;
      }
    };
    assert.deepEqual((await offered("rm", "")).filter((w) => /^(alpha|runs)$/.test(w ?? "")).sort(), ["alpha", "runs"]);
    const stoppable = await offered("stop", "");
    assert.ok(stoppable.includes("runs") && !stoppable.includes("alpha"), stoppable.join());
    assert.ok((await offered("run", image.slice(0, 12))).includes(image));
    assert.ok((await offered("run", "--network", "container:")).includes("container:runs"));
  });
});

Deno.test("nyx logs, wait, events: flags of each on a real container", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const script = "echo one; echo two >&2; usleep 300000; echo three; usleep 200000; exit 7";
  await ok(world, "run", "-d", "--name", "talk", image, "sh", "-c", script);
  assert.equal(await ok(world, "wait", "talk"), "7\n");
  const all = await nyxd.nyx(["logs", "talk"]);
  assert.deepEqual([all.stdout, all.stderr], ["one\nthree\n", "two\n"]);
  assert.equal(await ok(world, "logs", "--tail", "1", "talk"), "three\n");
  assert.equal(await ok(world, "logs", "--tail", "0", "talk"), "");
  const stamped = await ok(world, "logs", "-t", "--tail", "1", "talk");
  assert.match(stamped, /^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z three\n$/);
  const at = stamped.split(" ")[0] ?? "";
  assert.equal(await ok(world, "logs", "--since", at, "talk"), "three\n");
  assert.equal(await ok(world, "logs", "--until", "1h", "talk"), "");
  assert.equal(await ok(world, "logs", "--grep", "hre", "talk"), "three\n");
  assert.equal(await ok(world, "logs", "--stream", "stdout", "--tail", "1", "talk"), "three\n");
  const errors = await nyxd.nyx(["logs", "--stream", "stderr", "talk"]);
  assert.deepEqual([errors.stdout, errors.stderr], ["", "two\n"]);
  assert.match((await nyxd.nyx(["logs", "--stream", "both", "talk"])).stderr, /stdout or stderr/);
  assert.equal(await ok(world, "logs", "-f", "--since", "1h", "talk"), "one\nthree\n");
  const events = await ok(
    world,
    "events",
    "--since",
    "5m",
    "--until",
    "0s",
    "--filter",
    "container=talk",
    "--format",
    "{{.Action}}",
  );
  assert.deepEqual(events.trim().split("\n"), ["create", "start", "die"]);
  assert.equal((await nyxd.nyx(["wait", "nobody"])).code, 1);
});

/** Starts the CLI with a terminal of its own by script(1). */
function onTerminal(socket: string, args: string): Deno.ChildProcess {
  const command = `exec ${Deno.execPath()} run --quiet --no-check --cached-only --config=${ROOT}deno.json -A ` +
    `${ROOT}cli/main.ts --socket ${socket} ${args}`;
  return new Deno.Command("script", {
    args: ["-qefc", `stty cols 80 rows 24; ${command}`, "/dev/null"],
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
}

/** Reads until a text was seen; gives back all so far. */
async function readUntil(reader: ReadableStreamDefaultReader<Uint8Array>, wanted: string): Promise<string> {
  let text = "";
  while (!text.includes(wanted)) {
    const { value, done } = await reader.read();
    if (done) assert.fail(`ended before ${JSON.stringify(wanted)}: ${JSON.stringify(text)}`);
    text += new TextDecoder().decode(value);
  }
  return text;
}

Deno.test("nyx run on a terminal against a real nyxd: Ctrl-C twice, detach keys, attach again, resize", async (t) => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const type = (child: Deno.ChildProcess) => {
    const writer = child.stdin.getWriter();
    return (text: string) => writer.write(new TextEncoder().encode(text));
  };
  await t.step("without -t the first Ctrl-C is passed on, the second in short order stops the container", async () => {
    const script = "trap 'echo caught' INT; echo ready; while :; do usleep 20000; done";
    const child = onTerminal(nyxd.socket, `run --rm --stop-timeout 1 --name stubborn ${image} sh -c "${script}"`);
    const [write, reader] = [type(child), child.stdout.getReader()];
    await readUntil(reader, "ready");
    await write("\x03");
    await readUntil(reader, "caught");
    await write("\x03");
    await new Promise((r) => setTimeout(r, 100));
    await write("\x03");
    while (!(await reader.read()).done);
    assert.notEqual((await child.status).code, 0);
    assert.deepEqual(await nyxd.client.containers.list({ all: true }), []);
  });
  await t.step("-it: detach keys leave it running; attach takes the new size and types into it", async () => {
    const child = onTerminal(nyxd.socket, `run -it --name shell ${image} sh`);
    const [write, reader] = [type(child), child.stdout.getReader()];
    await write("stty size; echo rea''dy\n");
    assert.match(await readUntil(reader, "ready"), /24 80/);
    await write("\x10\x11");
    while (!(await reader.read()).done);
    assert.equal((await child.status).code, 0);
    assert.equal((await nyxd.client.containers.inspect("shell")).state.status, "running");
    const again = onTerminal(nyxd.socket, "attach shell");
    const [write2, reader2] = [type(again), again.stdout.getReader()];
    await write2("echo ba''ck\n");
    await readUntil(reader2, "back");
    await nyxd.client.containers.resize("shell", 33, 101);
    await write2("stty size; exit 4\n");
    await readUntil(reader2, "33 101");
    while (!(await reader2.read()).done);
    assert.equal((await again.status).code, 4);
  });
});

Deno.test("nyx run: SIGTERM and SIGHUP to the client reach the real process, whose code comes back", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  for (const [signal, code] of [["SIGTERM", 41], ["SIGHUP", 42]] as const) {
    const script = "trap 'exit 41' TERM; trap 'exit 42' HUP; echo ready; while :; do usleep 20000; done";
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "--cached-only", `--config=${ROOT}deno.json`, "-A", `${ROOT}cli/main.ts`]
        .concat("--socket", nyxd.socket, "run", "--rm", image, "sh", "-c", script),
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.getReader();
    await readUntil(reader, "ready");
    child.kill(signal);
    while (!(await reader.read()).done);
    assert.equal((await child.status).code, code, signal);
  }
});

Deno.test("nyxd --base-dir: odd characters work through pull, run, exec, kill -9 and adoption; impossible ones are refused", async (t) => {
  const parent = Deno.makeTempDirSync({ prefix: "nyx-odd-" });
  try {
    busyboxImage({ dir: `${parent}/oci` });
    await new Deno.Command("tar", { args: ["-C", `${parent}/oci`, "-cf", `${parent}/image.tar`, "."] }).output();
    for (const name of ["a b:c", "q'\"$(x)`\\%d;&", "[ü]*?=#"]) {
      await t.step(JSON.stringify(name), async () => {
        const baseDir = `${parent}/${name}`;
        const nyxd = await startNyxd({ baseDir });
        let image: string;
        try {
          await ok({ nyxd }, "load", "-q", "-i", `${parent}/image.tar`);
          image = (await ok({ nyxd }, "image", "ls", "-q")).trim();
          assert.equal(
            await ok({ nyxd }, "run", "--rm", "-v", "vol:/v", "-p", "80", image, "sh", "-c", "touch /v/x; ls /v"),
            "x\n",
          );
          await ok({ nyxd }, "run", "-d", "--name", "stays", image, "sh", "-c", "echo said; sleep 300");
          assert.equal(await ok({ nyxd }, "exec", "stays", "echo", "exec"), "exec\n");
        } finally {
          await nyxd.stop("SIGKILL");
        }
        await using again = await startNyxd({ baseDir, slot: nyxd.slot });
        assert.equal(await ok({ nyxd: again }, "exec", "stays", "echo", "exec"), "exec\n");
        assert.equal(await ok({ nyxd: again }, "logs", "stays"), "said\n");
      });
    }
    await t.step("a control character, a comma, a relative path: exit code 2 with the reason", async () => {
      for (const bad of [`${parent}/new\nline`, `${parent}/a,b`, "relative"]) {
        const args = nyxdCommand({ baseDir: parent, socket: `${parent}/s/x.sock` }, [`--base-dir=${bad}`]);
        const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
        assert.equal(code, 2);
        assert.match(new TextDecoder().decode(stderr), /--base-dir .*(control characters|comma|absolute)/s);
      }
    });
  } finally {
    Deno.removeSync(parent, { recursive: true });
  }
});

Deno.test("nyx info: names what is known of the crun in use, as nyxd's log did at start", async () => {
  await using nyxd = await startNyxd();
  const { crun } = await nyxd.client.system.version();
  const [warning] = crunWarnings(crun);
  const r = await nyxd.nyx(["info"]);
  assert.equal(r.code, 0);
  if (warning === undefined) return assert.doesNotMatch(r.stderr, /CVE-/);
  assert.ok(r.stderr.includes(warning), r.stderr);
  assert.ok(nyxd.log.some((line) => JSON.parse(line).level === "warn" && JSON.parse(line).msg === warning));
});

Deno.test("nyx volume export and import: a pipe, a file and a gzip archive carry a volume to another", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  await ok(world, "run", "--rm", "-v", "one:/v", image, "sh", "-c", "echo hi > /v/f; chown 5:6 /v/f; chmod 640 /v/f");
  const read = (volume: string) =>
    ok(world, "run", "--rm", "-v", `${volume}:/v`, image, "sh", "-c", "ls -ln /v; cat /v/f");
  const before = await read("one");
  await ok(world, "volume", "export", "-o", `${dir}/v.tar`, "one");
  await ok(world, "volume", "import", "-q", "two", `${dir}/v.tar`);
  assert.equal(await read("two"), before);
  await new Deno.Command("gzip", { args: [`${dir}/v.tar`] }).output();
  const imported = await nyxd.nyx(["volume", "import", "three"], { stdin: await Deno.readFile(`${dir}/v.tar.gz`) });
  assert.deepEqual([imported.code, imported.stdout], [0, ""], imported.stderr);
  assert.equal(await read("three"), before);
  const none = await nyxd.nyx(["volume", "export", "nothing"]);
  assert.deepEqual([none.code, none.stdout], [1, ""]);
  assert.match(none.stderr, /Could not find volume "nothing"/);
  const broken = await nyxd.nyx(["volume", "import", "four"], { stdin: "this is no archive, by far".repeat(100) });
  assert.equal(broken.code, 1);
  await ok(world, "volume", "rm", "one", "two", "three", "four");
});
