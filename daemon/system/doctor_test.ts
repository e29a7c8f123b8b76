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
  crunVersion: "1.8.1",
  disk: { free: 50 * 1024 ** 3, total: 100 * 1024 ** 3 },
  network: [],
  warnings: [],
  now: Date.UTC(2030, 0, 1),
};

Deno.test("diagnoseHost: a good host has nothing to say; each fault is told with its fix, the worst first", () => {
  assert.deepEqual(diagnoseHost(GOOD).filter((f) => f.state !== "ok"), []);
  const bad = diagnoseHost({
    ...GOOD,
    host: { ...GOOD.host, kernel: "5.4.0", cgroup: "hybrid", rlimits: { nofile: { soft: 500, hard: 500 } } },
    crunVersion: "0.20",
    disk: { free: 1024, total: 1024 ** 3 },
    network: ["A rule of somebody drops forwarded packets: add one"],
    now: 0,
  }).filter((f) => f.state !== "ok");
  assert.deepEqual(bad.map((f) => f.name).sort(), [
    "cgroups",
    "clock",
    "crun",
    "disk",
    "kernel",
    "network",
    "open files",
  ]);
  assert.equal(bad[0]?.state, "fail");
  assert.ok(bad.every((f) => (f.fix ?? "") !== ""));
});
