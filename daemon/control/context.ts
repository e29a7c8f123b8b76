/** What all requests of one server share. */

import type { Telemetry } from "../telemetry/telemetry.ts";
import type { NyxError } from "../spec/errors.ts";
import type { ExecMemory } from "./exec_memory.ts";
import type { Services } from "./services.ts";

/** Writes one line of the daemon's log. */
export interface ControlLog {
  /** Something failed that should not have. */
  error(message: string, fields?: Record<string, unknown>): void;
  /** Something is off, and was handled. */
  warn(message: string, fields?: Record<string, unknown>): void;
  /** For whoever follows one request. */
  debug(message: string, fields?: Record<string, unknown>): void;
}

/** What all requests of one server share. */
export interface ControlContext {
  /** The rest of the daemon. */
  services: Services;
  /** The daemon's log. */
  log: ControlLog;
  /** Where it is on: each request is a span. */
  telemetry?: Telemetry;
  /** Streams under way, each by what ends it. */
  live: LiveStreams;
  /** Exit codes of unframed execs. */
  execs: ExecMemory;
  /** The OpenAPI document as JSON text. */
  openapi(): Promise<string>;
}

/** Streams that would otherwise keep a closing server waiting. */
export class LiveStreams {
  readonly #ends = new Set<(reason: NyxError) => void>();

  /** Number of streams under way. */
  get size(): number {
    return this.#ends.size;
  }

  /** Adds a stream by what ends it; returns what takes it out again. */
  add(end: (reason: NyxError) => void): () => void {
    this.#ends.add(end);
    return () => this.#ends.delete(end);
  }

  /** Ends them all. */
  endAll(reason: NyxError): void {
    for (const end of [...this.#ends]) end(reason);
  }
}
