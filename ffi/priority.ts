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
  /**
   * Has a thread run in shorter turns: woken, it need not wait until others have had their longer ones, and gets no larger share
   * (sched_setattr(2); kernels before 6.12 take it and ignore it). Threads and programs that it starts do not inherit it. Threads
   * with another policy than the normal one are left alone.
   *
   * @param tid thread; the process's id means its first thread
   * @param ns length of a turn, nanoseconds, 100,000 at least
   */
  setSlice(tid: number, ns: number): void;
  /** Length of a thread's turns, nanoseconds; 0 where none was set, or the kernel does not tell. */
  slice(tid: number): number;
}
