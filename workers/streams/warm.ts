/**
 * Monitors started ahead of need. Such a monitor has its directory and FIFOs and waits for a container; a launch renames the directory
 * (the shell's working directory goes with it) and sends one command, so that between a request and crun lies one fork of a small shell.
 */

import { AT_FDCWD, O, S } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import type { StreamsContext } from "./context.ts";
import { createMonitorDir, removeMonitorDir, WARM_SCRIPT, WARM_SHAPE } from "./monitor.ts";
import { spawnSession } from "./spawn.ts";

const PREFIX = ".warm-";
/** Waiting monitors: 150 KiB each. */
const POOL_SIZE = 2;
/**
 * When the pool is filled up after a launch, milliseconds. A fork holds this thread, and with it the news of every exit, until the child
 * runs its own program, which on a busy machine is a time slice: so not while a container that was just started may be ending.
 */
const REFILL_MS = 25;

/** A waiting monitor. */
export interface WarmMonitor {
  dir: string;
  /** Write end of its `cmd`; the taker's, to be closed once the command is written. */
  cmdFd: number;
  /** Write end of its `ack`; the taker's. */
  ackFd: number;
  child: Deno.ChildProcess;
}

/** The waiting monitors of one worker. */
export class WarmPool {
  readonly #context: StreamsContext;
  readonly #ready: Omit<WarmMonitor, "ackFd">[] = [];
  #next = 1;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** Removes what an earlier nyxd left (its waiting monitors went with it), and begins to fill. */
  constructor(context: StreamsContext) {
    this.#context = context;
    for (const { name } of Deno.readDirSync(this.#base)) {
      if (name.startsWith(PREFIX)) removeMonitorDir(context.files, `${this.#base}/${name}`);
    }
    this.refill();
  }

  /** A monitor that waits, if one does. */
  take(): WarmMonitor | undefined {
    const next = this.#ready[0];
    if (next === undefined) return undefined;
    try {
      const ackFd = this.#context.files.openat(AT_FDCWD, `${next.dir}/ack`, O.WRONLY | O.NONBLOCK | O.CLOEXEC);
      this.#ready.shift();
      return { ...next, ackFd };
    } catch (e) {
      // It has not got so far yet, or was killed.
      if (isErrno(e, "ENXIO", "ENOENT")) return undefined;
      throw e;
    }
  }

  /** Starts what is missing, soon. */
  refill(): void {
    if (this.#closed || this.#timer !== undefined || this.#ready.length >= POOL_SIZE) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#closed) return;
      try {
        this.#start();
        this.refill();
      } catch (e) {
        // Launches do without; the next one tries again.
        this.#context.report(e, "warm monitor");
      }
    }, REFILL_MS);
  }

  /** Sends all away. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    const errors: unknown[] = [];
    for (const entry of this.#ready.splice(0)) {
      try {
        this.#dismiss(entry);
      } catch (e) {
        errors.push(e);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  get #base(): string {
    return `${this.#context.baseDir}/run/monitor`;
  }

  #start(): void {
    const { files, crun } = this.#context;
    const dir = `${this.#base}/${PREFIX}${this.#next++}`;
    createMonitorDir(files, dir, WARM_SHAPE);
    files.mknodat(AT_FDCWD, `${dir}/cmd`, S.IFIFO | 0o600, 0, 0);
    // Read-write, because a write end alone cannot be opened before the shell has come to its own.
    const cmdFd = files.openat(AT_FDCWD, `${dir}/cmd`, O.RDWR | O.NONBLOCK | O.CLOEXEC);
    const child = spawnSession(WARM_SCRIPT, [this.#base, ...crun.argv([])], dir);
    child.unref();
    const entry = { dir, cmdFd, child };
    this.#ready.push(entry);
    void child.status.then(() => {
      const at = this.#ready.indexOf(entry);
      if (at < 0) return;
      this.#ready.splice(at, 1);
      this.#dismiss(entry);
    });
  }

  #dismiss({ dir, cmdFd }: Omit<WarmMonitor, "ackFd">): void {
    this.#context.files.close(cmdFd);
    removeMonitorDir(this.#context.files, dir);
  }
}
