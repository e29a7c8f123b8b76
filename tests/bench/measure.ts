/** Alternating measurement: every subject once a round, so that a drift of the machine hits all alike. */

/** Something to measure: one run of it, in milliseconds, or another number where the row says so. */
export type Subject = () => Promise<number>;

/** Subjects of one row by name; undefined ones are left out. */
export type Subjects = Record<string, Subject | undefined>;

/** Percentile of numbers. */
export function percentile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN;
}

/** Runs `job` and gives its duration in milliseconds. */
export async function timed(job: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await job();
  return performance.now() - began;
}

/** Between two runs: what one leaves to be cleaned up is not to be paid by the next. */
const PAUSE_MS = 60;

/**
 * Measures all subjects in alternation.
 *
 * @param rounds counted rounds; one more comes first and is not counted
 */
export async function alternate(subjects: Subjects, rounds: number): Promise<Record<string, number[]>> {
  const results: Record<string, number[]> = {};
  for (let round = -1; round < rounds; round++) {
    for (const [name, subject] of Object.entries(subjects)) {
      if (subject === undefined) continue;
      const value = await subject();
      if (round >= 0) (results[name] ??= []).push(value);
      await new Promise((r) => setTimeout(r, PAUSE_MS));
    }
  }
  return results;
}

/** What one row of the table promises. */
export interface Budget {
  /** Subject whose median is the measure. */
  of: string;
  /** Those it is compared with; the best of them counts. */
  against: string[];
  /** Most that `of` may be of the best, or an absolute bound when `against` is empty. */
  atMost: number;
}

/** One line of the table. */
export interface Line {
  row: string;
  medians: Record<string, number>;
  ratio: number;
  budget: Budget;
  within: boolean;
}

/** Judges a row. */
export function judge(row: string, results: Record<string, number[]>, budget: Budget): Line {
  const medians = Object.fromEntries(Object.entries(results).map(([k, v]) => [k, percentile(v, 0.5)]));
  const best = Math.min(...budget.against.map((k) => medians[k] ?? Infinity));
  const own = medians[budget.of] ?? NaN;
  const ratio = budget.against.length === 0 ? own : own / best;
  return { row, medians, ratio, budget, within: ratio <= budget.atMost };
}

/** Prints a line. */
export function print(line: Line): void {
  const all = Object.entries(line.medians).map(([k, v]) => `${k} ${v < 10 ? v.toFixed(2) : v.toFixed(1)}`).join(" · ");
  const kind = line.budget.against.length === 0 ? "" : "x";
  const verdict = Number.isFinite(line.ratio) ? (line.within ? "ok" : "OVER") : "no peer";
  console.log(`| ${line.row} | ${all} | ${line.ratio.toFixed(2)}${kind} | ${line.budget.atMost}${kind} | ${verdict} |`);
}

/** CPU time of a process and its threads so far, seconds (proc_pid_stat(5): 100 ticks a second); its children's is not in it. */
export function cpuSeconds(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
