/** Scheduling priority of a thread (setpriority(2); on Linux each thread has its own, see the notes of its manual page). */

/** Highest and lowest of nice values. */
export const NICE_RANGE = { first: -20, last: 19 } as const;

/** Calls about priority. Failure throws SyscallError. */
export interface PriorityKernel {
  /**
   * Sets the calling thread's nice value; threads that it starts later inherit it, others of the process keep theirs. Raising
   * it needs no privilege; lowering it again does.
   */
  setNice(nice: number): void;
  /** The calling thread's nice value. */
  nice(): number;
}
