/** Output of one container: from its pipes through the stage into the log, and to everyone attached. */

import { EPOLL } from "../../ffi/poll.ts";
import { isErrno } from "../../ffi/errno.ts";
import type { Attachment } from "./attachment.ts";
import type { LogFile, LogPolicy } from "./log_file.ts";
import { Pacer, REST_MS } from "./pacer.ts";
import { formatTimeNs, RecordEncoder, type StreamKind } from "./record.ts";
import { type IntentFile, READ_SIZE, Stage } from "./staging.ts";
import type { StreamsContext } from "./context.ts";

/** How long a full disk is waited for before the next try. */
const RETRY_MS = 500;
const head = new TextDecoder();

/** One stream of output. */
interface Source {
  kind: StreamKind;
  fd: number;
  stage: Stage | undefined;
  token: number;
  ended: boolean;
  pacer: Pacer;
}

/** Where a container's log goes. */
export interface LogSink {
  file: LogFile;
  intent: IntentFile;
}

/** Reads, logs and fans out. {@linkcode finish} or {@linkcode close} ends it. */
export class Output {
  readonly #context: StreamsContext;
  readonly #id: string;
  readonly #policy: LogPolicy;
  readonly #sink: LogSink | undefined;
  readonly #encoder: RecordEncoder;
  readonly #sources: Source[] = [];
  readonly #attachments = new Set<Attachment>();
  #retry: ReturnType<typeof setTimeout> | undefined;
  #diskFull = false;
  #droppedLines = 0;
  #closed = false;
  #finished = false;
  #sawStdout = false;
  #stderrHead = "";

  /**
   * @param context kernel, loop, emitter of this worker
   * @param id container
   * @param policy what happens when disk or client cannot keep up
   * @param sink log; undefined keeps none
   */
  constructor(context: StreamsContext, id: string, policy: LogPolicy, sink: LogSink | undefined) {
    this.#context = context;
    this.#id = id;
    this.#policy = policy;
    this.#sink = sink;
    this.#encoder = new RecordEncoder(id, context.scratch.records);
  }

  /** The log being written. */
  get log(): LogFile | undefined {
    return this.#sink?.file;
  }

  /** What stderr began with (at most 512 bytes) when nothing was written to stdout; for messages of crun's own. */
  get stderrHead(): string {
    return this.#sawStdout ? "" : this.#stderrHead;
  }

  /** Begins to read a descriptor, which is taken over. `stagePath` is used when there is a log. */
  addSource(kind: StreamKind, fd: number, stagePath: string): void {
    const { files, process, scratch, loop } = this.#context;
    const stage = this.#sink === undefined ? undefined : new Stage(files, process, scratch, stagePath);
    const source: Source = { kind, fd, stage, token: 0, ended: false, pacer: new Pacer() };
    source.token = loop.add(fd, this.#suspended ? 0 : EPOLL.IN, () => this.#onReadable(source));
    this.#sources.push(source);
    if (stage !== undefined) this.#recover(source, stage);
  }

  /** Sends output from now on to an attachment, and what of an unfinished line was already read. */
  attach(attachment: Attachment): void {
    for (const { kind, stage } of this.#sources) {
      if (stage !== undefined && stage.held > 0) attachment.push(kind, stage.peek(stage.held));
    }
    this.#attachments.add(attachment);
    void attachment.done.then(() => {
      this.#attachments.delete(attachment);
      if (attachment.dropped > 0) {
        const fields = { id: this.#id, chunks: attachment.dropped };
        this.#context.log("warn", "An attached client read too slowly and lost output", fields);
      }
      this.resume();
    });
  }

  /** Reads on after an attachment has caught up. */
  resume(): void {
    if (this.#closed) return;
    const events = this.#suspended ? 0 : EPOLL.IN;
    for (const source of this.#sources) this.#context.loop.modify(source.token, source.ended ? 0 : events);
  }

  /** The process has ended: reads what is left whatever the attachments' pace, ends lines and attachments, and closes. */
  async finish(): Promise<void> {
    this.#finished = true;
    clearTimeout(this.#retry);
    for (const source of this.#sources) {
      for (let rounds = 0; rounds < 64 && this.#pump(source) > 0; rounds++);
      this.#flush(source);
    }
    // A full disk is given this long; what is then still unwritten is counted, not silently lost.
    for (let tries = 0; tries < 10 && this.#diskFull; tries++) {
      await new Promise((r) => setTimeout(r, RETRY_MS));
      this.#diskFull = false;
      for (const source of this.#sources) this.#flush(source);
    }
    if (this.#diskFull) { for (const source of this.#sources) this.#discard(source); }
    this.close();
    // Who hears of the end finds the log within its bounds.
    await this.#sink?.file.removed();
  }

  /** Lets go of everything without touching what is still in the pipes. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#reportDropped();
    const { files, loop } = this.#context;
    for (const { token, fd, stage } of this.#sources) {
      loop.remove(token);
      files.close(fd);
      stage?.close();
    }
    for (const attachment of this.#attachments) attachment.end(this.#finished ? "exited" : "detached");
    this.#sink?.intent.close();
    void this.#sink?.file.close().catch((e: unknown) => this.#context.report(e, this.#id));
  }

  get #suspended(): boolean {
    if (this.#diskFull) return true;
    if (this.#policy.mode === "drop") return false;
    for (const a of this.#attachments) if (a.congested) return true;
    return false;
  }

  /** Handles what an earlier nyxd left in the stage; its unconfirmed append was undone when the log was opened. */
  #recover(source: Source, stage: Stage): void {
    const available = stage.available();
    if (available > 0) this.#context.loop.modify(source.token, EPOLL.IN);
    if (available === 0 || this.#sink === undefined) return;
    const { bytes, known } = stage.fill(source.fd);
    this.#handle(source, stage, bytes, known);
  }

  #onReadable(source: Source): void {
    const moved = this.#pump(source);
    if (source.ended || !source.pacer.shouldRest(moved)) return;
    this.#context.loop.modify(source.token, 0);
    setTimeout(() => {
      if (!this.#closed && !source.ended && !this.#suspended) this.#context.loop.modify(source.token, EPOLL.IN);
    }, REST_MS);
  }

  /** Moves one portion on; returns how many bytes came. */
  #pump(source: Source): number {
    if (source.ended) return 0;
    if (source.stage === undefined) return this.#pass(source);
    let filled;
    try {
      filled = source.stage.fill(source.fd);
    } catch (e) {
      // What a terminal's master reads once the last process has closed the other side.
      if (!isErrno(e, "EIO")) throw e;
      this.#end(source);
      return 0;
    }
    if (filled.ended) this.#end(source);
    const { bytes, known, moved } = filled;
    if (bytes.byteLength > 0) this.#handle(source, source.stage, bytes, known);
    else if (source.stage.crowded) this.#flush(source);
    return moved;
  }

  #handle(source: Source, stage: Stage, bytes: Uint8Array<ArrayBuffer>, known: number): void {
    if (bytes.byteLength > known) this.#fanOut(source.kind, bytes.subarray(known));
    this.#commit(source.kind, stage, bytes, stage.crowded);
  }

  /** Without a log: bytes straight to who is attached. */
  #pass(source: Source): number {
    const buffer = this.#context.scratch.bytes.subarray(0, READ_SIZE);
    let n = 0;
    try {
      n = this.#context.files.read(source.fd, buffer);
      if (n === 0) this.#end(source);
    } catch (e) {
      if (isErrno(e, "EAGAIN", "EINTR")) return 0;
      if (!isErrno(e, "EIO")) throw e;
      this.#end(source);
    }
    this.#fanOut(source.kind, buffer.subarray(0, n));
    return n;
  }

  #end(source: Source): void {
    source.ended = true;
    this.#context.loop.modify(source.token, 0);
  }

  #fanOut(kind: StreamKind, bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    if (kind === 1) this.#sawStdout = true;
    else if (this.#stderrHead === "") this.#stderrHead = head.decode(bytes.subarray(0, 512));
    if (this.#attachments.size === 0) return;
    let congested = false;
    for (const a of this.#attachments) {
      a.push(kind, bytes);
      congested ||= a.congested;
    }
    if (congested && this.#policy.mode === "block") this.resume();
  }

  /** Appends the whole lines of `bytes` (the head of the stage) to the log and takes them out of the stage. */
  #commit(kind: StreamKind, stage: Stage, bytes: Uint8Array<ArrayBuffer>, flush: boolean): void {
    const sink = this.#sink;
    if (sink === undefined || bytes.byteLength === 0 || this.#diskFull) return;
    const time = formatTimeNs(this.#context.process.realtimeNs());
    const encoder = this.#encoder;
    for (let at = 0; at < bytes.byteLength;) {
      const end = encoder.encode(bytes, at, bytes.byteLength, kind, time, { flush, limit: sink.file.room });
      if (encoder.length === 0) return;
      if (!this.#append(sink, kind, stage, end - at)) return;
      at = end;
    }
  }

  /** Appends the encoder's records, which stand for `take` bytes of the stage. False when the disk would not have them. */
  #append(sink: LogSink, kind: StreamKind, stage: Stage, take: number): boolean {
    const { out, length, records } = this.#encoder;
    try {
      sink.file.rotateIfDue(length);
      sink.intent.set(kind, sink.file.size, stage.held, take);
      sink.file.append(out.subarray(0, length));
    } catch (e) {
      if (!isErrno(e, "ENOSPC", "EDQUOT", "EIO", "EROFS", "EFBIG")) throw e;
      sink.intent.clear();
      if (this.#policy.mode === "block") {
        this.#waitForDisk(e);
        return false;
      }
      this.#droppedLines += records;
      this.#retry ??= setTimeout(() => this.#reportDropped(), RETRY_MS);
    }
    stage.take(take);
    sink.intent.clear();
    return true;
  }

  #waitForDisk(e: unknown): void {
    if (!this.#diskFull) {
      this.#context.log("warn", "Could not write a container's log; its output waits until there is room", {
        id: this.#id,
        error: String(e),
      });
    }
    this.#diskFull = true;
    this.resume();
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#diskFull = false;
      for (const { kind, stage } of this.#sources) {
        if (stage !== undefined && !this.#diskFull) this.#commit(kind, stage, stage.peek(stage.held), stage.crowded);
      }
      this.resume();
    }, RETRY_MS);
  }

  #reportDropped(): void {
    this.#retry = undefined;
    if (this.#droppedLines === 0) return;
    this.#context.event({ kind: "dropped", id: this.#id, lines: this.#droppedLines });
    this.#droppedLines = 0;
  }

  #flush({ kind, stage }: Source): void {
    if (stage !== undefined && stage.held > 0) this.#commit(kind, stage, stage.peek(stage.held), true);
  }

  #discard({ stage }: Source): void {
    if (stage === undefined || stage.held === 0) return;
    const lost = stage.peek(stage.held);
    for (const b of lost) if (b === 0x0a) this.#droppedLines++;
    this.#droppedLines++;
    stage.take(stage.held);
  }
}
