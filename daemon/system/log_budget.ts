/**
 * The bound on all containers' logs together: `--log-budget`. Rotation bounds each container; many of them may still fill a disk. What
 * goes is rotated parts, the oldest of the container whose log is the largest, and it is told.
 */

import { statfs } from "node:fs/promises";
import type { Logger } from "../log/logger.ts";
import { removeIfPresent } from "../persist/atomic.ts";

/** Looks at the logs this often. */
const PERIOD_MS = 30_000;
/** Share of the file system that logs may take without the flag. */
const DEFAULT_SHARE = 0.1;

/** One file of a container's log. */
export interface LogPartInfo {
  id: string;
  name: string;
  /** Number of a rotated part; undefined for the file that is written, which stays. */
  number?: number;
  bytes: number;
}

/** What was taken from one container's log. */
export interface TrimmedLog {
  id: string;
  files: number;
  bytes: number;
}

/** Reads a file's name; undefined for what is no log's. */
export function parseLogName(name: string): { id: string; number?: number } | undefined {
  const match = /^([0-9a-f]{64})\.log(?:\.(\d+)(?:\.gz)?)?$/.exec(name);
  if (match?.[1] === undefined) return undefined;
  return match[2] === undefined ? { id: match[1] } : { id: match[1], number: Number(match[2]) };
}

/** Rotated parts to remove so that all together are within the budget, or as near to it as rotated parts go. */
export function partsToRemove(files: readonly LogPartInfo[], budgetBytes: number): LogPartInfo[] {
  let total = files.reduce((sum, f) => sum + f.bytes, 0);
  const logs = [...Map.groupBy(files, (f) => f.id).values()].map((parts) => ({
    bytes: parts.reduce((sum, f) => sum + f.bytes, 0),
    rotated: parts.filter((f) => f.number !== undefined).sort((a, b) => (b.number ?? 0) - (a.number ?? 0)),
  }));
  const removed: LogPartInfo[] = [];
  while (total > budgetBytes) {
    const able = logs.filter((l) => l.rotated.length > 0);
    const largest = able.reduce<typeof able[number] | undefined>(
      (a, b) => (a === undefined || b.bytes > a.bytes ? b : a),
      undefined,
    );
    const oldest = largest?.rotated.pop();
    if (largest === undefined || oldest === undefined) break;
    largest.bytes -= oldest.bytes;
    total -= oldest.bytes;
    removed.push(oldest);
  }
  return removed;
}

/** The budget that a setting means: itself, or a tenth of the file system of `dir`. */
export async function budgetOf(setting: number | "default", dir: string): Promise<number> {
  if (setting !== "default") return setting;
  const { blocks, bsize } = await statfs(dir);
  return Math.floor(blocks * bsize * DEFAULT_SHARE);
}

/** Options of a {@linkcode LogBudget}. */
export interface LogBudgetOptions {
  /** Directory of all logs. */
  dir: string;
  budgetBytes: number;
  log: Pick<Logger, "warn">;
  /** Told what was taken from a log. */
  onTrimmed: (trimmed: TrimmedLog) => void;
}

/** Keeps the logs of one daemon within their budget. */
export class LogBudget {
  readonly #options: LogBudgetOptions;
  #timer: ReturnType<typeof setInterval> | undefined;
  #checking: Promise<void> | undefined;
  #told = false;

  /** @param options where, how much, and who is told */
  constructor(options: LogBudgetOptions) {
    this.#options = options;
  }

  /** Bytes that all logs together may take. */
  get budgetBytes(): number {
    return this.#options.budgetBytes;
  }

  /** Begins to look, now and then, where there is a budget to hold to; this does not keep the process alive. */
  start(): void {
    if (this.#options.budgetBytes === Infinity) return;
    this.#timer = setInterval(() => void this.check(), PERIOD_MS);
    Deno.unrefTimer(Number(this.#timer));
    void this.check();
  }

  /** Ends it. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** Looks once; callers at the same time share one look. Failures are logged. */
  check(): Promise<void> {
    return this.#checking ??= this.#check()
      .catch((error) => this.#options.log.warn("The logs could not be held to their budget", { error }))
      .finally(() => this.#checking = undefined);
  }

  async #check(): Promise<void> {
    const { budgetBytes, log, onTrimmed, dir } = this.#options;
    const files = await this.#files();
    const total = files.reduce((sum, f) => sum + f.bytes, 0);
    if (total <= budgetBytes) {
      this.#told = false;
      return;
    }
    const trimmed = new Map<string, TrimmedLog>();
    for (const { id, name, bytes } of partsToRemove(files, budgetBytes)) {
      await removeIfPresent(`${dir}/${name}`);
      const so = trimmed.get(id) ?? { id, files: 0, bytes: 0 };
      trimmed.set(id, { id, files: so.files + 1, bytes: so.bytes + bytes });
    }
    for (const one of trimmed.values()) {
      log.warn("Old parts of a log were removed: all logs together are over --log-budget", { ...one, budgetBytes });
      onTrimmed(one);
    }
    const left = total - [...trimmed.values()].reduce((sum, t) => sum + t.bytes, 0);
    if (left <= budgetBytes || this.#told) return;
    this.#told = true;
    log.warn(
      "Logs are over --log-budget by what is being written; bound it with --log-opt max-size, or raise the budget",
      {
        bytes: left,
        budgetBytes,
      },
    );
  }

  async #files(): Promise<LogPartInfo[]> {
    const { dir } = this.#options;
    const found: LogPartInfo[] = [];
    for await (const { name } of Deno.readDir(dir)) {
      const parsed = parseLogName(name);
      if (parsed === undefined) continue;
      try {
        found.push({ ...parsed, name, bytes: (await Deno.stat(`${dir}/${name}`)).size });
      } catch (e) {
        if (!(e instanceof Deno.errors.NotFound)) throw e;
      }
    }
    return found;
  }
}
