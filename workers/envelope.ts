/**
 * Frames between the daemon's main thread (host side) and a stage worker (serve side).
 *
 * Rules: every request gets exactly one `result` or `failure`, also after `cancel`; `progress` belongs to one request and
 * counts up from 1; `event` belongs to none; `ready` is the first frame of a worker. Errors are plain data, because
 * structured clone drops an Error subclass's fields, and an AbortSignal cannot be cloned at all.
 */

import type { ErrorData } from "../daemon/spec/errors.ts";

/** Version of these frames; host and worker must agree. */
export const PROTOCOL_VERSION = 1;

/** Frames that the host sends. */
export type HostFrame =
  | { type: "request"; id: number; op: string; payload: unknown; deadlineMs?: number }
  | { type: "cancel"; id: number };

/** Frames that a worker sends. */
export type WorkerFrame =
  | { type: "ready"; worker: string; version: number; ops: string[] }
  | { type: "progress"; id: number; seq: number; payload: unknown }
  | { type: "result"; id: number; payload: unknown }
  | { type: "failure"; id: number; error: ErrorData }
  | { type: "event"; payload: unknown }
  | { type: "log"; level: LogLevel; msg: string; fields: Record<string, unknown> };

/** Levels of the daemon log, rising. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** Types of one operation: what is asked, what is answered, what is told meanwhile. */
export interface OpTypes {
  /** Request payload; must survive structured clone. */
  request: unknown;
  /** Terminal result. */
  result: unknown;
  /** Progress payload; `never` when the operation reports none. */
  progress: unknown;
}

/** All operations of a stage, and the events it emits unasked. */
export interface StageTypes {
  ops: Record<string, OpTypes>;
  event: unknown;
}
