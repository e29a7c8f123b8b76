/** What an image asks of `nyx run`, the flags that need more than a look from inside, and containers that join others. */

import assert from "node:assert/strict";
import { busyboxImage, busyboxLayer, pushLayout } from "../support/oci.ts";
import { startWorld, type World } from "../support/world.ts";

/** Runs the CLI, which must succeed, and gives back its output. */
async function ok({ nyxd }: World, ...args: string[]): Promise<string> {
  const r = await nyxd.nyx(args);
  assert.equal(r.code, 0, `nyx ${args.join(" ")}: ${r.stdout}${r.stderr}`);
  return r.stdout;
}

async function until(what: string, probe: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await probe()) return;
    await new Promise((r) => setTimeout(r, 50));
  }
  assert.fail(`${what} did not happen within 10 s`);
}

Deno.test("nyx run: the image's User, WorkingDir, Volumes, Env, Entrypoint, Cmd, StopSignal, ExposedPorts, Labels and Healthcheck are honoured", async (t) => {
  await using world = await startWorld();
  const { nyxd, registry, dir } = world;
  const seed = [
    { path: "data/", mode: 0o750, uid: 1000, gid: 10 },
    { path: "data/seed", data: "seed", mode: 0o640, uid: 1000, gid: 10 },
  ];
  const script =
    "trap 'exit 33' USR1; id -un; id -gn; pwd; stat -c %u:%g:%a /data; cat /data/seed; echo $X; while :; do usleep 10000; done";
  busyboxImage({
    dir: `${dir}/full`,
    layers: [busyboxLayer(), seed],
    config: {
      User: "app:wheel",
      WorkingDir: "/srv/new",
      Volumes: { "/data": {} },
      StopSignal: "SIGUSR1",
      ExposedPorts: { "80/tcp": {}, "53/udp": {} },
      Labels: { kept: "image", replaced: "image" },
      Env: ["PATH=/bin", "X=image"],
      Entrypoint: ["/bin/sh", "-c"],
      Cmd: [script],
      Healthcheck: { Test: ["CMD-SHELL", "test -f /data/seed"], Interval: 200_000_000, Timeout: 1e9, Retries: 2 },
    },
  });
  const image = `127.0.0.1:${registry.port}/full:latest`;
  await pushLayout(`${dir}/full`, "latest", image);
  await ok(world, "run", "-d", "-q", "--name", "full", "-P", "--label", "replaced=flag", image);
  await until("health", async () => (await nyxd.client.containers.inspect("full")).state.health?.status === "healthy");
  await t.step(
    "User by name, WorkingDir made, the volume filled with owner and mode, Env, Entrypoint and Cmd",
    async () => {
      assert.equal(await ok(world, "logs", "full"), "app\nwheel\n/srv/new\n1000:10:750\nseedimage\n");
    },
  );
  await t.step("inspect shows what image and flags give together", async () => {
    const format = "{{.Config.User}} {{.Config.WorkingDir}} {{json .Config.Labels}} {{.Config.StopSignal}} " +
      "{{json .Config.ExposedPorts}} {{json .Config.Volumes}} {{.State.Health.Status}}";
    assert.equal(
      await ok(world, "inspect", "-f", format, "full"),
      'app:wheel /srv/new {"kept":"image","replaced":"flag"} SIGUSR1 {"80/tcp":{},"53/udp":{}} {"/data":{}} healthy\n',
    );
  });
  await t.step("Labels and ExposedPorts are found by ps filters; -P publishes them", async () => {
    for (const filter of ["label=kept=image", "label=replaced=flag", "expose=80", "expose=53/udp", "health=healthy"]) {
      assert.equal(await ok(world, "ps", "-f", filter, "--format", "{{.Names}}"), "full\n", filter);
    }
    assert.equal(await ok(world, "ps", "-q", "-f", "label=replaced=image"), "");
    assert.equal(await ok(world, "ps", "--format", '{{.Label "kept"}}'), "image\n");
    assert.match(await ok(world, "port", "full"), /^80\/tcp -> 0\.0\.0\.0:\d+\n53\/udp -> 0\.0\.0\.0:\d+\n$/);
  });
  await t.step("StopSignal stops it, with the code of the program", async () => {
    await ok(world, "stop", "full");
    assert.equal((await nyxd.client.containers.inspect("full")).state.exit_code, 33);
  });
  await t.step("the anonymous volume goes with rm -v, a named one in its place is filled once and stays", async () => {
    assert.equal((await nyxd.client.volumes.list()).length, 1);
    await ok(world, "rm", "-v", "full");
    assert.equal((await nyxd.client.volumes.list()).length, 0);
    const run = (script: string) => ok(world, "run", "--rm", "--no-healthcheck", "-v", "named:/data", image, script);
    assert.equal(await run("cat /data/seed; echo changed > /data/seed"), "seed");
    assert.equal(await run("cat /data/seed"), "changed\n");
    assert.equal(await ok(world, "volume", "ls", "-q"), "named\n");
  });
  await t.step("flags win: -u, -w, --entrypoint, -e, --stop-signal, --no-healthcheck", async () => {
    const r = await ok(
      world,
      "run",
      "--rm",
      "-u",
      "0",
      "-w",
      "/",
      "-e",
      "X=flag",
      "--entrypoint",
      "sh",
      image,
      "-c",
      "id -u; pwd; echo $X",
    );
    assert.equal(r, "0\n/\nflag\n");
    await ok(world, "run", "-d", "--name", "plain", "--no-healthcheck", "--stop-signal", "KILL", image, "sleep 100");
    const { state, stop_signal } = await nyxd.client.containers.inspect("plain");
    assert.equal(state.health, undefined);
    assert.match(stop_signal, /KILL/);
  });
});

Deno.test("nyx run: --env-file, --label-file, --cidfile, --annotation, --ip, -a, cgroup and device flags, mount modes", async (t) => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  const run = (flags: string[], script: string) => nyxd.nyx(["run", "--rm", ...flags, image, "sh", "-c", script]);
  await t.step("--env-file: comments, blanks, values as they are, names taken from the caller", async () => {
    Deno.writeTextFileSync(`${dir}/env`, "# no\nA=1\nB= two words \n\nTAKEN\nABSENT\n");
    const r = await nyxd.nyx(
      ["run", "--rm", "--env-file", `${dir}/env`, "-e", "A=2", image, "sh", "-c", 'echo "$A|$B|$TAKEN|${ABSENT-none}"'],
      { env: { TAKEN: "here" } },
    );
    assert.equal(r.stdout, "2| two words |here|none\n", r.stderr);
  });
  await t.step("--label-file and --label, --annotation, --cidfile once", async () => {
    Deno.writeTextFileSync(`${dir}/labels`, "one=file\ntwo\n# no\n");
    const flags = [
      "--label-file",
      `${dir}/labels`,
      "--label",
      "one=flag",
      "--annotation",
      "org.test/a=b",
      "--cidfile",
      `${dir}/cid`,
    ];
    const id = (await ok(world, "run", "-d", ...flags, image, "sleep", "100")).trim();
    assert.equal(Deno.readTextFileSync(`${dir}/cid`), id);
    assert.equal(await ok(world, "inspect", "-f", "{{json .Config.Labels}}", id), '{"one":"flag","two":""}\n');
    const bundle = JSON.parse(Deno.readTextFileSync(`${nyxd.baseDir}/bundles/${id}/config.json`));
    assert.equal(bundle.annotations["org.test/a"], "b");
    const again = await run(["--cidfile", `${dir}/cid`], "true");
    assert.equal(again.code, 125);
    assert.match(again.stderr, /it exists already/);
    await ok(world, "rm", "-f", id);
  });
  await t.step("--ip", async () => {
    const r = await run(["--ip", `${nyxd.prefix}.77`], "ip -4 addr show eth0 | grep -o 'inet [0-9.]*'");
    assert.equal(r.stdout, `inet ${nyxd.prefix}.77\n`, r.stderr);
  });
  await t.step("-a chooses streams, stdin among them", async () => {
    const both = "echo out; echo err >&2";
    const out = await run(["-a", "stdout"], both);
    assert.deepEqual([out.stdout, out.stderr], ["out\n", ""]);
    const err = await run(["--attach", "stderr"], both);
    assert.deepEqual([err.stdout, err.stderr], ["", "err\n"]);
    const r = await nyxd.nyx(["run", "--rm", "-a", "stdin", "-a", "stdout", image, "cat"], { stdin: "typed" });
    assert.equal(r.stdout, "typed");
  });
  await t.step("--cgroup-parent and --cgroupns", async () => {
    const parent = `/nyx-t${nyxd.slot}/below`;
    const r = await run(["--cgroup-parent", parent, "--cgroupns", "host"], "cat /proc/self/cgroup");
    assert.match(r.stdout, new RegExp(`:${parent}/[0-9a-f]{64}`), r.stderr);
    const own = await run(["--cgroupns", "private"], "cat /proc/self/cgroup");
    assert.match(own.stdout, /:\/\n/);
    const up = await run(["--cgroup-parent", "../../up"], "true");
    assert.equal(up.code, 125);
    assert.match(up.stderr, /no \.\. in it/);
  });
  await t.step("--blkio-weight: set where the kernel has weights, else refused with the reason", async () => {
    const r = await run(
      ["--blkio-weight", "300"],
      "cat /sys/fs/cgroup/blkio/blkio*.weight /sys/fs/cgroup/io*.weight 2>/dev/null",
    );
    if (r.code === 125) assert.match(r.stderr, /no weights \(the BFQ scheduler gives them\)/);
    else assert.match(r.stdout, /300/);
  });
  await t.step("--device-cgroup-rule opens what is closed without it", async () => {
    const script = "mknod /tmp/k c 10 237 && : <>/tmp/k && echo open";
    assert.equal((await run(["--device-cgroup-rule", "c 10:237 rw"], script)).stdout, "open\n");
    const closed = await run([], script);
    assert.equal(closed.stdout, "");
    assert.match(closed.stderr, /Operation not permitted/);
  });
  await t.step("-v with ro, z, Z and propagation; --mount readonly; what contradicts is refused", async () => {
    Deno.mkdirSync(`${dir}/src`);
    Deno.writeTextFileSync(`${dir}/src/f`, "hey\n");
    const src = `${dir}/src`;
    const ro = await run(["-v", `${src}:/x:ro,z`], "cat /x/f; touch /x/n 2>/dev/null || echo ro");
    assert.equal(ro.stdout, "hey\nro\n", ro.stderr);
    const rw = await run(["-v", `${src}:/x:Z`], "touch /x/n");
    assert.equal(rw.code, 0, rw.stderr);
    assert.ok(Deno.statSync(`${src}/n`).isFile);
    const long = await run(
      ["--mount", `type=bind,src=${src},dst=/x,readonly,bind-propagation=rprivate`],
      "touch /x/m || echo ro",
    );
    assert.equal(long.stdout, "ro\n");
    assert.equal((await run(["-v", `${src}:/x:ro,rw`], "true")).code, 125);
  });
  await t.step(
    "-v of what was mounted after nyxd started: the mount, not what it hides; the host keeps it",
    async () => {
      const [shared, late] = [`${dir}/shared`, `${dir}/late`];
      const host = (command: string) => new Deno.Command("sh", { args: ["-c", command] }).outputSync();
      host(`mkdir ${shared} ${late}; mount -t tmpfs a ${shared}; mount --make-shared ${shared}; mkdir ${shared}/in`);
      host(`mount -t tmpfs b ${shared}/in; touch ${shared}/in/below`);
      host(`mount -t tmpfs c ${late}; mount --make-private ${late}; touch ${late}/made ${late}/file`);
      try {
        for (const [source, seen] of [[late, "file\nmade\n"], [shared, "in\n"], [`${shared}/in`, "below\n"]] as const) {
          const r = await run(["-v", `${source}:/x`], "ls /x");
          assert.equal(r.stdout, seen, r.stderr);
        }
        assert.equal((await run(["-v", `${shared}:/x`], "ls /x/in")).stdout, "below\n");
        assert.equal((await run(["-v", `${late}/file:/f:ro`], "stat -c %F /f")).stdout, "regular empty file\n");
        const id = (await ok(world, "run", "-d", "-v", `${late}:/x`, image, "true")).trim();
        await ok(world, "wait", id);
        assert.equal(await ok(world, "inspect", "-f", "{{range .Mounts}}{{.Source}}{{end}}", id), `${late}\n`);
        await ok(world, "rm", id);
        for (const mode of ["rshared", "rslave"]) {
          const r = await run(["-v", `${late}:/x:${mode}`], "true");
          assert.equal(r.code, 125);
          assert.match(r.stderr, new RegExp(`${mode}: it lies on the mount ${late}, which is private`));
        }
        const powers = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
        const out = await run([...powers, "-v", `${shared}:/x:rshared`], "mkdir /x/out && mount -t tmpfs d /x/out");
        const { cgroup } = await nyxd.client.system.info();
        if (cgroup === "hybrid") assert.match(out.stderr, /no mount comes back; use rslave/);
        else assert.ok(host(`grep -q ' ${shared}/out ' /proc/self/mountinfo`).success, out.stderr);
        assert.ok(host(`test -f ${shared}/in/below`).success, "the host's own mount below is still there");
      } finally {
        host(`umount ${shared}/out; umount ${shared}/in; umount ${shared}; umount ${late}`);
      }
    },
  );
  await t.step("--log-opt max-size and max-file bound the log; --log-driver none keeps none", async () => {
    const limits = ["--log-opt", "max-size=10k", "--log-opt", "max-file=2", "--log-opt", "compress=false"];
    const id = (await ok(world, "run", "-d", ...limits, image, "sh", "-c", "seq 1 20000")).trim();
    await ok(world, "wait", id);
    const sizes = [...Deno.readDirSync(`${nyxd.baseDir}/logs`)].filter((e) => e.name.startsWith(id))
      .map((e) => Deno.statSync(`${nyxd.baseDir}/logs/${e.name}`).size);
    assert.ok(sizes.length <= 2 && sizes.every((size) => size <= 10_240 + 256), String(sizes));
    assert.match(await ok(world, "logs", "--tail", "1", id), /^20000\n$/);
    await ok(world, "rm", id);
    const packed = ["--log-opt", "max-size=10k", "--log-opt", "compress=true", "--log-opt", "max-age=1h"];
    const gz = (await ok(world, "run", "-d", ...packed, image, "seq", "500")).trim();
    await ok(world, "wait", gz);
    const logs = () => [...Deno.readDirSync(`${nyxd.baseDir}/logs`)].map((e) => e.name).filter((n) => n.startsWith(gz));
    for (const end = Date.now() + 5000; Date.now() < end && !logs().some((n) => n.endsWith(".gz"));) {
      await new Promise((r) => setTimeout(r, 50));
    }
    assert.ok(logs().some((n) => n.endsWith(".gz")), logs().join());
    assert.match(await ok(world, "logs", "--tail", "2", gz), /^499\n500\n$/);
    assert.equal((await nyxd.client.containers.inspect(gz)).config.log?.maxAgeMs, 3_600_000);
    const none = (await ok(world, "run", "-d", "--log-driver", "none", image, "echo", "x")).trim();
    await ok(world, "wait", none);
    assert.equal((await nyxd.nyx(["logs", none])).stdout, "");
  });
  await t.step("--stop-timeout: KILL after it, 137", async () => {
    await ok(
      world,
      "run",
      "-d",
      "--name",
      "stubborn",
      "--stop-timeout",
      "1",
      image,
      "sh",
      "-c",
      "trap '' TERM; while :; do usleep 9999; done",
    );
    const began = performance.now();
    await ok(world, "stop", "stubborn");
    const took = performance.now() - began;
    assert.ok(took > 900 && took < 5000, `${took} ms`);
    assert.equal((await nyxd.client.containers.inspect("stubborn")).state.exit_code, 137);
  });
  await t.step("--health-* make an unhealthy container visible in ps", async () => {
    const flags = [
      "--health-cmd",
      "exit 1",
      "--health-interval",
      "100ms",
      "--health-timeout",
      "1s",
      "--health-retries",
      "1",
      "--health-start-period",
      "0s",
    ];
    await ok(world, "run", "-d", "--name", "ill", ...flags, image, "sleep", "100");
    await until("unhealthy", async () => /\(unhealthy\)/.test(await ok(world, "ps", "--format", "{{.Status}}")));
  });
});

Deno.test("nyx run: joining another container's network, pid and ipc; what the other decides is refused", async (t) => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const run = (flags: string[], script = "true") => nyxd.nyx(["run", "--rm", ...flags, image, "sh", "-c", script]);
  await ok(
    world,
    "run",
    "-d",
    "--name",
    "base",
    "--hostname",
    "basehost",
    "--add-host",
    "foo:1.2.3.4",
    "--dns",
    "9.9.9.9",
    "--ipc",
    "shareable",
    image,
    "sleep",
    "300",
  );
  await ok(world, "run", "-d", "--name", "alone", image, "sleep", "300");
  await t.step("--network container: same address, hostname, hosts and resolv.conf", async () => {
    const seen = "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; ip -4 addr show eth0 | grep inet";
    const joined = await run(["--network", "container:base"], seen);
    assert.equal(joined.stdout, (await nyxd.nyx(["exec", "base", "sh", "-c", seen])).stdout, joined.stderr);
    assert.match(joined.stdout, /^basehost\nbasehost\n/);
  });
  await t.step("--network container: after a rename of the other, and through a published port of it", async () => {
    await ok(world, "create", "--name", "late", "--network", "container:base", image, "hostname");
    await ok(world, "rename", "base", "base2");
    assert.equal(await ok(world, "start", "-a", "late"), "basehost\n");
    await ok(world, "rename", "base2", "base");
  });
  await t.step("--pid container: sees the other's processes; --ipc container: shares /dev/shm", async () => {
    assert.match((await run(["--pid", "container:base"], "ps -o args")).stdout, /sleep 300/);
    await ok(world, "exec", "base", "touch", "/dev/shm/shared");
    assert.equal((await run(["--ipc", "container:base"], "ls /dev/shm")).stdout, "shared\n");
  });
  const refused: [string[], RegExp][] = [
    [["--network", "container:base", "--dns", "1.1.1.1"], /--dns .*other container's/],
    [["--network", "container:base", "--add-host", "a:1.1.1.1"], /--add-host .*other container's/],
    [["--network", "container:base", "--hostname", "x"], /other container's is used/],
    [["--network", "container:base", "-p", "80:80"], /container that owns the network/],
    [["--network", "container:missing"], /missing/],
    [["--ipc", "container:alone"], /"alone".*--ipc shareable/],
    [["--volumes-from", "base"], /--volumes-from cannot be honoured/],
    [["--link", "base:b"], /--link cannot be honoured/],
    [["--gpus", "all"], /--gpus cannot be honoured/],
    [["--device-read-bps", "/dev/sda:1m"], /--device-read-bps cannot be honoured/],
    [["--device-write-iops", "/dev/sda:1"], /--device-write-iops cannot be honoured/],
    [["--security-opt", "apparmor=nyx-no-such-profile"], /apparmor|AppArmor/],
    [["--health-cmd", "x", "--no-healthcheck"], /conflicts/],
    [["--stop-signal", "NOPE"], /NOPE/],
    [["--mac-address", "zz"], /mac-address/],
  ];
  for (const [flags, message] of refused) {
    await t.step(`refused: ${flags.join(" ")}`, async () => {
      const r = await run(flags);
      assert.equal(r.code, 125, r.stderr);
      assert.match(r.stderr, message);
    });
  }
  await t.step("a stopped container cannot be joined", async () => {
    await ok(world, "stop", "-t", "0", "alone");
    const r = await run(["--pid", "container:alone"]);
    assert.equal(r.code, 125);
    assert.match(r.stderr, /"alone": it is exited; start it first/);
  });
});
