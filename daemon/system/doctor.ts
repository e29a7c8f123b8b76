/** `nyx doctor`: what of the host helps or hinders, each finding with its fix. Pure: facts in, findings out. */

import type { DoctorFinding } from "../spec/api.ts";
import type { HostFacts } from "../../workers/protocol.ts";

/** What is known of the host. */
export interface DoctorFacts {
  host: HostFacts;
  crunVersion: string;
  /** Bytes free and in all where the base directory is. */
  disk: { free: number; total: number };
  /** Sentences of the network stage, each with its fix. */
  network: string[];
  /** Sentences of the daemon, such as about DNS. */
  warnings: string[];
  /** Now, milliseconds since 1970. */
  now: number;
}

const GIB = 1024 ** 3;
/** Before this moment no nyx was built: a clock that says so is wrong. */
const BUILT = Date.UTC(2026, 0, 1);

function versionAtLeast(text: string, wanted: readonly number[]): boolean {
  const found = /(\d+)\.(\d+)(?:\.(\d+))?/.exec(text)?.slice(1).map((n) => Number(n ?? 0)) ?? [];
  for (const [i, n] of wanted.entries()) {
    if ((found[i] ?? 0) !== n) return (found[i] ?? 0) > n;
  }
  return true;
}

function finding(
  name: string,
  ok: boolean,
  found: string,
  fix: string,
  severity: "warn" | "fail" = "warn",
): DoctorFinding {
  return ok ? { name, state: "ok", found } : { name, state: severity, found, fix };
}

function ofKernel({ host }: DoctorFacts): DoctorFinding[] {
  const modern = versionAtLeast(host.kernel, [5, 11]);
  return [
    finding(
      "kernel",
      modern,
      `Linux ${host.kernel}`,
      "use Linux 5.11 or newer; 6.8 mounts any number of layers",
      "fail",
    ),
    finding(
      "cgroups",
      host.cgroup === "v2",
      `cgroup ${host.cgroup}, controllers: ${host.controllers.join(" ") || "none"}`,
      "boot with systemd.unified_cgroup_hierarchy=1: limits of memory and io are exact with version 2 alone",
    ),
    finding(
      "limits",
      ["memory", "pids", "cpu"].every((c) => host.controllers.includes(c)),
      `controllers for containers: ${host.controllers.join(" ") || "none"}`,
      "enable the memory, pids and cpu controllers (kernel command line: cgroup_enable=memory)",
    ),
    finding(
      "swap limits",
      host.swapLimit,
      host.swapLimit ? "counted for each container" : "not counted",
      "boot with swapaccount=1 to have --memory-swap honoured",
    ),
    finding(
      "capabilities",
      host.capabilities.includes("CAP_SYS_ADMIN") && host.capabilities.includes("CAP_NET_ADMIN"),
      `${host.capabilities.length} in nyxd's bounding set`,
      "run nyxd as root without a reduced bounding set",
      "fail",
    ),
    finding(
      "open files",
      (host.rlimits["nofile"]?.soft ?? 0) === -1 || (host.rlimits["nofile"]?.soft ?? 0) >= 4096,
      `limit ${host.rlimits["nofile"]?.soft ?? "unknown"}`,
      "raise LimitNOFILE of nyxd's service: each container needs about eight",
    ),
    finding(
      "seccomp",
      Object.keys(host.seccompFilters ?? {}).length > 0,
      Object.keys(host.seccompFilters ?? {}).length > 0 ? "filter compiled once" : "filter compiled at each start",
      "install libseccomp2: a start is some milliseconds faster with it",
    ),
  ];
}

/** All findings, the worst first. */
export function diagnoseHost(facts: DoctorFacts): DoctorFinding[] {
  const { crunVersion, disk, network, warnings, now } = facts;
  const share = disk.total === 0 ? 0 : disk.free / disk.total;
  const all = [
    ...ofKernel(facts),
    finding("crun", versionAtLeast(crunVersion, [1, 8]), `crun ${crunVersion}`, "install crun 1.8 or newer", "fail"),
    finding(
      "disk",
      disk.free > GIB && share > 0.05,
      `${(disk.free / GIB).toFixed(1)} GiB free of ${(disk.total / GIB).toFixed(1)} GiB`,
      "free some space: nyx system prune, nyx system df",
      disk.free > GIB / 4 ? "warn" : "fail",
    ),
    finding(
      "clock",
      now > BUILT,
      new Date(now).toISOString(),
      "set the clock: certificates of registries are refused, and logs are out of order",
      "fail",
    ),
    ...(network.length === 0 ? [finding("network", true, "nothing stands in the way of published ports", "")] : []),
    ...network.map((text): DoctorFinding => ({ name: "network", state: "warn", found: text, fix: text })),
    ...warnings.map((text): DoctorFinding => ({ name: "daemon", state: "warn", found: text, fix: text })),
  ];
  const rank = { fail: 0, warn: 1, ok: 2 };
  return all.sort((a, b) => rank[a.state] - rank[b.state]);
}
