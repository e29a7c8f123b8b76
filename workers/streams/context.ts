/** What every part of the streams worker works with. */

import type { FileKernel } from "../../ffi/file.ts";
import type { PollKernel } from "../../ffi/poll.ts";
import type { ProcessKernel } from "../../ffi/process.ts";
import type { TtyKernel } from "../../ffi/tty.ts";
import type { LogLevel } from "../envelope.ts";
import type { HostFacts, StreamsStage } from "../protocol.ts";
import type { Crun } from "./crun.ts";
import type { LogPolicy } from "./log_file.ts";
import type { PollLoop } from "./loop.ts";
import type { Scratch } from "./staging.ts";
import type { DirectoryWatcher } from "./watcher.ts";

/** Kernel areas, loop, settings and ways to speak of one streams worker. */
export interface StreamsContext {
  readonly files: FileKernel;
  readonly poll: PollKernel;
  readonly process: ProcessKernel;
  readonly tty: TtyKernel;
  readonly loop: PollLoop;
  readonly scratch: Scratch;
  readonly watcher: DirectoryWatcher;
  readonly crun: Crun;
  readonly baseDir: string;
  readonly cgroup: HostFacts["cgroup"];
  readonly logDefaults: LogPolicy;
  /** Emits an event of the stage. */
  event(event: StreamsStage["event"]): void;
  /** Writes a line of the daemon's log. */
  log(level: LogLevel, msg: string, fields?: Record<string, unknown>): void;
  /** Logs an error that nobody waits for. */
  report(e: unknown, id: string): void;
}
