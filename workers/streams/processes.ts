/** What runs in a container and what it uses, read from /proc and the cgroup file systems. */

import { NyxError } from "../../daemon/spec/errors.ts";
import { tryReadText } from "./proc.ts";

/** A container's cgroup directory for each controller; key "" is the unified hierarchy. */
function cgroupDirs(pid: number): Map<string, string> {
  const dirs = new Map<string, string>();
  for (const line of (readProc(`/proc/${pid}/cgroup`)).trim().split("\n")) {
    const [, controllers = "", path = "/"] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    for (const controller of controllers.split(",")) {
      const name = controller.replace(/^name=/, "");
      dirs.set(name, name === "" ? `/sys/fs/cgroup${path}` : `/sys/fs/cgroup/${name}${path}`);
    }
  }
  return dirs;
}

function readProc(path: string): string {
  const text = tryReadText(path);
  if (text !== undefined) return text;
  throw new NyxError("unavailable", `Could not read ${path}: the process has just ended`, { retryable: true });
}

function tryRead(path: string | undefined): string | undefined {
  return path === undefined ? undefined : tryReadText(path);
}

/** Rows as `ps -ef` words them. */
export function processTable(pid: number): { titles: string[]; processes: string[][] } {
  const dirs = cgroupDirs(pid);
  const listing = firstRead([dirs.get("pids"), dirs.get("memory"), dirs.get("")], "cgroup.procs");
  const bootMs = Number(/^btime (\d+)$/m.exec(readProc("/proc/stat"))?.[1] ?? 0) * 1000;
  const processes: string[][] = [];
  for (const each of listing.trim().split("\n")) {
    const stat = tryRead(`/proc/${each}/stat`);
    const status = tryRead(`/proc/${each}/status`);
    if (stat === undefined || status === undefined) continue;
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const command = ((tryRead(`/proc/${each}/cmdline`)) ?? "").split("\0").filter((w) => w !== "").join(" ");
    const ticks = Number(fields[11]) + Number(fields[12]);
    processes.push([
      /^Uid:\s+(\d+)/m.exec(status)?.[1] ?? "?",
      each,
      fields[1] ?? "?",
      new Date(bootMs + Number(fields[19]) * 10).toISOString().slice(11, 19),
      clock(ticks / 100),
      command || `[${/^Name:\s+(.*)$/m.exec(status)?.[1] ?? "?"}]`,
    ]);
  }
  return { titles: ["UID", "PID", "PPID", "STIME", "TIME", "CMD"], processes };
}

function firstRead(dirs: (string | undefined)[], file: string): string {
  for (const dir of dirs) {
    const text = dir === undefined ? undefined : tryRead(`${dir}/${file}`);
    if (text !== undefined && text.trim() !== "") return text;
  }
  throw new NyxError("unavailable", `Could not find the cgroup of the container (${file})`, { retryable: true });
}

function clock(seconds: number): string {
  const s = Math.floor(seconds);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

/** Counters now: nanoseconds of CPU, bytes, processes. A counter that the host does not keep is absent. */
export function usageOf(pid: number): Record<string, number> {
  const dirs = cgroupDirs(pid);
  const usage: Record<string, number> = {};
  const put = (key: string, text: string | undefined, scale = 1) => {
    const value = Number(text?.trim());
    if (text !== undefined && text.trim() !== "" && Number.isFinite(value)) usage[key] = value * scale;
  };
  const unified = dirs.get("");
  put("cpuNs", tryRead(dir(dirs.get("cpuacct"), "cpuacct.usage")));
  put("memoryBytes", tryRead(dir(dirs.get("memory"), "memory.usage_in_bytes")));
  put("memoryLimitBytes", tryRead(dir(dirs.get("memory"), "memory.limit_in_bytes")));
  put("pids", tryRead(dir(dirs.get("pids"), "pids.current")));
  if (usage["cpuNs"] === undefined) {
    put("cpuNs", /^usage_usec (\d+)$/m.exec((tryRead(dir(unified, "cpu.stat"))) ?? "")?.[1], 1000);
  }
  if (usage["memoryBytes"] === undefined) put("memoryBytes", tryRead(dir(unified, "memory.current")));
  if (usage["memoryLimitBytes"] === undefined) put("memoryLimitBytes", tryRead(dir(unified, "memory.max")));
  if (usage["pids"] === undefined) put("pids", tryRead(dir(unified, "pids.current")));
  const net = tryRead(`/proc/${pid}/net/dev`);
  if (net !== undefined) Object.assign(usage, networkCounters(net));
  return usage;
}

function dir(path: string | undefined, file: string): string | undefined {
  return path === undefined ? undefined : `${path}/${file}`;
}

/** Bytes in and out over all interfaces but loopback, from the text of /proc/<pid>/net/dev. */
export function networkCounters(text: string): { networkRxBytes: number; networkTxBytes: number } {
  let networkRxBytes = 0;
  let networkTxBytes = 0;
  for (const line of text.split("\n")) {
    const [, name, rest = ""] = /^\s*([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || name === "lo") continue;
    const fields = rest.split(/\s+/).map(Number);
    networkRxBytes += fields[0] ?? 0;
    networkTxBytes += fields[8] ?? 0;
  }
  return { networkRxBytes, networkTxBytes };
}
