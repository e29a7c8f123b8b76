/** A process run inside a container by `crun exec`: stdio over pipes or a terminal, exit code, kill. Ends with nyxd. */

import { AT_FDCWD, F, S } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import { EPOLL } from "../../ffi/poll.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { ExitStatus } from "../protocol.ts";
import type { Attachment } from "./attachment.ts";
import type { StreamsContext } from "./context.ts";
import { CRUN_ENV, lastCrunMessage, launchFailureCode } from "./crun.ts";
import { InputPipe } from "./input.ts";
import { removeFile } from "./monitor.ts";
import { tryReadText } from "./proc.ts";
import { Pacer, REST_MS } from "./pacer.ts";
import { formatTimeNs, type StreamKind } from "./record.ts";
import { processTree } from "./signals.ts";
import { type ConsoleSocket, listenConsole } from "./terminal.ts";

/** What to run, and where. */
export interface ExecSpec {
  id: string;
  execId: string;
  process: Record<string, unknown>;
  tty: boolean;
  stdin: boolean;
  consoleSize?: { rows: number; cols: number };
  detach: boolean;
}

const SIGKILL = 9;
/** How long output is read after the process has ended when something it left behind still holds the pipes. */
const LINGER_MS = 100;
/** Most of standard error that is held back until it is known whether crun or the process wrote it. */
const HELD_STDERR = 8192;

/** One exec under way. */
export class Exec {
  readonly execId: string;
  readonly #context: StreamsContext;
  readonly #spec: ExecSpec;
  readonly #files: { process: string; pid: string; log: string; null: string };
  readonly #attachment: Attachment | undefined;
  readonly #running = Promise.withResolvers<number>();
  #child: Deno.ChildProcess | undefined;
  #stdin: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>> | undefined;
  #terminal: { fd: number; token: number; input: InputPipe; done: boolean } | undefined;
  readonly #pacer = new Pacer();
  /** Resolves when output that outlives the process is not to be waited for any longer. */
  readonly #letGo = Promise.withResolvers<void>();
  #ended = false;
  #pid = 0;
  #heldStderr: Uint8Array[] | undefined = [];
  #heldBytes = 0;

  /**
   * @param context kernel and loop
   * @param spec what to run
   * @param attachment where output goes; undefined discards it
   */
  constructor(context: StreamsContext, spec: ExecSpec, attachment: Attachment | undefined) {
    this.#context = context;
    this.#spec = spec;
    this.execId = spec.execId;
    this.#attachment = attachment;
    const base = `${context.baseDir}/run/exec/${spec.execId}`;
    this.#files = { process: `${base}.json`, pid: `${base}.pid`, log: `${base}.log`, null: `${base}.null` };
    this.#running.promise.catch(() => {});
  }

  /** Settles with the pid once the process runs; rejects when it never does. */
  get running(): Promise<number> {
    return this.#running.promise;
  }

  /** Called by the watcher of run/exec when crun has written the pid file. */
  onPidFile(): void {
    const pid = Number(tryReadText(this.#files.pid)?.trim() || "NaN");
    if (!(pid > 0) || this.#pid > 0) return;
    this.#pid = pid;
    this.#releaseStderr();
    this.#running.resolve(pid);
  }

  /** Runs to the end, or for a detached process until it runs. Failures to start are an ExitStatus with `error`. */
  async run(): Promise<{ pid: number; exit?: ExitStatus }> {
    let consoleSocket: ConsoleSocket | undefined;
    try {
      const { process, consoleSize } = this.#spec;
      // Newer crun gives the terminal its size before the program runs; 1.8 leaves a moment in which it has none.
      const size = consoleSize === undefined
        ? {}
        : { consoleSize: { height: consoleSize.rows, width: consoleSize.cols } };
      Deno.writeTextFileSync(this.#files.process, JSON.stringify({ ...process, ...size }), {
        mode: 0o600,
        createNew: true,
      });
      if (this.#spec.tty) consoleSocket = listenConsole(this.#context, this.execId);
      const child = this.#spawn(consoleSocket);
      this.#child = child;
      const output = consoleSocket === undefined ? this.#readPipes(child) : this.#readTerminal(consoleSocket, child);
      const status = await child.status;
      this.#ended = true;
      // The pid file's event may still be on its way.
      this.onPidFile();
      await output;
      return this.#result(status.code);
    } finally {
      consoleSocket?.close();
      this.#closeTerminal();
      this.#attachment?.end();
      this.#running.reject(new NyxError("failed_precondition", `Exec ${this.execId} did not start`));
      for (const path of Object.values(this.#files)) removeFile(this.#context.files, path);
    }
  }

  /** Writes standard input. */
  async write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.#spec.tty) {
      await this.#running.promise;
      await this.#terminal?.input.write(bytes);
      return;
    }
    try {
      await this.#stdin?.write(bytes);
    } catch (e) {
      throw new NyxError(
        "failed_precondition",
        "Could not write to standard input: the process has ended or closed it",
        {
          cause: e,
        },
      );
    }
  }

  /** Ends standard input. */
  async closeInput(): Promise<void> {
    if (this.#spec.tty) await this.write(new Uint8Array([4])).catch(() => {});
    else await this.#stdin?.close().catch(() => {});
  }

  /** Sets the terminal's size. */
  resize(rows: number, cols: number): void {
    if (this.#terminal !== undefined) this.#context.tty.setWindowSize(this.#terminal.fd, { rows, cols });
  }

  /** Kills crun and everything below it, however far it has come. */
  abort(): void {
    if (this.#ended) return this.#letGo.resolve();
    if (this.#child !== undefined) this.#signal(processTree(this.#child.pid), SIGKILL);
  }

  /**
   * Signals the process; `tree` also everything that it started. SIGKILL always means the tree. Once the process has ended its pid may
   * be anybody's, so that nothing is signalled: what it left behind is then no longer listened to.
   */
  async kill(signal: number, tree: boolean): Promise<void> {
    const pid = await this.#running.promise;
    if (this.#ended) return this.#letGo.resolve();
    this.#signal(tree || signal === SIGKILL ? processTree(pid) : [pid], signal);
  }

  #signal(pids: number[], signal: number): void {
    for (const pid of pids) {
      try {
        this.#context.process.kill(pid, signal);
      } catch (e) {
        if (!isErrno(e, "ESRCH")) throw e;
      }
    }
  }

  #spawn(consoleSocket: ConsoleSocket | undefined): Deno.ChildProcess {
    const { id, detach, stdin, tty } = this.#spec;
    const command = ["exec", `--process=${this.#files.process}`, `--pid-file=${this.#files.pid}`];
    if (consoleSocket !== undefined) command.push(`--console-socket=${consoleSocket.path}`);
    if (detach) command.push("--detach");
    const [path, ...args] = this.#context.crun.argv([...command, id], this.#files.log) as [string, ...string[]];
    // crun gives the standard streams to the process's user by fchown(2). The host's /dev/null must never be one of them.
    if (detach) return this.#spawnDetached([path, ...args]);
    const child = new Deno.Command(path, {
      args,
      clearEnv: true,
      env: CRUN_ENV,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    if (stdin && !tty) this.#stdin = child.stdin.getWriter();
    else void child.stdin.close().catch(() => {});
    if (tty || this.#attachment === undefined) this.#discard(child);
    return child;
  }

  /** Reads and forgets what nobody is attached to. */
  #discard(child: Deno.ChildProcess): void {
    const sink = () => new WritableStream<Uint8Array>();
    for (const stream of [child.stdout, child.stderr]) void stream.pipeTo(sink()).catch(() => {});
  }

  /** Detached: a null device of the exec's own, which a pipe cannot be, since it must not break when nyxd goes. */
  #spawnDetached(argv: string[]): Deno.ChildProcess {
    this.#context.files.mknodat(AT_FDCWD, this.#files.null, S.IFCHR | 0o666, 1, 3);
    return new Deno.Command("/bin/sh", {
      args: ["-c", 'exec "$@" <"$0" >"$0" 2>&1', this.#files.null, ...argv],
      clearEnv: true,
      env: CRUN_ENV,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  async #readPipes(child: Deno.ChildProcess): Promise<void> {
    if (this.#attachment === undefined || this.#spec.detach) return;
    const readers = [child.stdout.getReader(), child.stderr.getReader()];
    const all = Promise.all([this.#copy(readers[0], 1), this.#copy(readers[1], 2)]);
    await child.status;
    let last = -1;
    // Normally both pipes have ended by now. A process left in the background may hold them: then until it is quiet.
    const quiet = async () => {
      while (last !== this.#copied || this.#attachment?.congested === true) {
        last = this.#copied;
        await new Promise((r) => setTimeout(r, LINGER_MS));
      }
    };
    await Promise.race([all, quiet(), this.#letGo.promise]);
    for (const r of readers) void r?.cancel().catch(() => {});
  }

  #copied = 0;

  async #copy(reader: ReadableStreamDefaultReader<Uint8Array> | undefined, kind: StreamKind): Promise<void> {
    try {
      for (let chunk = await reader?.read(); chunk?.value !== undefined; chunk = await reader?.read()) {
        this.#copied += chunk.value.byteLength;
        this.#deliver(kind, chunk.value);
        await this.#attachmentRoom();
      }
    } catch (e) {
      if (!(e instanceof TypeError)) throw e;
      // Cancelled after the process had ended.
    }
  }

  #deliver(kind: StreamKind, bytes: Uint8Array): void {
    if (kind === 2 && this.#heldStderr !== undefined) {
      this.#heldStderr.push(bytes);
      this.#heldBytes += bytes.byteLength;
      if (this.#heldBytes > HELD_STDERR) this.#releaseStderr();
      return;
    }
    this.#attachment?.push(kind, bytes);
  }

  #releaseStderr(): void {
    const held = this.#heldStderr ?? [];
    this.#heldStderr = undefined;
    for (const bytes of held) this.#attachment?.push(2, bytes);
  }

  /** Waits while the client is behind: its output then stays in the pipe. */
  async #attachmentRoom(): Promise<void> {
    while (this.#attachment?.congested === true) {
      this.#drained = Promise.withResolvers<void>();
      await this.#drained.promise;
    }
  }

  #drained: PromiseWithResolvers<void> | undefined;

  /** The client has caught up: for the attachment's `onDrained`. */
  resume(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
    if (this.#terminal === undefined || this.#terminal.done || this.#attachment?.congested === true) return;
    this.#context.loop.modify(this.#terminal.token, EPOLL.IN);
  }

  async #readTerminal(socket: ConsoleSocket, child: Deno.ChildProcess): Promise<void> {
    const { files, loop, tty } = this.#context;
    // crun sends the master before the process runs: one that has ended at once has left it in the socket.
    const late = child.status.then(() => new Promise<number>((r) => setTimeout(() => r(-1), LINGER_MS)));
    const fd = await Promise.race([socket.master, late]);
    socket.close();
    if (fd < 0) return;
    if (this.#spec.detach) {
      files.close(fd);
      return;
    }
    if (this.#spec.consoleSize !== undefined) tty.setWindowSize(fd, this.#spec.consoleSize);
    const end = Promise.withResolvers<void>();
    const pump = () => this.#pumpTerminal(end.resolve);
    const input = new InputPipe(files, loop, files.fcntl(fd, F.DUPFD_CLOEXEC, 3));
    this.#terminal = { fd, token: loop.add(fd, EPOLL.IN, pump), input, done: false };
    await child.status;
    let ended = false;
    void end.promise.then(() => ended = true);
    do {
      await Promise.race([end.promise, new Promise((r) => setTimeout(r, LINGER_MS))]);
    } while (!ended && this.#attachment?.congested === true);
  }

  #pumpTerminal(onEnd: () => void): void {
    const terminal = this.#terminal;
    if (terminal === undefined) return;
    const { files, loop, scratch } = this.#context;
    const buffer = scratch.bytes.subarray(0, 64 * 1024);
    try {
      const n = files.read(terminal.fd, buffer);
      this.#attachment?.push(1, buffer.subarray(0, n));
      const rest = this.#pacer.shouldRest(n);
      if (rest || this.#attachment?.congested === true) loop.modify(terminal.token, 0);
      if (rest) setTimeout(() => this.resume(), REST_MS);
      if (n > 0) return;
    } catch (e) {
      if (isErrno(e, "EAGAIN", "EINTR")) return;
      if (!isErrno(e, "EIO")) throw e;
    }
    terminal.done = true;
    loop.modify(terminal.token, 0);
    onEnd();
  }

  #closeTerminal(): void {
    const terminal = this.#terminal;
    if (terminal === undefined) return;
    this.#terminal = undefined;
    this.#context.loop.remove(terminal.token);
    terminal.input.close();
    this.#context.files.close(terminal.fd);
  }

  #result(code: number): { pid: number; exit?: ExitStatus } {
    const finishedAt = formatTimeNs(this.#context.process.realtimeNs());
    const message = code === 0 ? undefined : lastCrunMessage(tryReadText(this.#files.log));
    if (message !== undefined) {
      const exit = { code: launchFailureCode(message), finishedAt, oomKilled: false, error: message };
      return { pid: 0, exit };
    }
    this.#releaseStderr();
    if (this.#spec.detach) return { pid: this.#pid };
    return { pid: this.#pid, exit: { code, finishedAt, oomKilled: false } };
  }
}
