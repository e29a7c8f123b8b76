/** Limits as `crun update --resources` takes them: LinuxResources of the OCI runtime specification. */

import type { Resources } from "../../daemon/spec/container.ts";

const CFS_PERIOD_US = 100_000;

/** OCI resources of changed limits; what is missing stays as it is. */
export function ociResources(r: Resources): Record<string, unknown> {
  const memory = present({ limit: r.memoryBytes, swap: r.memorySwapBytes, reservation: r.memoryReservationBytes });
  const quota = r.nanoCpus === undefined
    ? r.cpuQuotaUs
    : Math.round((r.nanoCpus / 1e9) * (r.cpuPeriodUs ?? CFS_PERIOD_US));
  const period = r.cpuPeriodUs ?? (r.nanoCpus === undefined ? undefined : CFS_PERIOD_US);
  const cpu = present({ shares: r.cpuShares, quota, period, cpus: r.cpusetCpus, mems: r.cpusetMems });
  const pids = r.pidsLimit === undefined ? undefined : { limit: r.pidsLimit === 0 ? -1 : r.pidsLimit };
  return present({ memory, cpu, pids, blockIO: present({ weight: r.blkioWeight }) }) ?? {};
}

function present(o: Record<string, unknown>): Record<string, unknown> | undefined {
  const entries = Object.entries(o).filter(([, v]) => v !== undefined);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
