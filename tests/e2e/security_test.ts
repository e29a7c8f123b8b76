/** What a hostile image, container or user of the host tries against a real nyxd; each title says what the attacker does. */

import assert from "node:assert/strict";
import { buildImage, busyboxLayer, pushLayout, type TarEntry } from "../support/oci.ts";
import { startWorld, type World } from "../support/world.ts";

/** Pushes an image with these entries beside busybox's, which they replace. */
async function hostileImage(
  world: World,
  name: string,
  entries: TarEntry[],
  config: Record<string, unknown> = {},
): Promise<string> {
  const plain = (path: string) => path.replace(/\/$/, "");
  const replaced = new Set(entries.map((e) => plain(e.path)));
  const base = busyboxLayer().filter((e) =>
    !replaced.has(plain(e.path)) && ![...replaced].some((r) => e.path.startsWith(`${r}/`))
  );
  const dir = `${world.dir}/${name}`;
  buildImage({ dir, layers: [[...base, ...entries]], config: { Env: ["PATH=/bin"], ...config } });
  const ref = `127.0.0.1:${world.registry.port}/${name}:latest`;
  await pushLayout(dir, "latest", ref);
  return ref;
}

async function sh(command: string): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("sh", { args: ["-c", command] }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

const PROBE = `
ls /proc/self/fd | tr '\\n' ' '; echo
grep -E '^(CapInh|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -s '\\t ' ' '
tr '\\0' '\\n' </proc/1/environ | grep -cE 'NOTIFY|PROXY|LISTEN|LIBCONTAINER|DENO'
for d in 'b 8 0' 'c 1 1' 'c 1 11' 'c 10 200' 'c 10 229'; do rm -f /root/n; mknod /root/n $d; { head -c1 <&9; } 9<>/root/n && echo "opened $d"; done
for c in /sys/fs/cgroup/*/; do mkdir "$c/x" && echo "made $c"; echo /x >"$c/release_agent" && echo "agent $c"; done
for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/irq/default_smp_affinity; do echo x >$f && echo "wrote $f"; done
for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do [ "$(head -c1 $f | wc -c)" = 0 ] || echo "read $f"; done
mount -t tmpfs x /tmp && echo mounted; unshare -U true && echo userns; unshare -m true && echo mountns
chroot / mount -t proc p /tmp && echo mounted
ls /sys/firmware | wc -l`;

Deno.test("run, exec: a container looks for descriptors, capabilities, devices, cgroups and kernel files to get out by, and finds what Docker would leave it", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { id } = await nyxd.client.containers.run({ image, args: ["sleep", "100"] });
  const expected = [
    "0 1 2 3 ",
    "CapInh: 0000000000000000",
    "CapEff: 00000000a80425fb",
    "CapBnd: 00000000a80425fb",
    "CapAmb: 0000000000000000",
    "NoNewPrivs: 1",
    "Seccomp: 2",
    "0",
    "0",
  ];
  // 3 is the directory that ls reads.
  for (const args of [["run", "--rm", image], ["exec", id]]) {
    const { stdout } = await nyxd.nyx([...args, "sh", "-c", PROBE]);
    assert.deepEqual(stdout.trimEnd().split("\n"), expected);
  }
  // The runtime makes standard streams the user's own: the host's /dev/null must not be one of them.
  const before = await sh("stat -c '%u %a' /dev/null");
  await nyxd.nyx(["run", "--rm", "-u", "1000", image, "sh", "-c", "chmod 0 /proc/self/fd/0"]);
  await nyxd.nyx(["exec", "-u", "0", id, "sh", "-c", "chmod 0 /proc/self/fd/0 /proc/self/fd/1"]);
  assert.equal(await sh("stat -c '%u %a' /dev/null"), before);
});

Deno.test("run: an image puts links to the host where mounts, the working directory, volumes and devices go; the host stays as it is", async () => {
  await using world = await startWorld();
  const { nyxd } = world;
  const canary = Deno.makeTempDirSync({ prefix: "nyx-canary-" });
  try {
    Deno.writeTextFileSync(`${canary}/file`, "host");
    const look = () =>
      sh(`cd ${canary} && find . -printf '%p %y %s %m %U\\n' && cat file && find . -type f -newer file`);
    const before = await look();
    const up = "../".repeat(12);
    const script = "echo own >/etc/hosts; echo own >/etc/resolv.conf; echo own >f; touch /v/f; ls /v /dev; true";
    const relative = `${up}${canary.slice(1)}`;
    const links = ["etc", "proc", "sys", "dev", "v", "sbin", "dev/shm", "dev/pts"].map((path) => [path, canary]);
    links.push(["etc", relative], ["dev", relative], ["v", relative]);
    links.push(["etc/hosts", `${canary}/file`], ["etc/resolv.conf", `${relative}/new`]);
    await Promise.all(links.map(async ([path = "", link = ""], index) => {
      const ref = await hostileImage(
        world,
        `l${index}`,
        [{ path, type: "symlink", link }, { path: "w", type: "symlink", link: relative }],
        { WorkingDir: "/w/sub" },
      );
      const flags = path === "v"
        ? ["-v", "data:/v/deep", "--tmpfs", "/v/tmp", "--device", "/dev/null:/v/null"]
        : path.startsWith("dev")
        ? ["-t"]
        : [];
      await nyxd.nyx(["run", "--rm", ...flags, "--init", ref, "sh", "-c", script]);
    }));
    assert.equal(await look(), before);
  } finally {
    Deno.removeSync(canary, { recursive: true });
  }
});

Deno.test("base directory, socket, logs, bundles: another user of the host opens whatever there is, and opens nothing", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { id } = await nyxd.client.containers.run({ image, args: ["sh", "-c", "echo secret; sleep 100"], tty: false });
  await nyxd.nyx(["exec", "-d", id, "sleep", "5"]);
  const paths = await sh(`find ${nyxd.baseDir} -path '*/merged/*' -prune -o -path '*/fs/*' -prune -o -print`);
  assert.ok(paths.split("\n").length > 40);
  const list = Deno.makeTempFileSync();
  try {
    Deno.writeTextFileSync(list, paths);
    Deno.chmodSync(list, 0o644);
    const nobody = `while read -r p; do [ -e "$p" ] && echo "$p"; done <${list}; ls ${nyxd.baseDir}`;
    const found = await sh(`setpriv --reuid=65534 --regid=65534 --clear-groups sh -c '${nobody}'`);
    assert.deepEqual(found.trim().split("\n").filter((l) => !/Permission denied/.test(l)), [nyxd.baseDir]);
    assert.equal(await sh(`stat -c %a ${nyxd.baseDir} ${nyxd.socket}`), "700\n660\n");
    // The monitor's command line and environment are read by anybody with the same uid only, and hold nothing of nyxd's.
    const monitor = await sh(`pgrep -f 'run/monitor/?.*${id}|${id}' | head -1`);
    const environ = await sh(`tr '\\0' '\\n' </proc/${monitor.trim()}/environ | cut -d= -f1 | sort | tr '\\n' ' '`);
    assert.match(environ, /^(PATH|PWD|OLDPWD|SHLVL|_|_LIBCONTAINER_CLONED_BINARY| )+$/);
  } finally {
    Deno.removeSync(list);
  }
});

Deno.test("run: an annotation orders crun about, an image puts a volume over /dev or /proc: refused, and the daemon says why", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const order = await nyxd.nyx(["run", "--rm", "--annotation", "run.oci.keep_original_groups=1", image, "true"]);
  assert.equal(order.code, 125);
  assert.match(order.stderr, /annotations.*run\.oci\.keep_original_groups.*leave it out/);
  for (const target of ["/dev", "/proc/self"]) {
    const name = `v${target.slice(1, 4)}`;
    const ref = await hostileImage(world, name, [{ path: "dev/null", type: "symlink", link: "/etc/shadow" }], {
      Volumes: { [target]: {} },
    });
    const { code, stderr } = await nyxd.nyx(["run", "--rm", ref, "true"]);
    assert.equal(code, 125);
    assert.match(stderr, /declares a volume at "\/(dev|proc\/self)"/);
  }
});

Deno.test("health: a probe leaves a writer behind to hold the prober for ever; the probe fails in its time, and probes go on", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { id } = await nyxd.client.containers.run({
    image,
    args: ["sleep", "100"],
    healthcheck: {
      type: "exec",
      command: ["(while :; do echo noise; usleep 20000; done) & exit 0"],
      shell: true,
      intervalMs: 100,
      timeoutMs: 300,
      retries: 2,
      startPeriodMs: 0,
    },
  });
  for (let i = 0; i < 100; i++) {
    const { state } = await nyxd.client.containers.inspect(id);
    if (state.health?.status === "unhealthy") return;
    await new Promise((r) => setTimeout(r, 100));
  }
  assert.fail("the probe never ended");
});
