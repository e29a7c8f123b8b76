/** Exit codes of execs whose answer had no room for one, kept for a while. */

import type { ExecState } from "../spec/api.ts";

/** Bounded memory of execs by id: the oldest go first. */
export class ExecMemory {
  readonly #states = new Map<string, ExecState & { container: string }>();
  readonly #capacity: number;

  /** @param capacity execs remembered */
  constructor(capacity = 1024) {
    this.#capacity = capacity;
  }

  /**
   * Remembers an exec, and its exit code once it has one.
   *
   * @param container the container as the request named it
   * @param exit settles when the process ended
   */
  add(container: string, execId: string, exit: Promise<{ code: number } | undefined>): void {
    const state: ExecState & { container: string } = { container, exec_id: execId, running: true };
    this.#states.set(execId, state);
    const oldest = this.#states.keys().next().value;
    if (this.#states.size > this.#capacity && oldest !== undefined) this.#states.delete(oldest);
    exit.then((status) => {
      state.running = false;
      if (status !== undefined) state.exit_code = status.code;
    }, () => state.running = false);
  }

  /** What is known; undefined when the exec is unknown or forgotten. */
  get(execId: string): ExecState | undefined {
    const state = this.#states.get(execId);
    if (state === undefined) return undefined;
    const { container: _container, ...rest } = state;
    return rest;
  }
}
