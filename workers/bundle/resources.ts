/** Checks cgroup limits against what the host can enforce, and writes linux.resources. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { Resources } from "../../daemon/spec/container.ts";
import type { HostFacts } from "../protocol.ts";
import type { OciResources } from "./runtime_spec.ts";

/** Smallest memory limit that crun itself gets through. */
const MIN_MEMORY_BYTES = 6 * 1024 * 1024;
const DEFAULT_PERIOD_US = 100_000;
const NANO = 1_000_000_000;

/** What the caller knows of the machine. */
export interface ResourceContext {
  host: HostFacts;
  /** CPUs of the machine. */
  cpus: number;
}

function integer(field: string, value: number | undefined, min: number, max: number, fix: string): void {
  if (value === undefined) return;
  if (!Number.isSafeInteger(value) || value < min || value > max) throw invalid(`resources.${field}`, value, fix);
}

function needs(host: HostFacts, controller: string, field: string): void {
  if (host.controllers.includes(controller)) return;
  throw new NyxError(
    "failed_precondition",
    `Could not apply resources.${field}: this host has no ${controller} cgroup controller; enable it or leave the limit out`,
    { context: { field: `resources.${field}`, value: controller } },
  );
}

function memory(r: Resources, host: HostFacts, warnings: string[]): OciResources["memory"] {
  const { memoryBytes: limit, memorySwapBytes: swap, memoryReservationBytes: reservation } = r;
  const huge = Number.MAX_SAFE_INTEGER;
  integer("memoryBytes", limit, 0, huge, "use a number of bytes");
  integer("memoryReservationBytes", reservation, 0, huge, "use a number of bytes");
  integer("memorySwapBytes", swap, -1, huge, "use memory plus swap in bytes, or -1 for unlimited swap");
  const out: NonNullable<OciResources["memory"]> = {};
  if (limit !== undefined && limit > 0) {
    needs(host, "memory", "memoryBytes");
    if (limit < MIN_MEMORY_BYTES) throw invalid("resources.memoryBytes", limit, "the smallest limit is 6 MiB");
    out.limit = limit;
  }
  if (reservation !== undefined && reservation > 0) {
    needs(host, "memory", "memoryReservationBytes");
    if (out.limit !== undefined && reservation > out.limit) {
      throw invalid("resources.memoryReservationBytes", reservation, `it must not exceed the limit of ${out.limit}`);
    }
    out.reservation = reservation;
  }
  if (swap !== undefined && swap !== 0) {
    if (out.limit === undefined) throw invalid("resources.memorySwapBytes", swap, "set memoryBytes too");
    if (swap !== -1 && swap < out.limit) {
      throw invalid("resources.memorySwapBytes", swap, `it counts memory plus swap, so at least ${out.limit}`);
    }
    if (!host.swapLimit && swap !== -1) {
      throw new NyxError(
        "failed_precondition",
        "Could not apply resources.memorySwapBytes: the kernel does not account swap; boot with swapaccount=1 or leave the limit out",
        { context: { field: "resources.memorySwapBytes", value: swap } },
      );
    }
    if (host.swapLimit) out.swap = swap;
  } else if (out.limit !== undefined) {
    // As in Docker: as much swap as memory.
    if (host.swapLimit) out.swap = Math.min(out.limit * 2, Number.MAX_SAFE_INTEGER);
    else warnings.push("Swap is not limited: the kernel does not account it");
  }
  if (r.oomKillDisable === true) {
    if (host.cgroup === "v2") {
      throw new NyxError(
        "failed_precondition",
        "Could not apply resources.oomKillDisable: cgroup v2 has no such switch; leave it out",
        { context: { field: "resources.oomKillDisable", value: true } },
      );
    }
    needs(host, "memory", "oomKillDisable");
    if (out.limit === undefined) {
      warnings.push("The OOM killer is off and no memory limit is set: the host may run out");
    }
    out.disableOOMKiller = true;
  }
  return Object.keys(out).length > 0 ? out : undefined;
}

/** Checks a cpuset list such as `0-2,4`. */
function cpuset(field: string, text: string): string {
  for (const part of text.split(",")) {
    const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(part.trim());
    if (match === null || (match[2] !== undefined && Number(match[2]) < Number(match[1]))) {
      throw invalid(`resources.${field}`, text, "write a list such as 0-2,4");
    }
  }
  return text;
}

function cpu(r: Resources, { host, cpus }: ResourceContext): OciResources["cpu"] {
  const out: NonNullable<OciResources["cpu"]> = {};
  if (r.nanoCpus !== undefined && r.nanoCpus !== 0) {
    const most = cpus * NANO;
    integer("nanoCpus", r.nanoCpus, NANO / 100, most, `use 0.01 to ${cpus} CPUs, this machine's number`);
    if ((r.cpuQuotaUs ?? 0) !== 0 || (r.cpuPeriodUs ?? 0) !== 0) {
      throw invalid("resources.nanoCpus", r.nanoCpus, "give either CPUs or period and quota");
    }
    needs(host, "cpu", "nanoCpus");
    out.period = DEFAULT_PERIOD_US;
    out.quota = Math.round(r.nanoCpus * DEFAULT_PERIOD_US / NANO);
  }
  if ((r.cpuPeriodUs ?? 0) !== 0) {
    integer("cpuPeriodUs", r.cpuPeriodUs, 1000, 1_000_000, "use 1000 to 1000000 microseconds");
    needs(host, "cpu", "cpuPeriodUs");
    out.period = r.cpuPeriodUs ?? DEFAULT_PERIOD_US;
  }
  if ((r.cpuQuotaUs ?? 0) !== 0) {
    if (r.cpuQuotaUs !== -1) {
      integer("cpuQuotaUs", r.cpuQuotaUs, 1000, Number.MAX_SAFE_INTEGER, "use at least 1000 microseconds, or -1");
    }
    needs(host, "cpu", "cpuQuotaUs");
    out.quota = r.cpuQuotaUs ?? -1;
  }
  if ((r.cpuShares ?? 0) !== 0) {
    integer("cpuShares", r.cpuShares, 2, 262_144, "use 2 to 262144");
    needs(host, "cpu", "cpuShares");
    out.shares = r.cpuShares ?? 0;
  }
  if (r.cpusetCpus !== undefined && r.cpusetCpus !== "") {
    needs(host, "cpuset", "cpusetCpus");
    out.cpus = cpuset("cpusetCpus", r.cpusetCpus);
  }
  if (r.cpusetMems !== undefined && r.cpusetMems !== "") {
    needs(host, "cpuset", "cpusetMems");
    out.mems = cpuset("cpusetMems", r.cpusetMems);
  }
  return Object.keys(out).length > 0 ? out : undefined;
}

/**
 * linux.resources without its devices. A limit that the host cannot enforce is refused; one that nobody asked for by name is
 * left out with a warning.
 *
 * @throws NyxError invalid_argument for a value out of range; failed_precondition when the host lacks the controller
 */
export function resolveResources(
  r: Resources,
  ctx: ResourceContext,
  warnings: string[],
): Omit<OciResources, "devices"> {
  const out: Omit<OciResources, "devices"> = {};
  const mem = memory(r, ctx.host, warnings);
  if (mem !== undefined) out.memory = mem;
  const cpuOut = cpu(r, ctx);
  if (cpuOut !== undefined) out.cpu = cpuOut;
  if (r.pidsLimit !== undefined && r.pidsLimit !== 0 && r.pidsLimit !== -1) {
    integer("pidsLimit", r.pidsLimit, 1, Number.MAX_SAFE_INTEGER, "use a count, or -1 for unlimited");
    needs(ctx.host, "pids", "pidsLimit");
    out.pids = { limit: r.pidsLimit };
  }
  if (r.blkioWeight !== undefined && r.blkioWeight !== 0) {
    integer("blkioWeight", r.blkioWeight, 10, 1000, "use 10 to 1000");
    if (!ctx.host.blkioWeight) {
      throw new NyxError(
        "failed_precondition",
        "Could not apply resources.blkioWeight: this kernel's block controller has no weights (the BFQ scheduler gives them); leave it out",
        { context: { field: "resources.blkioWeight", value: r.blkioWeight } },
      );
    }
    out.blockIO = { weight: r.blkioWeight };
  }
  return out;
}

/**
 * process.oomScoreAdj: 0 unless asked otherwise, so that a container does not inherit the daemon's protection.
 *
 * @throws NyxError failed_precondition for a negative one without CAP_SYS_RESOURCE
 */
export function resolveOomScore(value: number | undefined, host: HostFacts): number {
  integer("oomScoreAdj", value, -1000, 1000, "use -1000 to 1000");
  if ((value ?? 0) < 0 && !host.capabilities.includes("CAP_SYS_RESOURCE")) {
    throw new NyxError(
      "failed_precondition",
      `Could not set resources.oomScoreAdj to ${value}: lowering it takes CAP_SYS_RESOURCE, which nyxd lacks`,
      { context: { field: "resources.oomScoreAdj", value: value ?? 0 } },
    );
  }
  return value ?? 0;
}
