import assert from "node:assert/strict";
import { startWorld, type World } from "../support/world.ts";

/** What is typed after `nyx run --rm`, what runs inside, and what must come out. `host` is checked on the host meanwhile. */
interface Case {
  flags: string[];
  script: string;
  /** Expected standard output, a text or a pattern. */
  out: string | RegExp;
  code?: number;
}

const CASES: Record<string, Case> = {
  "-e, KEY alone removes": {
    flags: ["-e", "A=1", "-e", "B=two words", "-e", "PATH"],
    script: 'echo "$A $B ${PATH:-none}"',
    out: /^1 two words /,
  },
  "-w makes the directory": {
    flags: ["-w", "/new/deep"],
    script: "pwd; stat -c %U:%a .",
    out: "/new/deep\nroot:755\n",
  },
  "-u by name takes groups from the image": {
    flags: ["-u", "app"],
    script: "id; echo $HOME",
    out: "uid=1000(app) gid=1000(app) groups=10(wheel),1000(app)\n/home\n",
  },
  "-u uid:gid unknown to the image": { flags: ["-u", "4000:4001"], script: "id -u; id -g", out: "4000\n4001\n" },
  "--group-add by name and number": {
    flags: ["--group-add", "wheel", "--group-add", "77"],
    script: "id -G",
    out: "0 10 77\n",
  },
  "--hostname": { flags: ["--hostname", "box"], script: "hostname; grep -c box /etc/hosts", out: "box\n1\n" },
  "--add-host with host-gateway": {
    flags: ["--add-host", "up:host-gateway", "--add-host", "x:1.2.3.4"],
    script: "grep -E '\t(up|x)$' /etc/hosts | tr '\t' ' '",
    out: /^10\.\d+\.\d+\.1 up\n1\.2\.3\.4 x\n$/,
  },
  "--dns, --dns-search, --dns-option": {
    flags: ["--dns", "9.9.9.9", "--dns-search", "a.example", "--dns-option", "ndots:3"],
    script: "cat /etc/resolv.conf",
    out: "nameserver 9.9.9.9\nsearch a.example\noptions ndots:3\n",
  },
  "--network none has loopback alone": { flags: ["--network", "none"], script: "ls /sys/class/net", out: "lo\n" },
  "--network host sees the host's links": {
    flags: ["--network", "host"],
    script: "ls /sys/class/net | grep -c nyxt",
    out: /^[1-9]/,
  },
  "--mac-address": {
    flags: ["--mac-address", "02:00:00:00:00:99"],
    script: "cat /sys/class/net/eth0/address",
    out: "02:00:00:00:00:99\n",
  },
  "--tmpfs with options": {
    flags: ["--tmpfs", "/t:size=1m,mode=1770"],
    script: "stat -c %a /t; df -k /t | tail -1 | awk '{print $2}'",
    out: "1770\n1024\n",
  },
  "--read-only with a writable tmpfs": {
    flags: ["--read-only", "--tmpfs", "/t"],
    script: "touch /x 2>/dev/null || echo ro; touch /t/x && echo rw",
    out: "ro\nrw\n",
  },
  "--mount type=tmpfs": {
    flags: ["--mount", "type=tmpfs,target=/t,tmpfs-size=2m,tmpfs-mode=0700"],
    script: "stat -c %a /t; df -k /t | tail -1 | awk '{print $2}'",
    out: "700\n2048\n",
  },
  "default capabilities are Docker's 14": {
    flags: [],
    script: "grep CapEff /proc/self/status",
    out: "CapEff:\t00000000a80425fb\n",
  },
  "--cap-drop ALL --cap-add NET_ADMIN": {
    flags: ["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"],
    script: "grep -E 'CapEff|CapInh' /proc/self/status",
    out: "CapInh:\t0000000000000000\nCapEff:\t0000000000001000\n",
  },
  "a user other than root has no capability": {
    flags: ["-u", "1000"],
    script: "grep CapEff /proc/self/status",
    out: "CapEff:\t0000000000000000\n",
  },
  "default seccomp and no_new_privileges": {
    flags: [],
    script: "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status",
    out: "NoNewPrivs:\t1\nSeccomp:\t2\n",
  },
  "--security-opt seccomp=unconfined, no-new-privileges=false": {
    flags: ["--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges=false"],
    script: "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status",
    out: "NoNewPrivs:\t0\nSeccomp:\t0\n",
  },
  "seccomp: mount is refused even to root": {
    flags: ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"],
    script: "mount -t tmpfs x /tmp && echo mounted",
    out: "mounted\n",
  },
  "masked and read-only paths": {
    flags: [],
    script: "cat /proc/kcore | wc -c; echo x > /proc/sys/kernel/domainname 2>/dev/null || echo ro",
    out: "0\nro\n",
  },
  "--privileged sees devices and all capabilities": {
    flags: ["--privileged"],
    script: "ls /dev | grep -c -E '^(kmsg|null|loop-control|mem)$'; echo x > /proc/sys/kernel/domainname && echo rw",
    out: /^[1-4]\nrw\n$/,
  },
  "--device": {
    flags: ["--device", "/dev/kmsg:/dev/k:r"],
    script: "stat -c '%F %t:%T' /dev/k",
    out: "character special file 1:b\n",
  },
  "a device that was not given cannot be made": {
    flags: [],
    script: "mknod /tmp/m c 10 237 && (: <>/tmp/m) 2>&1 | grep -o 'not permitted'; true",
    out: "not permitted\n",
  },
  "--ulimit": {
    flags: ["--ulimit", "nofile=100:200", "--ulimit", "core=0"],
    script: "ulimit -Sn; ulimit -Hn; ulimit -c",
    out: "100\n200\n0\n",
  },
  "--sysctl": {
    flags: ["--sysctl", "net.ipv4.ip_unprivileged_port_start=99", "--sysctl", "kernel.msgmax=4096"],
    script: "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax",
    out: "99\n4096\n",
  },
  "--shm-size": { flags: ["--shm-size", "3m"], script: "df -k /dev/shm | tail -1 | awk '{print $2}'", out: "3072\n" },
  "--init is process 1 and passes the exit code on": {
    flags: ["--init"],
    script: "cat /proc/1/comm; exit 5",
    out: /init|catatonit|tini/,
    code: 5,
  },
  "--pid host": { flags: ["--pid", "host"], script: "[ $$ -gt 50 ] && echo host", out: "host\n" },
  "--uts host": {
    flags: ["--uts", "host"],
    script: '[ "$(hostname)" = "$(cat /proc/sys/kernel/hostname)" ] && readlink /proc/self/ns/uts',
    out: /^uts:/,
  },
  "--ipc host": { flags: ["--ipc", "host"], script: "readlink /proc/self/ns/ipc", out: /^ipc:/ },
  "-m and --memory-swap": {
    flags: ["-m", "32m", "--memory-swap", "32m"],
    script: "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max",
    out: "33554432\n",
  },
  "--cpus": {
    flags: ["--cpus", "0.25"],
    script: "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max",
    out: "25000\n",
  },
  "--cpu-shares": {
    flags: ["--cpu-shares", "512"],
    script: "cat /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null || echo 512",
    out: "512\n",
  },
  "--cpuset-cpus": {
    flags: ["--cpuset-cpus", "1"],
    script: "grep Cpus_allowed_list /proc/self/status | tr -d '\t'",
    out: "Cpus_allowed_list:1\n",
  },
  "--pids-limit": {
    flags: ["--pids-limit", "7"],
    script: "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max",
    out: "7\n",
  },
  "--oom-score-adj": { flags: ["--oom-score-adj", "321"], script: "cat /proc/self/oom_score_adj", out: "321\n" },
  "--entrypoint replaces, and drops the image's command": {
    flags: ["--entrypoint", "/bin/echo"],
    script: "",
    out: "-c \n",
  },
};

/** The world of this file; started by the first test and ended by the last step of it. */
async function withWorld(
  t: Deno.TestContext,
  job: (world: World, t: Deno.TestContext) => Promise<void>,
): Promise<void> {
  await using world = await startWorld();
  await job(world, t);
}

function matches(actual: string, wanted: string | RegExp): void {
  if (typeof wanted === "string") assert.equal(actual, wanted);
  else assert.match(actual, wanted);
}

Deno.test("nyx run: each flag has Docker's meaning, seen from inside", (t) =>
  withWorld(t, async ({ nyxd, image }) => {
    for (const [name, { flags, script, out, code = 0 }] of Object.entries(CASES)) {
      await t.step(name, async () => {
        const r = await nyxd.nyx([
          "run",
          "--rm",
          "--pull",
          "never",
          ...flags,
          image,
          ...(flags[0] === "--entrypoint" ? ["-c", ""] : ["sh", "-c", script]),
        ]);
        assert.equal(r.code, code, r.stderr);
        matches(r.stdout, out);
      });
    }
  }));

Deno.test("nyx run: what cannot be honoured is refused with the reason, and leaves no container", (t) =>
  withWorld(t, async ({ nyxd, image }) => {
    const refused: [string[], RegExp][] = [
      [["--cap-add", "NONSENSE"], /capabilit/i],
      [["--user", "nobody-here"], /nobody-here/],
      [["--sysctl", "kernel.panic=1"], /kernel\.panic/],
      [["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"], /net\.ipv4\.ip_forward/],
      [["--device", "/dev/does-not-exist"], /does-not-exist/],
      [["--mount", "type=bind,source=/does/not/exist,target=/x"], /does\/not\/exist/],
      [["--memory", "1k"], /memory/i],
      [["--cpus", "9999"], /cpus/i],
      [["-p", "99999:80"], /99999/],
      [["--network", "nonet"], /nonet/],
      [["--ip", "1.2.3.4"], /1\.2\.3\.4/],
      [["--restart", "always"], /--rm|choose one/],
      [["--security-opt", "label=disable-everything-wrong"], /label/],
      [["--pid", "container:nobody"], /nobody/],
      [["--no-such-flag"], /no-such-flag/],
    ];
    for (const [flags, message] of refused) {
      await t.step(flags.join(" "), async () => {
        const r = await nyxd.nyx(["run", "--rm", "--pull", "never", ...flags, image, "true"]);
        assert.equal(r.code, 125, `${r.stdout}${r.stderr}`);
        assert.match(r.stderr, message);
      });
    }
    assert.deepEqual(await nyxd.client.containers.list({ all: true }), []);
  }));

Deno.test("nyx run and exec as another user: the host's /dev/null keeps its owner, whatever crun does to standard streams", (t) =>
  withWorld(t, async ({ nyxd, image }) => {
    const owner = () => [Deno.statSync("/dev/null").uid, Deno.statSync("/dev/null").gid];
    const before = owner();
    await nyxd.nyx(["run", "--rm", "-u", "1000", image, "true"]);
    await nyxd.nyx(["run", "-d", "-u", "1000", "--name", "u", image, "sleep", "100"]);
    await nyxd.nyx(["exec", "-u", "1001", "u", "true"]);
    await nyxd.nyx(["exec", "-d", "-u", "1001", "u", "true"]);
    const seen = await nyxd.nyx(["exec", "-u", "1001", "u", "sh", "-c", "cat | wc -c"]);
    assert.equal(seen.stdout.trim(), "0");
    assert.deepEqual(owner(), before);
  }));

Deno.test("nyx run: exit codes are Docker's", (t) =>
  withWorld(t, async ({ nyxd, image }) => {
    const codes: [string[], number][] = [
      [["sh", "-c", "exit 0"], 0],
      [["sh", "-c", "exit 42"], 42],
      [["no-such-program"], 127],
      [["/no/such/path"], 127],
      [["/etc/passwd"], 126],
      [["/tmp"], 126],
      [["sh", "-c", "sh -c 'kill -TERM $$'; exit $?"], 143],
    ];
    for (const [argv, code] of codes) {
      const r = await nyxd.nyx(["run", "--rm", "--pull", "never", image, ...argv]);
      assert.equal(r.code, code, `${argv.join(" ")}: ${r.stderr}`);
    }
    const missing = await nyxd.nyx(["run", "--rm", "--pull", "never", "127.0.0.1:1/none:latest", "true"]);
    assert.equal(missing.code, 125);
  }));

Deno.test("nyx run: standard input, output and error are separate, exact and complete", (t) =>
  withWorld(t, async ({ nyxd, image }) => {
    const bytes = crypto.getRandomValues(new Uint8Array(65_536));
    const echoed = await nyxd.nyx(["run", "-i", "--rm", "--pull", "never", image, "sha256sum"], { stdin: bytes });
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    assert.equal(echoed.stdout.split(" ")[0], Array.from(hash, (b) => b.toString(16).padStart(2, "0")).join(""));
    const both = await nyxd.nyx(["run", "--rm", "--pull", "never", image, "sh", "-c", "echo out; echo err >&2"]);
    assert.deepEqual([both.stdout, both.stderr], ["out\n", "err\n"]);
    const long = await nyxd.nyx([
      "run",
      "--rm",
      "--pull",
      "never",
      image,
      "sh",
      "-c",
      "head -c 5000000 /dev/zero | tr '\\0' x",
    ]);
    assert.equal(long.stdout.length, 5_000_000);
  }));
