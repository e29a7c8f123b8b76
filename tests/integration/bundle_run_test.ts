/** Runs generated bundles with crun and looks from inside at what the container really got. */

import assert from "node:assert/strict";
import { linuxFile } from "../../ffi/linux/file.ts";
import { bindOptions } from "../../daemon/volumes/mounts.ts";
import { hostDevices } from "../../workers/rootfs/host_devices.ts";
import { BundleFixture, type RunOutcome } from "./bundle_fixture.ts";

function ok(outcome: RunOutcome): string {
  assert.equal(outcome.code, 0, `${outcome.stdout}\n${outcome.stderr}`);
  return outcome.stdout;
}

const DEFAULT_MASK = "00000000a80425fb";
const STATUS = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status";

Deno.test("bundle: a default container has Docker's capabilities, no new privileges, a seccomp filter, and nothing inheritable", async () => {
  using f = new BundleFixture();
  const out = ok(await f.script(STATUS));
  for (const set of ["CapPrm", "CapEff", "CapBnd"]) assert.match(out, new RegExp(`${set}:\\s${DEFAULT_MASK}`));
  for (const set of ["CapInh", "CapAmb"]) assert.match(out, new RegExp(`${set}:\\s0{16}`));
  assert.match(out, /NoNewPrivs:\s1/);
  assert.match(out, /Seccomp:\s2/);
});

Deno.test("bundle: a user other than root has the bounding set alone, its groups, and its home", async () => {
  using f = new BundleFixture();
  const out = ok(await f.script(`id; echo $HOME; ${STATUS}`, { user: "joe", groupAdd: ["audio", "4242"] }));
  assert.match(out, /uid=1000\(joe\) gid=1000\(joe\) groups=10\(wheel\),29\(audio\),1000\(joe\),4242/);
  assert.match(out, /^\/home\/joe$/m);
  assert.match(out, /CapEff:\s0{16}/);
  assert.match(out, new RegExp(`CapBnd:\\s${DEFAULT_MASK}`));
});

Deno.test("bundle: what a container must not do fails", async () => {
  using f = new BundleFixture();
  const attempts = {
    "a new user namespace": "/bin/busybox unshare -r true",
    "a mount": "mount -t tmpfs x /tmp",
    "undoing a mask": "/bin/busybox umount /proc/acpi",
    "kernel memory": "head -c 1 /proc/kcore",
    "a host sysctl": "echo 3 >/proc/sys/vm/drop_caches",
    "sysrq": "echo h >/proc/sysrq-trigger",
    "a block device of the host": "/bin/busybox mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk",
    "remounting /sys": "mount -o remount,rw /sys",
    "the cgroup": "echo 0 >/sys/fs/cgroup/pids/cgroup.procs",
  };
  const script = Object.entries(attempts).map(([what, cmd]) => `( ${cmd} ) >/dev/null 2>&1 && echo 'BREACH ${what}'`);
  assert.equal(ok(await f.script(`${script.join("\n")}\necho done`)), "done\n");
});

Deno.test("bundle: privileged has every capability and device of the host, no filter, no masks, writable /sys", async () => {
  using f = new BundleFixture();
  const devices = hostDevices(linuxFile(), [], true);
  const out = ok(
    await f.script(`${STATUS}; mount | grep -c ' on /proc/'; mount | grep ' /sys '; ls -d /dev/kmsg`, {
      privileged: true,
    }, { devices }),
  ).replace("\n0\n", "\n");
  const hostBnd = /^CapBnd:\s*(\w+)/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1];
  assert.match(out, new RegExp(`CapEff:\\s${hostBnd}`));
  assert.match(out, /NoNewPrivs:\s0/);
  assert.match(out, /Seccomp:\s0/);
  assert.match(out, /sysfs \(rw/);
  assert.match(out, /\/dev\/kmsg/);
});

Deno.test("bundle: /dev holds the standard nodes and links, with a tmpfs /dev/shm of the asked size", async () => {
  using f = new BundleFixture();
  const out = ok(
    await f.script("ls /dev | grep -v core; stat -c '%t:%T %a' /dev/null /dev/tty /dev/full; mount | grep shm", {
      shmSizeBytes: 1 << 20,
    }),
  );
  const names = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split(" ");
  assert.deepEqual(out.split("\n").slice(0, names.length), names);
  assert.match(out, /1:3 666\n5:0 666\n1:7 666/);
  assert.match(out, /\/dev\/shm type tmpfs \(rw,nosuid,nodev,noexec,relatime,size=1024k\)/);
});

Deno.test("bundle: cgroup limits hold inside", async () => {
  using f = new BundleFixture();
  const v1 = f.facts.cgroup !== "v2";
  const files = v1
    ? "memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares pids/pids.max cpuset/cpuset.cpus"
    : "memory.max memory.swap.max cpu.max cpu.weight pids.max cpuset.cpus";
  const out = ok(
    await f.script(`for n in ${files}; do cat /sys/fs/cgroup/$n; done; cat /proc/self/oom_score_adj`, {
      resources: {
        memoryBytes: 64 << 20,
        memorySwapBytes: 96 << 20,
        nanoCpus: 500_000_000,
        cpuShares: 512,
        pidsLimit: 50,
        cpusetCpus: "0",
        oomScoreAdj: 77,
      },
    }),
  ).trim().split("\n");
  const expected = v1
    ? ["67108864", "100663296", "50000", "512", "50", "0", "77"]
    : ["67108864", "33554432", "50000 100000", "20", "50", "0", "77"];
  assert.deepEqual(out, expected);
});

Deno.test("bundle: a memory hog is killed at its limit", async () => {
  using f = new BundleFixture();
  const { code } = await f.script("exec /bin/busybox dd if=/dev/zero of=/dev/null bs=200M count=1", {
    resources: { memoryBytes: 32 << 20, memorySwapBytes: 32 << 20 },
  });
  assert.equal(code, 137);
});

Deno.test("bundle: sysctls of a network and IPC namespace of its own, domain name and hostname", async () => {
  using f = new BundleFixture();
  const name = `nyxbt${Deno.pid}`;
  const ip = (...args: string[]) => new Deno.Command("ip", { args }).outputSync();
  ip("netns", "add", name);
  try {
    const out = ok(
      await f.script(
        "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_unprivileged_port_start; hostname; echo $HOSTNAME",
        { sysctls: { "net.core.somaxconn": "1234", "kernel.msgmax": "9000" }, domainname: "example.org" },
        { netnsPath: `/run/netns/${name}`, hostname: "web" },
      ),
    );
    assert.equal(out, "1234\n9000\nexample.org\n0\nweb\nweb\n");
  } finally {
    ip("netns", "del", name);
  }
});

Deno.test("bundle: ulimits, clamped where nyxd cannot raise them", async () => {
  using f = new BundleFixture();
  const request = f.request({
    args: ["/bin/sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c"],
    ulimits: [{ name: "nofile", soft: 100, hard: 200 }, { name: "core", soft: -1, hard: -1 }],
  });
  assert.equal(ok(await f.run(request)), "100\n200\nunlimited\n");
  const raised = f.request({ args: ["/bin/sh", "-c", "true"], ulimits: [{ name: "nofile", soft: 1e9, hard: 1e9 }] });
  raised.host = { ...f.facts, capabilities: f.facts.capabilities.filter((c) => c !== "CAP_SYS_RESOURCE") };
  const { warnings } = await f.host.call("generate", raised);
  assert.match(warnings.join("\n"), /nofile is lowered from 1000000000:1000000000/);
});

Deno.test("bundle: --init runs the command under it as process 1", async () => {
  const initPath = ["/usr/bin/docker-init", "/usr/bin/tini-static", "/usr/bin/catatonit"].find((p) => {
    try {
      return Deno.statSync(p).isFile;
    } catch {
      return false;
    }
  });
  if (initPath === undefined) throw new Error("Install tini: the test of --init needs a static init program");
  using f = new BundleFixture();
  assert.match(ok(await f.script("cat /proc/1/cmdline", { init: true }, { initPath })), /^\/sbin\/docker-init\0--\0/);
});

Deno.test("bundle: a read-only root keeps tmpfs mounts writable and /etc/hosts not", async () => {
  using f = new BundleFixture();
  const script =
    "touch /x 2>/dev/null && echo BREACH; echo >/etc/hosts 2>/dev/null && echo BREACH; touch /t/y && echo fine";
  const mounts = [{ type: "tmpfs" as const, source: "tmpfs", target: "/t", options: ["nosuid", "nodev"] }];
  assert.equal(ok(await f.script(script, { readOnly: true }, { mounts })), "fine\n");
});

Deno.test("bundle: hosts, hostname and resolv.conf are nyx's, unless the user mounts there", async () => {
  using f = new BundleFixture();
  const own = `${f.dir}/hosts`;
  Deno.writeTextFileSync(own, "mine\n");
  const mounts = [{ type: "bind" as const, source: own, target: "/etc/hosts", options: ["rbind", "rprivate", "rw"] }];
  const out = ok(await f.script("cat /etc/hosts /etc/hostname /etc/resolv.conf", {}, { mounts }));
  assert.equal(out, "mine\nbox\nnameserver 10.88.0.1\n");
  const plain = ok(await f.script("cat /etc/hosts"));
  assert.match(plain, /^127\.0\.0\.1\tlocalhost\n/);
  assert.match(plain, /^10\.88\.0\.9\tbox$/m);
});

Deno.test("bundle: an image that links mount targets to the host's /etc gets its mounts inside its own root", async () => {
  using f = new BundleFixture();
  const outside = `${f.dir}/outside`;
  Deno.mkdirSync(outside);
  // The attacker hopes that the mount, or the mount point made for it, lands on the host.
  Deno.symlinkSync(outside, `${f.rootfs}/data2`);
  Deno.symlinkSync(`${outside}/hosts`, `${f.rootfs}/etc/hosts`);
  const mounts = [{ type: "tmpfs" as const, source: "tmpfs", target: "/data2/deep", options: ["nosuid"] }];
  const { code, stderr } = await f.script("touch /data2/deep/x; cat /etc/hosts", {}, { mounts });
  assert.deepEqual([...Deno.readDirSync(outside)], []);
  assert.equal(code, 0, stderr);
});

Deno.test("bundle: a read-only bind is read-only below too", async () => {
  using f = new BundleFixture();
  Deno.mkdirSync(`${f.dir}/src/sub`, { recursive: true });
  const mount = (...args: string[]) => new Deno.Command(args[0] ?? "", { args: args.slice(1) }).outputSync();
  mount("mount", "-t", "tmpfs", "nyx-test", `${f.dir}/src/sub`);
  try {
    const mounts = [{
      type: "bind" as const,
      source: `${f.dir}/src`,
      target: "/m",
      options: ["rbind", "rprivate", "ro", "rro"],
    }];
    const { stderr } = await f.script("touch /m/a /m/sub/b", {}, { mounts });
    assert.equal(stderr.match(/Read-only file system/g)?.length, 2);
  } finally {
    mount("umount", `${f.dir}/src/sub`);
  }
});

Deno.test("bundle: a mount made on the host later shows in a container with rslave, and none of the container's on the host", async () => {
  using f = new BundleFixture();
  const shared = `${f.dir}/shared`;
  Deno.mkdirSync(`${shared}/later`, { recursive: true });
  const run = (cmd: string, ...args: string[]) => new Deno.Command(cmd, { args }).outputSync();
  run("mount", "--bind", shared, shared);
  run("mount", "--make-shared", shared);
  try {
    const options = bindOptions({ bind: { propagation: "rslave" } }, "dir");
    const mounts = [{ type: "bind" as const, source: shared, target: "/m", options }];
    const wait = "i=0; while [ ! -e /m/later/x ] && [ $i -lt 100 ]; do i=$((i+1)); /bin/busybox sleep 0.05; done";
    const running = f.script(`echo >/m/ready; ${wait}; ls /m/later`, {}, { mounts });
    for (let i = 0; i < 200; i++) {
      try {
        Deno.statSync(`${shared}/ready`);
        break;
      } catch {
        await new Promise((r) => setTimeout(r, 10));
      }
    }
    run("mount", "-t", "tmpfs", "nyx-test", `${shared}/later`);
    Deno.writeTextFileSync(`${shared}/later/x`, "");
    assert.equal(ok(await running), "x\n");
  } finally {
    run("umount", `${shared}/later`);
    run("umount", shared);
  }
});

Deno.test("bundle: a read-only bind of one file works and is read-only", async () => {
  using f = new BundleFixture();
  Deno.writeTextFileSync(`${f.dir}/file`, "content");
  const options = bindOptions({ readOnly: true }, "file");
  const mounts = [{ type: "bind" as const, source: `${f.dir}/file`, target: "/etc/file", options }];
  assert.equal(
    ok(await f.script("cat /etc/file; echo x 2>/dev/null >/etc/file && echo BREACH; true", {}, { mounts })),
    "content",
  );
});

Deno.test("bundle: a device is there with its own permissions, and no other", async () => {
  using f = new BundleFixture();
  const devices = [{ source: "/dev/kmsg", target: "/dev/klog", permissions: "w" }];
  const nodes = hostDevices(linuxFile(), devices, false);
  const out = ok(
    await f.script("stat -c %t:%T /dev/klog; head -c 1 /dev/klog 2>&1; echo", { devices }, { devices: nodes }),
  );
  assert.match(out, /^1:b\n.*not permitted/);
});

Deno.test("bundle: pid, uts and ipc of the host are the host's; ipc none has no /dev/shm", async () => {
  using f = new BundleFixture();
  const link = (ns: string) => Deno.readLinkSync(`/proc/self/ns/${ns}`);
  const shared = ok(
    await f.script("for n in pid uts ipc; do /bin/busybox readlink /proc/self/ns/$n; done", {
      pidMode: "host",
      utsMode: "host",
      ipcMode: "host",
    }, { hostname: "" }),
  );
  assert.equal(shared, `${link("pid")}\n${link("uts")}\n${link("ipc")}\n`);
  assert.equal(ok(await f.script("ls -d /dev/shm 2>/dev/null; echo end", { ipcMode: "none" })), "end\n");
});

Deno.test("bundle: container: modes join the namespaces of a process and share its /dev/shm", async () => {
  using f = new BundleFixture();
  const shmPath = `${f.dir}/shm`;
  Deno.mkdirSync(shmPath);
  const first = f.request({
    args: ["/bin/sh", "-c", "echo shared >/dev/shm/f; exec /bin/busybox sleep 30"],
    ipcMode: "shareable",
  }, { shmPath });
  await f.host.call("generate", first);
  const running = f.crun(["run", "--bundle", first.bundleDir, "--pid-file", `${f.dir}/pid`, first.id]);
  try {
    let pid = 0;
    for (let i = 0; i < 200 && pid === 0; i++) {
      try {
        pid = Number(Deno.readTextFileSync(`${f.dir}/pid`));
        Deno.statSync(`${shmPath}/f`);
      } catch {
        pid = 0;
        await new Promise((r) => setTimeout(r, 10));
      }
    }
    const out = ok(
      await f.script("cat /dev/shm/f; /bin/busybox readlink /proc/self/ns/ipc; hostname", {
        pidMode: "container:x",
        ipcMode: "container:x",
        utsMode: "container:x",
      }, { joinPids: { pid, ipc: pid, uts: pid }, hostname: "", shmPath }),
    );
    assert.equal(out, `shared\n${Deno.readLinkSync(`/proc/${pid}/ns/ipc`)}\nbox\n`);
  } finally {
    await f.crun(["delete", "--force", first.id]);
    await running;
  }
});

Deno.test("bundle: exec runs in the container as another user, in another directory, with its limits", async () => {
  using f = new BundleFixture();
  const request = f.request({
    args: ["/bin/sh", "-c", "exec /bin/busybox sleep 30"],
    env: ["A=1"],
    ulimits: [{ name: "core", soft: -1, hard: -1 }, { name: "nofile", soft: 64, hard: 64 }],
  });
  await f.host.call("generate", request);
  const running = f.crun(["run", "--bundle", request.bundleDir, "--pid-file", `${f.dir}/pid`, request.id]);
  try {
    for (let i = 0; i < 200; i++) {
      try {
        if (Deno.readTextFileSync(`${f.dir}/pid`) !== "") break;
      } catch {
        await new Promise((r) => setTimeout(r, 10));
      }
    }
    const { process } = await f.host.call("execProcess", {
      bundleDir: request.bundleDir,
      argv: ["/bin/sh", "-c", `id -u; pwd; echo $A $B $HOME; ulimit -n; ${STATUS}`],
      tty: false,
      env: ["B=2"],
      user: "joe",
      workingDir: "/tmp",
      privileged: false,
      ...(request.passwd === undefined ? {} : { passwd: request.passwd }),
    });
    const file = `${f.dir}/process.json`;
    Deno.writeTextFileSync(file, JSON.stringify(process));
    const out = ok(await f.crun(["exec", "--process", file, request.id]));
    assert.match(out, /^1000\n\/tmp\n1 2 \/home\/joe\n64\n/);
    assert.match(out, /NoNewPrivs:\s1/);
    assert.match(out, /Seccomp:\s2/);
    assert.match(out, /CapEff:\s0{16}/);
    const privileged = await f.host.call("execProcess", {
      bundleDir: request.bundleDir,
      argv: ["/bin/sh", "-c", STATUS],
      tty: false,
      env: [],
      privileged: true,
    });
    Deno.writeTextFileSync(file, JSON.stringify(privileged.process));
    const hostBnd = /^CapBnd:\s*(\w+)/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1];
    assert.match(ok(await f.crun(["exec", "--process", file, request.id])), new RegExp(`CapEff:\\s${hostBnd}`));
  } finally {
    await f.crun(["delete", "--force", request.id]);
    await running;
  }
});

Deno.test("bundle: confinement is podman's or stricter (bounding set, filter, masked and read-only paths)", async () => {
  using f = new BundleFixture();
  const look = `${STATUS}; mount | grep -E ' on /(proc|sys)/'`;
  const podman = new Deno.Command("unshare", {
    args: [
      ...["-m", "--propagation", "slave", "sh", "-c"],
      `umount -l /sys/fs/cgroup/unified 2>/dev/null; exec podman --root ${f.dir}/p1 --runroot ${f.dir}/p2 --runtime crun run --rm ` +
      "--ulimit nofile=1000:1000 --ulimit nproc=1000:1000 --cgroups=disabled --network none " +
      `--cap-add MKNOD,AUDIT_WRITE,NET_RAW --rootfs ${f.rootfs} /bin/sh -c "$0"`,
      look,
    ],
  }).outputSync();
  const theirs = new TextDecoder().decode(podman.stdout);
  assert.equal(podman.code, 0, new TextDecoder().decode(podman.stderr));
  const ours = ok(await f.script(look));
  const field = (text: string, name: string) => new RegExp(`^${name}:\\s*(\\w+)`, "m").exec(text)?.[1];
  assert.equal(field(ours, "CapBnd"), field(theirs, "CapBnd"));
  assert.equal(field(ours, "Seccomp"), field(theirs, "Seccomp"));
  const covered = (text: string) =>
    new Set([...text.matchAll(/ on (\/(?:proc|sys)\/\S+) type (?!cgroup)/g)].map((m) => m[1] ?? ""));
  const missing = [...covered(theirs)].filter((p) => !covered(ours).has(p));
  // Podman hides the list of block devices; Docker, whose defaults nyx keeps, shows it.
  assert.deepEqual(missing.filter((p) => p !== "/sys/dev/block" && !p.startsWith("/sys/fs/cgroup")), []);
});
