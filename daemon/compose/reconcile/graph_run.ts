/** Runs jobs in the order that they ask for, everything else side by side. Knows nothing of containers. */

import { NyxError, toNyxError } from "../../spec/errors.ts";

/** One job. */
export interface Job {
  /** Unique. */
  id: string;
  /** Jobs that end before it begins; ids that do not exist are no obstacle. */
  after: readonly string[];
  /** Those of `after` whose failure is no obstacle. */
  optional: ReadonlySet<string>;
  /** Does it. The signal aborts when another job failed for good. */
  run(signal: AbortSignal): Promise<void>;
}

/** How a job ended. */
export type Outcome =
  | { state: "done" }
  | { state: "failed"; error: NyxError }
  | { state: "skipped"; reason: string };

/** What {@linkcode runGraph} needs beside the jobs. */
export interface GraphOptions {
  /** Aborts everything that has not ended. */
  signal: AbortSignal;
  /** Whether a failure is one that the rest goes on after. */
  tolerated: (id: string) => boolean;
  /** Hears of beginnings and ends. */
  onState: (id: string, state: "working" | Outcome) => void;
}

/**
 * Runs all jobs. After a failure that is not tolerated no further job begins, and those under way are told by their signal; it
 * resolves when none runs any more, and never rejects.
 */
export async function runGraph(jobs: readonly Job[], options: GraphOptions): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const ends = new Map(jobs.map((job) => [job.id, Promise.withResolvers<void>()]));
  let failed: string | undefined;
  const obstacle = (job: Job): string | undefined => {
    const bad = job.after.find((id) => {
      const outcome = outcomes.get(id);
      return outcome !== undefined && outcome.state !== "done" && !job.optional.has(id);
    });
    if (bad !== undefined) return `${bad} was not done`;
    if (failed !== undefined) return `${failed} failed`;
    return options.signal.aborted ? "it was canceled" : undefined;
  };
  const one = async (job: Job): Promise<void> => {
    await Promise.all(job.after.map((id) => ends.get(id)?.promise));
    const reason = obstacle(job);
    let outcome: Outcome;
    if (reason !== undefined) outcome = { state: "skipped", reason };
    else {
      options.onState(job.id, "working");
      try {
        await job.run(signal);
        outcome = { state: "done" };
      } catch (e) {
        const error = toNyxError(e);
        // What another failure cut short did not fail by itself.
        const cut = failed !== undefined && error.code === "canceled";
        outcome = cut ? { state: "skipped", reason: `${failed} failed` } : { state: "failed", error };
        if (!cut && !options.tolerated(job.id)) {
          failed ??= job.id;
          stop.abort(new NyxError("canceled", `${job.id} failed`));
        }
      }
    }
    outcomes.set(job.id, outcome);
    options.onState(job.id, outcome);
    ends.get(job.id)?.resolve();
  };
  await Promise.all(jobs.map(one));
  return outcomes;
}
