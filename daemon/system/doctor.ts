/** `nyx doctor`: what of the host helps or hinders, each finding with its fix. Pure: facts in, findings out. */

import type { DoctorFinding } from "../spec/api.ts";
import type { HostFacts, KernelFeatures } from "../../workers/protocol.ts";
import { advisoriesOf } from "../runtime/crun_advisories.ts";

/** What is known of the host. */
export interface DoctorFacts {
  host: HostFacts;
  kernel: KernelFeatures;
  crunVersion: string;
  /** Bytes, and file names, free and in all where the base directory is; no file names are counted where `files` is 0. */
  disk: { free: number; total: number; freeFiles: number; files: number };
  /** Sentences of the network stage, each with its fix. */
  network: string[];
  /** Where containers' names are answered and where not, and how many resolvers the host has itself. */
  dns: { mode: string; listening: string[]; missing: string[]; hostResolvers: number };
  /** Other sentences of the daemon. */
  warnings: string[];
  /** Now, milliseconds since 1970. */
  now: number;
  /** The newest moment that nyxd has written down. */
  newest: number;
}

const GIB = 1024 ** 3;
/** Before this moment no nyx was built: a clock that says so is wrong. */
const BUILT = Date.UTC(2026, 0, 1);
/** Smaller steps of the clock are everyday. */
const CLOCK_STEP_MS = 60_000;
/** Namespaces that containers are made of. */
const NAMESPACES = ["mnt", "pid", "net", "ipc", "uts", "cgroup"];
/** Each container has a monitor and some processes; systemd's own services count as well. */
const MIN_PIDS = 32_768;
/** Each nyxd has two, each service of the host some. */
const MIN_INOTIFY = 128;
/** Each container has a keyring of its own. */
const MIN_KEYS = 1000;

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

function ofFeatures({ kernel }: DoctorFacts): DoctorFinding[] {
  const lacking = NAMESPACES.filter((n) => !kernel.namespaces.includes(n));
  const limit = (name: string, least: number, sysctl: string): DoctorFinding[] => {
    const value = kernel.limits[name];
    if (value === undefined || value >= least) return [];
    return [finding("kernel limits", false, `${sysctl} is ${value}`, `sysctl -w ${sysctl}=${least * 4}`)];
  };
  const limits = [
    ...limit("pidMax", MIN_PIDS, "kernel.pid_max"),
    ...limit("inotifyInstances", MIN_INOTIFY, "fs.inotify.max_user_instances"),
    ...limit("keys", MIN_KEYS, "kernel.keys.root_maxkeys"),
  ];
  return [
    finding(
      "overlay",
      kernel.fileSystems.includes("overlay"),
      kernel.fileSystems.includes("overlay") ? "the kernel has overlayfs" : "the kernel has no overlayfs",
      "modprobe overlay, and name it in /etc/modules-load.d; or use a kernel with CONFIG_OVERLAY_FS",
      "fail",
    ),
    finding(
      "namespaces",
      lacking.length === 0,
      lacking.length === 0 ? kernel.namespaces.join(" ") : `the kernel has no ${lacking.join(", ")} namespaces`,
      "use a kernel with CONFIG_NAMESPACES and all kinds below it",
      "fail",
    ),
    finding(
      "seccomp filters",
      kernel.seccomp.includes("errno"),
      kernel.seccomp.length === 0 ? "the kernel has no seccomp" : `actions: ${kernel.seccomp.join(" ")}`,
      "use a kernel with CONFIG_SECCOMP_FILTER: without it containers may call what they like",
    ),
    ...limits,
    ...(limits.length === 0
      ? [finding("kernel limits", true, "pids, inotify and keys are enough for many containers", "")]
      : []),
  ];
}

function ofRuntime({ crunVersion }: DoctorFacts): DoctorFinding[] {
  const faults = advisoriesOf(crunVersion);
  const items = faults.map(({ cve, what }) => `${cve} (${what})`).join("; ");
  const fixed = faults.flatMap(({ end }) => "fixedIn" in end ? [end.fixedIn] : []).at(-1);
  return [
    finding("crun", versionAtLeast(crunVersion, [1, 8]), `crun ${crunVersion}`, "install crun 1.8 or newer", "fail"),
    finding(
      "crun faults",
      faults.length === 0,
      faults.length === 0 ? "none is known of this version" : `${items}, unless its distributor patched them`,
      `update crun${
        fixed === undefined ? " when a fixed version is published" : ` to ${fixed} or newer`
      }, or see that the ` +
        "distributor's changelog names these",
    ),
  ];
}

function ofNetwork({ network, kernel, dns }: DoctorFacts): DoctorFinding[] {
  const managers = kernel.managers.length === 0
    ? "no manager of firewalls runs"
    : `${kernel.managers.join(", ")} run beside nyx`;
  return [
    finding(
      "firewall",
      network.length === 0,
      `${managers}; nothing stands in the way of published ports`,
      "see network",
    ),
    ...network.map((text): DoctorFinding => ({ name: "network", state: "warn", found: text, fix: text })),
    finding(
      "names",
      dns.missing.length === 0,
      dns.mode === "off"
        ? "nyx answers no names (--dns off)"
        : dns.missing.length === 0
        ? `answered on ${dns.listening.join(", ") || "no address, since there is no network"}`
        : `not answered on ${dns.missing.join(", ")}: another program has port 53 there`,
      "keep that program to its own addresses, such as dnsmasq with bind-interfaces or except-interface, or systemd-resolved " +
        "with DNSStubListener=no; nyx takes the port when it is free",
    ),
    finding(
      "resolvers",
      dns.hostResolvers > 0,
      dns.hostResolvers > 0 ? `the host has ${dns.hostResolvers}` : "the host has none",
      "name one in /etc/resolv.conf, or start nyxd with --resolv-conf; containers reach no name outside without it",
    ),
  ].filter(({ name, state }) => name !== "firewall" || state === "ok");
}

function ofDisk({ disk }: DoctorFacts): DoctorFinding[] {
  const share = disk.total === 0 ? 0 : disk.free / disk.total;
  const full = disk.files > 0 && disk.freeFiles / disk.files < 0.05;
  return [
    finding(
      "disk",
      disk.free > GIB && share > 0.05,
      `${(disk.free / GIB).toFixed(1)} GiB free of ${(disk.total / GIB).toFixed(1)} GiB`,
      "free some space: nyx system prune, nyx system df",
      disk.free > GIB / 4 ? "warn" : "fail",
    ),
    ...(full
      ? [finding(
        "inodes",
        false,
        `${disk.freeFiles} file names free of ${disk.files}`,
        "remove what has many small files, such as unused images (nyx image prune -a), or make the file system anew with more",
        disk.freeFiles > 10_000 ? "warn" : "fail",
      )]
      : []),
  ];
}

function ofClock({ now, newest }: DoctorFacts): DoctorFinding {
  const fix =
    "set the clock, and have it kept by NTP (timedatectl set-ntp true): certificates of registries are refused, and " +
    "logs are out of order";
  const text = new Date(now).toISOString();
  if (now <= BUILT) return finding("clock", false, text, fix, "fail");
  const behindMs = newest - now;
  if (behindMs <= CLOCK_STEP_MS) return finding("clock", true, text, fix);
  return finding("clock", false, `${text}, ${Math.round(behindMs / 1000)} s behind what nyxd has written before`, fix);
}

/** All findings, the worst first. */
export function diagnoseHost(facts: DoctorFacts): DoctorFinding[] {
  const all = [
    ...ofKernel(facts),
    ...ofFeatures(facts),
    ...ofRuntime(facts),
    ...ofDisk(facts),
    ofClock(facts),
    ...ofNetwork(facts),
    ...facts.warnings.map((text): DoctorFinding => ({ name: "daemon", state: "warn", found: text, fix: text })),
  ];
  const rank = { fail: 0, warn: 1, ok: 2 };
  return all.sort((a, b) => rank[a.state] - rank[b.state]);
}
