import assert from "node:assert/strict";
import { diagnoseHost, type DoctorFacts } from "./doctor.ts";

const GOOD: DoctorFacts = {
  host: {
    cgroup: "v2",
    apparmor: false,
    capabilities: ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"],
    kernel: "6.8.1",
    controllers: ["memory", "pids", "cpu"],
    rlimits: { nofile: { soft: 65_536, hard: 65_536 } },
    swapLimit: true,
    blkioWeight: true,
    seccompFilters: { a: "b" },
  },
  kernel: {
    fileSystems: ["ext4", "overlay"],
    namespaces: ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"],
    seccomp: ["kill_process", "errno", "allow"],
    limits: { pidMax: 4_194_304, inotifyInstances: 8192, keys: 1_000_000 },
    managers: ["firewalld"],
  },
  crunVersion: "99.0",
  disk: { free: 50 * 1024 ** 3, total: 100 * 1024 ** 3, freeFiles: 900, files: 1000 },
  network: [],
  dns: { mode: "auto", listening: ["10.88.0.1"], missing: [], hostResolvers: 1 },
  warnings: [],
  now: Date.UTC(2030, 0, 1),
  newest: Date.UTC(2029, 0, 1),
};

Deno.test("diagnoseHost: a good host has nothing to say; each fault is told with its fix, the worst first", () => {
  assert.deepEqual(diagnoseHost(GOOD).filter((f) => f.state !== "ok"), []);
  assert.match(diagnoseHost(GOOD).find((f) => f.name === "firewall")?.found ?? "", /firewalld/);
  const bad = diagnoseHost({
    ...GOOD,
    host: { ...GOOD.host, kernel: "5.4.0", cgroup: "hybrid", rlimits: { nofile: { soft: 500, hard: 500 } } },
    kernel: {
      fileSystems: ["ext4"],
      namespaces: ["mnt"],
      seccomp: [],
      limits: { pidMax: 4096, keys: 200 },
      managers: [],
    },
    crunVersion: "0.20",
    disk: { free: 1024, total: 1024 ** 3, freeFiles: 1, files: 1000 },
    network: ["A rule of somebody drops forwarded packets: add one"],
    dns: { mode: "auto", listening: [], missing: ["10.88.0.1"], hostResolvers: 0 },
    now: 0,
  }).filter((f) => f.state !== "ok");
  assert.deepEqual(bad.map((f) => f.name).sort(), [
    "cgroups",
    "clock",
    "crun",
    "crun faults",
    "disk",
    "inodes",
    "kernel",
    "kernel limits",
    "kernel limits",
    "names",
    "namespaces",
    "network",
    "open files",
    "overlay",
    "resolvers",
    "seccomp filters",
  ]);
  assert.equal(bad[0]?.state, "fail");
  assert.ok(bad.every((f) => (f.fix ?? "") !== ""));
});

Deno.test("diagnoseHost: a clock behind what was written before is told, everyday steps are not; --dns off is no fault", () => {
  const clock = (now: number) => diagnoseHost({ ...GOOD, now }).find((f) => f.name === "clock");
  assert.equal(clock(GOOD.newest - 30_000)?.state, "ok");
  assert.match(clock(GOOD.newest - 3_600_000)?.found ?? "", /3600 s behind/);
  const off = diagnoseHost({ ...GOOD, dns: { mode: "off", listening: [], missing: [], hostResolvers: 1 } });
  assert.equal(off.find((f) => f.name === "names")?.state, "ok");
});

Deno.test("diagnoseHost: known faults of a crun are named with the version to update to", () => {
  const faults = diagnoseHost({ ...GOOD, crunVersion: "1.8.1" }).find((f) => f.name === "crun faults");
  assert.equal(faults?.state, "warn");
  assert.match(faults?.found ?? "", /CVE-2025-24965/);
  assert.match(faults?.fix ?? "", /update crun to 1\.\d+ or newer/);
});
