/**
 * Exactly-once logging across kill -9.
 *
 * Output goes: container's FIFO (or terminal) → splice → stage FIFO → tee → bytes here → record appended to the log → bytes
 * taken out of the stage. The stage belongs to nyxd alone and the monitor keeps it open, so output is always in the source,
 * in the stage, or in the log. Only between appending and taking out is it in two places: before it appends, nyxd writes an
 * intent (log length, bytes in the stage, bytes to take), and whoever adopts the monitor undoes the append when the stage
 * still holds them all. An unfinished line stays in the stage until it is finished.
 */

import { AT_FDCWD, type FileKernel, O } from "../../ffi/file.ts";
import type { ProcessKernel } from "../../ffi/process.ts";

/** Bytes taken at once: what a default pipe holds, and a multiple for pipes that were grown. */
export const READ_SIZE = 256 * 1024;
/** Size that a pipe is grown to when it was found full: the most an unprivileged user may have. */
export const GROWN_PIPE = 1024 * 1024;
const DEFAULT_PIPE = 64 * 1024;
/** After this many arrivals without a line's end the unfinished line is recorded as partial: each may hold a pipe slot. */
const MAX_ARRIVALS = 12;
const F_SETPIPE_SZ = 1031;
const INTENT_SIZE = 32;

/** Pipes and buffers that all containers use in turn; everything in them is done with when a call returns. */
export class Scratch {
  readonly readFd: number;
  readonly writeFd: number;
  readonly nullFd: number;
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(GROWN_PIPE);
  readonly records: Uint8Array<ArrayBuffer> = new Uint8Array(1536 * 1024);
  readonly #files: FileKernel;

  /** Opens the scratch pipe and /dev/null. */
  constructor(files: FileKernel, process: ProcessKernel) {
    this.#files = files;
    [this.readFd, this.writeFd] = process.pipe();
    files.fcntl(this.writeFd, F_SETPIPE_SZ, GROWN_PIPE);
    this.nullFd = files.openat(AT_FDCWD, "/dev/null", O.WRONLY | O.CLOEXEC);
  }

  /** Closes them. */
  close(): void {
    for (const fd of [this.readFd, this.writeFd, this.nullFd]) this.#files.close(fd);
  }
}

/** What was about to be appended. */
export interface Intent {
  /** 1 stdout, 2 stderr. */
  kind: number;
  logSize: number;
  stageBytes: number;
  take: number;
}

/** The intent file of one monitor: 32 bytes, written in place. */
export class IntentFile {
  readonly #files: FileKernel;
  readonly #fd: number;
  readonly #bytes = new Uint8Array(INTENT_SIZE);
  readonly #view = new DataView(this.#bytes.buffer);

  /** Opens or makes it. */
  constructor(files: FileKernel, path: string) {
    this.#files = files;
    this.#fd = files.openat(AT_FDCWD, path, O.CREAT | O.RDWR | O.NOFOLLOW | O.CLOEXEC, 0o600);
  }

  /** The intent that was left pending. */
  read(): Intent | undefined {
    if (this.#files.pread(this.#fd, this.#bytes, 0) < INTENT_SIZE) return undefined;
    const kind = this.#view.getUint32(0, true);
    if (kind !== 1 && kind !== 2) return undefined;
    return {
      kind,
      logSize: this.#view.getFloat64(8, true),
      stageBytes: this.#view.getFloat64(16, true),
      take: this.#view.getFloat64(24, true),
    };
  }

  /** Says what comes next. */
  set(kind: number, logSize: number, stageBytes: number, take: number): void {
    this.#view.setUint32(0, kind, true);
    this.#view.setFloat64(8, logSize, true);
    this.#view.setFloat64(16, stageBytes, true);
    this.#view.setFloat64(24, take, true);
    this.#files.pwrite(this.#fd, this.#bytes, 0);
  }

  /** Says that it was done. */
  clear(): void {
    this.#view.setUint32(0, 0, true);
    this.#files.pwrite(this.#fd, this.#bytes, 0);
  }

  /** Closes the file. */
  close(): void {
    this.#files.close(this.#fd);
  }
}

/**
 * Settles the append that an earlier nyxd left unconfirmed: either its bytes are still in the stage, then the log is to be
 * cut back (the length is returned) and they will be appended again, or they are taken out of the stage for good.
 *
 * @param dir monitor directory
 */
export function settleIntent(
  files: FileKernel,
  process: ProcessKernel,
  scratch: Scratch,
  dir: string,
  intent: IntentFile,
): number | undefined {
  const pending = intent.read();
  if (pending === undefined) return undefined;
  const stage = new Stage(files, process, scratch, `${dir}/${pending.kind === 1 ? "out" : "err"}.stage`);
  try {
    const gone = pending.stageBytes - stage.available();
    if (gone <= 0) return pending.logSize;
    if (gone < pending.take) stage.take(pending.take - gone);
    return undefined;
  } finally {
    stage.close();
  }
}

/** What one {@linkcode Stage.fill} found. */
export interface Filled {
  /** All bytes in the stage: a view of the scratch buffer, good until the next call. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Of these, how many at the start were there before. */
  known: number;
  /** Bytes that came from the source now. */
  moved: number;
  /** The source has ended. */
  ended: boolean;
}

/** The stage FIFO of one stream. */
export class Stage {
  readonly #files: FileKernel;
  readonly #process: ProcessKernel;
  readonly #scratch: Scratch;
  readonly fd: number;
  #held = 0;
  #arrivals = 0;
  #grown = false;
  #canSplice = true;

  /** Opens the stage at `path`; what a predecessor left in it is reported by the first fill as new. */
  constructor(files: FileKernel, process: ProcessKernel, scratch: Scratch, path: string) {
    this.#files = files;
    this.#process = process;
    this.#scratch = scratch;
    this.fd = files.openat(AT_FDCWD, path, O.RDWR | O.NONBLOCK | O.CLOEXEC);
  }

  /** Bytes waiting in the stage that fill has reported. */
  get held(): number {
    return this.#held;
  }

  /** Whether the unfinished line in the stage should be recorded now, because of the room it takes. */
  get crowded(): boolean {
    return this.#arrivals >= MAX_ARRIVALS;
  }

  /** Bytes in the FIFO as the kernel counts them. */
  available(): number {
    return this.#process.bytesReadable(this.fd);
  }

  /** Moves what there is from `sourceFd` into the stage and shows all that the stage holds. */
  fill(sourceFd: number): Filled {
    const moved = this.#move(sourceFd);
    if (moved >= DEFAULT_PIPE - 4096 && !this.#grown) this.#grow(sourceFd);
    if (moved > 0) this.#arrivals++;
    const available = moved > 0 || this.#held === 0 ? this.available() : this.#held;
    const known = this.#held;
    const bytes = available > known ? this.peek(available) : this.#scratch.bytes.subarray(0, 0);
    this.#held = Math.max(bytes.length, known);
    const stalled = moved === 0 && known > 0 && this.#process.bytesReadable(sourceFd) > 0;
    if (stalled) this.#arrivals = MAX_ARRIVALS;
    return { bytes, known, moved: Math.max(0, moved), ended: moved < 0 };
  }

  /** A look at the first `length` bytes of the stage. */
  peek(length: number): Uint8Array<ArrayBuffer> {
    const { readFd, writeFd, bytes } = this.#scratch;
    let n = 0;
    let copied = this.#process.tee(this.fd, writeFd, Math.min(length, bytes.length));
    while (copied > 0 && n < length) {
      const got = this.#files.read(readFd, bytes.subarray(n, n + copied));
      n += got;
      copied -= got;
    }
    return bytes.subarray(0, n);
  }

  /** Takes `length` bytes out of the stage. */
  take(length: number): void {
    let left = length;
    while (left > 0) {
      const n = this.#process.splice(this.fd, this.#scratch.nullFd, left);
      if (n <= 0) throw new Error(`The stage FIFO held ${length - left} bytes where ${length} were expected`);
      left -= n;
    }
    this.#held -= length;
    if (this.#held === 0) this.#arrivals = 0;
    else this.#arrivals = 1;
  }

  /** Undoes the count of a fill whose bytes are to be looked at again. */
  forget(): void {
    this.#held = 0;
  }

  /** Closes the FIFO. */
  close(): void {
    this.#files.close(this.fd);
  }

  #move(sourceFd: number): number {
    if (this.#canSplice) {
      try {
        return this.#process.splice(sourceFd, this.fd, READ_SIZE);
      } catch (e) {
        if ((e as { code?: string }).code !== "EINVAL") throw e;
        this.#canSplice = false;
      }
    }
    // Terminals before Linux 5.11 cannot be spliced: a kill -9 between these two calls loses what was read.
    const room = this.#scratch.bytes.subarray(0, 4096);
    try {
      const n = this.#files.read(sourceFd, room);
      if (n === 0) return -1;
      return this.#files.write(this.fd, room.subarray(0, n));
    } catch (e) {
      if ((e as { code?: string }).code === "EAGAIN") return 0;
      throw e;
    }
  }

  /** Bigger pipes for a stream that fills them; refused without CAP_SYS_RESOURCE beyond the user's share, which is fine. */
  #grow(sourceFd: number): void {
    this.#grown = true;
    for (const fd of [sourceFd, this.fd]) {
      try {
        this.#files.fcntl(fd, F_SETPIPE_SZ, GROWN_PIPE);
      } catch (e) {
        if (!["EPERM", "EBUSY", "EBADF", "ENOMEM"].includes((e as { code?: string }).code ?? "")) throw e;
      }
    }
  }
}
