/** Reads what the host offers containers: cgroup layout and controllers, capabilities, limits, AppArmor. */

import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, type FileKernel, FS_MAGIC, O, OwnedFd, readToEnd } from "../../ffi/file.ts";
import { writeKernelFile } from "../../ffi/kernel_files.ts";
import { linuxSeccomp } from "../../ffi/linux/seccomp.ts";
import { ALL_CAPABILITIES } from "../bundle/capabilities.ts";
import { readyFilters } from "../bundle/seccomp_filter.ts";
import type { HostFacts } from "../protocol.ts";

const CGROUP_ROOT = "/sys/fs/cgroup";
/** Most bytes of one file below /proc or /sys. */
const LIMIT = 256 * 1024;

/** ulimit names by the titles of /proc/<pid>/limits. */
const LIMIT_TITLES: readonly [string, string][] = [
  ["Max cpu time", "cpu"],
  ["Max file size", "fsize"],
  ["Max data size", "data"],
  ["Max stack size", "stack"],
  ["Max core file size", "core"],
  ["Max resident set", "rss"],
  ["Max processes", "nproc"],
  ["Max open files", "nofile"],
  ["Max locked memory", "memlock"],
  ["Max address space", "as"],
  ["Max file locks", "locks"],
  ["Max pending signals", "sigpending"],
  ["Max msgqueue size", "msgqueue"],
  ["Max nice priority", "nice"],
  ["Max realtime priority", "rtprio"],
  ["Max realtime timeout", "rttime"],
];

/** Names of the bounding set in the text of /proc/<pid>/status (proc(5)). */
export function parseBoundingSet(status: string): string[] {
  const mask = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`);
  return ALL_CAPABILITIES.filter((_, bit) => (mask >> BigInt(bit)) & 1n);
}

/** Limits by ulimit name in the text of /proc/<pid>/limits; -1 unlimited. */
export function parseLimits(text: string): HostFacts["rlimits"] {
  const limits: HostFacts["rlimits"] = {};
  const value = (word: string) => word === "unlimited" ? -1 : Number(word);
  for (const line of text.split("\n")) {
    const title = LIMIT_TITLES.find(([t]) => line.startsWith(t));
    if (title === undefined) continue;
    const [soft, hard] = line.slice(title[0].length).trim().split(/\s+/);
    if (soft !== undefined && hard !== undefined) limits[title[1]] = { soft: value(soft), hard: value(hard) };
  }
  return limits;
}

/** Controllers of mounted cgroup v1 hierarchies, from the text of /proc/self/mountinfo. */
export function parseV1Controllers(mountinfo: string): string[] {
  const known = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
  ];
  const found = new Set<string>();
  for (const line of mountinfo.split("\n")) {
    const [, right = ""] = line.split(" - ");
    const [type, , options = ""] = right.split(" ");
    if (type === "cgroup") { for (const o of options.split(",")) if (known.includes(o)) found.add(o); }
  }
  return [...found];
}

class Reader {
  constructor(readonly kernel: FileKernel) {}

  text(path: string): string | undefined {
    try {
      using fd = new OwnedFd(this.kernel, this.kernel.openat(AT_FDCWD, path, O.RDONLY | O.CLOEXEC));
      return new TextDecoder().decode(readToEnd(this.kernel, fd.fd, LIMIT));
    } catch (e) {
      if (isErrno(e, "ENOENT", "ENOTDIR", "EACCES", "EINVAL", "EOPNOTSUPP")) return undefined;
      throw e;
    }
  }

  /** Writes one line; a cgroup that may not be changed, because processes are in it or it is mounted read-only, stays as it is. */
  tryWrite(path: string, line: string): void {
    try {
      writeKernelFile(this.kernel, path, line);
    } catch (e) {
      if (!isErrno(e, "EBUSY", "EACCES", "EPERM", "EROFS", "ENOENT", "EINVAL", "EOPNOTSUPP")) throw e;
    }
  }

  exists(path: string): boolean {
    try {
      this.kernel.statx(AT_FDCWD, path, 0);
      return true;
    } catch (e) {
      if (isErrno(e, "ENOENT", "ENOTDIR", "EACCES")) return false;
      throw e;
    }
  }

  fsType(path: string): number | undefined {
    try {
      return this.kernel.statfs(path).type;
    } catch (e) {
      if (isErrno(e, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
      throw e;
    }
  }

  /** Whether a new child of a cgroup has one of these files: weights and swap do not show in the root. */
  childHas(parent: string, files: readonly string[], pid: number): boolean {
    const child = `${parent}/nyx-probe-${pid}`;
    try {
      this.kernel.mkdirat(AT_FDCWD, child, 0o755);
    } catch (e) {
      if (!isErrno(e, "EEXIST")) return false;
    }
    try {
      return files.some((f) => this.exists(`${child}/${f}`));
    } finally {
      try {
        this.kernel.unlinkat(AT_FDCWD, child, 0x200);
      } catch {
        // A leftover empty cgroup costs nothing and the next start finds it again.
      }
    }
  }
}

/**
 * What a container's cgroup can limit beyond its controllers. A child has files of those controllers alone that its parent hands on; the
 * first container would have them handed on, so it is done before asking.
 */
function childFacts(reader: Reader, controllers: string[]): Pick<HostFacts, "swapLimit" | "blkioWeight"> {
  for (const name of controllers.filter((c) => c === "memory" || c === "io")) {
    reader.tryWrite(`${CGROUP_ROOT}/cgroup.subtree_control`, `+${name}`);
  }
  return {
    swapLimit: reader.childHas(CGROUP_ROOT, ["memory.swap.max"], Deno.pid),
    blkioWeight: reader.childHas(CGROUP_ROOT, ["io.weight", "io.bfq.weight"], Deno.pid),
  };
}

function cgroupFacts(reader: Reader): Pick<HostFacts, "cgroup" | "controllers" | "swapLimit" | "blkioWeight"> {
  if (reader.fsType(CGROUP_ROOT) === FS_MAGIC.CGROUP2) {
    const controllers = (reader.text(`${CGROUP_ROOT}/cgroup.controllers`) ?? "").trim().split(/\s+/).filter((c) =>
      c !== ""
    );
    return {
      cgroup: "v2",
      // What a container gets of v1's names: pids, memory, cpu… and devices, which v2 does by BPF.
      controllers: [...controllers, "devices"],
      ...childFacts(reader, controllers),
    };
  }
  const controllers = parseV1Controllers(reader.text("/proc/self/mountinfo") ?? "");
  const hybrid = reader.fsType(`${CGROUP_ROOT}/unified`) === FS_MAGIC.CGROUP2;
  return {
    cgroup: hybrid ? "hybrid" : "v1",
    controllers,
    swapLimit: reader.exists(`${CGROUP_ROOT}/memory/memory.memsw.limit_in_bytes`),
    // crun writes this file alone on v1, not BFQ's blkio.bfq.weight.
    blkioWeight: reader.childHas(`${CGROUP_ROOT}/blkio`, ["blkio.weight"], Deno.pid),
  };
}

/** No filters yet where libseccomp can make them; undefined where it cannot, for then crun compiles. */
function noFiltersYet(): Record<string, string> | undefined {
  try {
    linuxSeccomp();
    return {};
  } catch {
    return undefined;
  }
}

/** How long a starting daemon is left alone, and how long its other requests get between two filters, ms. */
const FILTER_DELAY_MS = 100;

/**
 * Compiles the filters that nearly all containers use, about 20 ms each, in pauses of other work.
 *
 * @param release kernel release
 * @throws Error when libseccomp cannot be loaded or refuses
 */
export async function compileFilters(release: string): Promise<Record<string, string>> {
  const filters: Record<string, string> = {};
  for (const make of readyFilters(linuxSeccomp(), release, Deno.build.arch)) {
    await new Promise((resolve) => setTimeout(resolve, FILTER_DELAY_MS));
    const { key, program } = make();
    filters[key] = program;
  }
  return filters;
}

/** Kernel release, such as 6.1.0-18-amd64. */
export function readKernelRelease(kernel: FileKernel): string {
  return (new Reader(kernel).text("/proc/sys/kernel/osrelease") ?? "").trim();
}

/**
 * Reads the facts. Makes and removes one empty child cgroup, because what the root lacks the children may have.
 *
 * @param kernel reads files; Deno itself refuses /proc and /sys without full permissions
 */
export function readHostFacts(kernel: FileKernel): HostFacts {
  const reader = new Reader(kernel);
  const seccompFilters = noFiltersYet();
  return {
    ...(seccompFilters === undefined ? {} : { seccompFilters }),
    ...cgroupFacts(reader),
    apparmor: reader.text("/sys/module/apparmor/parameters/enabled")?.trim() === "Y" &&
      reader.exists("/sys/kernel/security/apparmor"),
    capabilities: parseBoundingSet(reader.text("/proc/self/status") ?? ""),
    kernel: readKernelRelease(kernel),
    rlimits: parseLimits(reader.text("/proc/self/limits") ?? ""),
  };
}
