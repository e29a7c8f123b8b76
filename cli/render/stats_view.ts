/** Resource usage between two samples, as `nyx stats` shows it. */

import { formatBinarySize, formatSize } from "../../daemon/spec/parse/size.ts";
import type { View } from "./rows.ts";

/** One sample of the daemon and when it was taken. */
export interface Sample {
  atMs: number;
  values: Record<string, number | string>;
}

/** Headings that are not just the field's name. */
export const STATS_HEADS: Readonly<Record<string, string>> = {
  ID: "CONTAINER ID",
  Name: "NAME",
  CPUPerc: "CPU %",
  MemUsage: "MEM USAGE / LIMIT",
  MemPerc: "MEM %",
  NetIO: "NET I/O",
  PIDs: "PIDS",
};

function number(sample: Sample, key: string): number | undefined {
  const value = sample.values[key];
  return typeof value === "number" ? value : undefined;
}

/**
 * CPU in percent of one CPU over the span; `--` before there are two samples.
 *
 * @param hostMemory stands for a missing limit, or one beyond what the host has
 */
export function statsView(now: Sample, before: Sample | undefined, hostMemory: number, noTrunc: boolean): View {
  const [cpu, cpuBefore] = [number(now, "cpuNs"), before === undefined ? undefined : number(before, "cpuNs")];
  const span = before === undefined ? 0 : (now.atMs - before.atMs) * 1e6;
  const memory = number(now, "memoryBytes");
  const limit = Math.min(number(now, "memoryLimitBytes") ?? Infinity, hostMemory);
  const id = String(now.values.id ?? "");
  return {
    ID: noTrunc ? id : id.slice(0, 12),
    Container: String(now.values.name ?? id),
    Name: String(now.values.name ?? id),
    CPUPerc: cpu === undefined || cpuBefore === undefined || span <= 0
      ? "--"
      : `${(Math.max(0, cpu - cpuBefore) * 100 / span).toFixed(2)}%`,
    MemUsage: memory === undefined ? "-- / --" : `${formatBinarySize(memory)} / ${formatBinarySize(limit)}`,
    MemPerc: memory === undefined || !(limit > 0) ? "--" : `${(memory * 100 / limit).toFixed(2)}%`,
    NetIO: `${formatSize(number(now, "networkRxBytes") ?? 0, 3)} / ${
      formatSize(number(now, "networkTxBytes") ?? 0, 3)
    }`,
    PIDs: String(number(now, "pids") ?? "--"),
  };
}
