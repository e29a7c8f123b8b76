/** Calls about containers. */

import type {
  ArchiveWritten,
  AttachedRun,
  AttachRequest,
  CommitRequest,
  CommitResult,
  ContainerDetails,
  ContainerListQuery,
  ContainerLogQuery,
  ContainerSummary,
  ContainerUpdate,
  CreateResult,
  ExecDetached,
  ExecRequest,
  ExecState,
  FilesystemChange,
  IdResult,
  PathStat,
  PruneResult,
  RunOptions,
  RunResult,
  StartResult,
  TopResult,
  WaitCondition,
  WaitResult,
} from "../spec/api.ts";
import type { ContainerConfig } from "../spec/container.ts";
import { fromErrorData, NyxError } from "../spec/errors.ts";
import type { ErrorData } from "../spec/errors.ts";
import type { PullEvent } from "../spec/image.ts";
import type { AttachedStream } from "./stream.ts";
import { filterList } from "./filters.ts";
import type { Transport } from "./transport.ts";

/** Options of a call that can be given up. */
export interface Abortable {
  /** Gives the call up: its connection is closed and it rejects with `canceled`. */
  signal?: AbortSignal | undefined;
}

/** One line of `POST /v1/containers/run` with `stream`. */
type RunLine = PullEvent & Partial<RunResult> & { container_id?: string; error?: ErrorData };

function at(ref: string, verb?: string): string {
  const path = `/v1/containers/${encodeURIComponent(ref)}`;
  return verb === undefined ? path : `${path}/${verb}`;
}

/** Calls about containers; `ref` is an id, a name, a short id or a unique prefix of an id. */
export class ContainerCalls {
  readonly #transport: Transport;

  /**
   * Made by the client.
   *
   * @param transport connections to the daemon
   */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Containers with their state. */
  async list(query: ContainerListQuery = {}): Promise<ContainerSummary[]> {
    const { all = true, filters, size } = query;
    const found = await this.#transport.json<{ items: ContainerSummary[] }>("GET", "/v1/containers", {
      query: { detail: true, all, size, filter: filterList(filters) },
    });
    return found.items;
  }

  /** All about one container. */
  inspect(ref: string): Promise<ContainerDetails> {
    return this.#transport.json("GET", at(ref));
  }

  /** Makes a container from an image that is present. */
  create(config: ContainerConfig): Promise<CreateResult> {
    return this.#transport.json("POST", "/v1/containers", { body: config });
  }

  /**
   * Pulls the image when needed, makes the container and starts it in the background.
   *
   * @param request what to run
   * @param options `onEvent` hears the pull's progress
   */
  async run(
    request: ContainerConfig & RunOptions,
    options: Abortable & { onEvent?: (event: PullEvent) => void } = {},
  ): Promise<RunResult> {
    const { onEvent, signal } = options;
    if (onEvent === undefined) {
      return await this.#transport.json("POST", "/v1/containers/run", { body: { ...request, stream: false }, signal });
    }
    const body = { ...request, stream: true };
    for await (const line of this.#transport.lines<RunLine | RunEnd>("POST", "/v1/containers/run", { body, signal })) {
      if (line.phase === "run") {
        const { id, name, image, pid, warnings } = line;
        return { ok: true, id, name, image, pid, warnings };
      }
      if (line.phase === "error") throw failureOf(line, "run");
      onEvent(line);
    }
    throw new NyxError("unavailable", `nyxd ended the run of ${request.image} without saying how it went`);
  }

  /** Runs in the foreground: the stream gives pull events, `created`, `started`, output, and `exit` or `error` last. */
  attachRun(request: AttachedRun, options: Abortable = {}): Promise<AttachedStream> {
    return this.#transport.attach("/v1/containers/run", request, options);
  }

  /** Starts a container that is not running. */
  start(ref: string): Promise<StartResult> {
    return this.#transport.json("POST", at(ref, "start"));
  }

  /** Starts with the attachment in place before the first byte of output. */
  attachStart(ref: string, request: AttachRequest, options: Abortable = {}): Promise<AttachedStream> {
    return this.#transport.attach(at(ref, "start"), request, options);
  }

  /** Attaches to a running container. */
  attach(ref: string, request: AttachRequest, options: Abortable = {}): Promise<AttachedStream> {
    return this.#transport.attach(at(ref, "attach"), request, options);
  }

  /** Runs a program in a running container; the stream ends with its exit. */
  exec(ref: string, request: ExecRequest, options: Abortable = {}): Promise<AttachedStream> {
    return this.#transport.attach(at(ref, "exec"), { ...request, detach: false }, options);
  }

  /** Runs a program in a running container in the background. */
  execDetached(ref: string, request: ExecRequest): Promise<ExecDetached> {
    return this.#transport.json("POST", at(ref, "exec"), { body: { ...request, detach: true } });
  }

  /** State of an exec that was started without frames, while the daemon remembers it. */
  execState(ref: string, execId: string): Promise<ExecState> {
    return this.#transport.json("GET", at(ref, `exec/${encodeURIComponent(execId)}`));
  }

  /** Sends the stop signal, and KILL after the time-out (seconds; default the container's own, else 10). */
  stop(ref: string, options: { timeoutS?: number; signal?: string } = {}): Promise<IdResult> {
    return this.#transport.json("POST", at(ref, "stop"), { body: options });
  }

  /** Stops, then starts. */
  restart(ref: string, options: { timeoutS?: number } = {}): Promise<IdResult> {
    return this.#transport.json("POST", at(ref, "restart"), { body: options });
  }

  /** Sends a signal; default KILL. */
  kill(ref: string, signal?: string): Promise<IdResult & { signal: string }> {
    return this.#transport.json("POST", at(ref, "kill"), { body: signal === undefined ? {} : { signal } });
  }

  /** Freezes all its processes. */
  pause(ref: string): Promise<IdResult> {
    return this.#transport.json("POST", at(ref, "pause"));
  }

  /** Thaws a paused container. */
  unpause(ref: string): Promise<IdResult> {
    return this.#transport.json("POST", at(ref, "unpause"));
  }

  /** Removes; `force` kills first, `volumes` also removes its anonymous volumes. */
  remove(ref: string, options: { force?: boolean; volumes?: boolean } = {}): Promise<IdResult> {
    return this.#transport.json("POST", at(ref, "remove"), { body: options });
  }

  /** Removes all that are not running. */
  prune(options: { filters?: Record<string, string[]> } = {}): Promise<PruneResult> {
    return this.#transport.json("POST", "/v1/containers/prune", { body: options });
  }

  /** Gives another name. */
  rename(ref: string, name: string): Promise<IdResult & { name: string }> {
    return this.#transport.json("POST", at(ref, "rename"), { body: { name } });
  }

  /** Changes limits or the restart policy of a container, running or not. */
  update(ref: string, update: ContainerUpdate): Promise<IdResult & { warnings: string[] }> {
    return this.#transport.json("POST", at(ref, "update"), { body: update });
  }

  /** Waits until the condition holds; default `not-running`. */
  wait(ref: string, condition?: WaitCondition, options: Abortable = {}): Promise<WaitResult> {
    return this.#transport.json("POST", at(ref, "wait"), { query: { condition }, signal: options.signal });
  }

  /** Sets the size of a container's terminal, in characters. */
  resize(ref: string, rows: number, cols: number): Promise<IdResult> {
    return this.#transport.json("POST", at(ref, "resize"), { body: { rows, cols } });
  }

  /** Log as bytes: text, JSON lines, or frames as the query's `format` says (default text). */
  logs(ref: string, query: ContainerLogQuery = {}, options: Abortable = {}): AsyncIterable<Uint8Array> {
    return this.#transport.bytes("GET", at(ref, "logs"), { query: { ...query }, signal: options.signal });
  }

  /** Processes. */
  top(ref: string): Promise<TopResult> {
    return this.#transport.json("GET", at(ref, "top"));
  }

  /** One sample of resource usage. */
  stats(ref: string): Promise<Record<string, number | string>> {
    return this.#transport.json("GET", at(ref, "stats"));
  }

  /** Samples of resource usage, one every `intervalMs` (default 1000), until the loop is left or the container stops. */
  statsStream(
    ref: string,
    options: Abortable & { intervalMs?: number } = {},
  ): AsyncIterable<Record<string, number | string>> {
    const { intervalMs, signal } = options;
    return this.#transport.lines("GET", at(ref, "stats"), { query: { stream: true, interval_ms: intervalMs }, signal });
  }

  /** What differs from the image. */
  async changes(ref: string): Promise<FilesystemChange[]> {
    return (await this.#transport.json<{ changes: FilesystemChange[] }>("GET", at(ref, "changes"))).changes;
  }

  /** What an absolute path inside is; a final link is not followed. */
  statPath(ref: string, path: string): Promise<PathStat> {
    return this.#transport.json("GET", at(ref, "archive/stat"), { query: { path } });
  }

  /**
   * A path inside as tar.
   *
   * @param options `contents` only what is in the directory; `follow` a final link; `name` in place of the path's last
   */
  readArchive(
    ref: string,
    path: string,
    options: Abortable & { contents?: boolean; follow?: boolean; name?: string } = {},
  ): AsyncIterable<Uint8Array> {
    const { signal, ...rest } = options;
    return this.#transport.bytes("GET", at(ref, "archive"), { query: { path, ...rest }, signal });
  }

  /**
   * Unpacks a tar into a directory inside.
   *
   * @param options `name` in place of the first name of each member
   */
  writeArchive(
    ref: string,
    path: string,
    archive: AsyncIterable<Uint8Array>,
    options: Abortable & { name?: string } = {},
  ): Promise<ArchiveWritten> {
    const { signal, name } = options;
    const upload = { type: "application/x-tar", bytes: archive };
    return this.#transport.upload("PUT", at(ref, "archive"), upload, { query: { path, name }, signal });
  }

  /** The whole root as tar, without volumes. */
  export(ref: string, options: Abortable = {}): AsyncIterable<Uint8Array> {
    return this.#transport.bytes("GET", at(ref, "export"), { signal: options.signal });
  }

  /** Makes an image of what the container changed. */
  commit(ref: string, request: CommitRequest = {}): Promise<CommitResult> {
    return this.#transport.json("POST", at(ref, "commit"), { body: request });
  }
}

/** Last line of a streamed run. */
interface RunEnd extends Omit<RunResult, "ok"> {
  phase: "run";
  ok: true;
}

/** The NyxError of an NDJSON stream's `error` line. */
export function failureOf(line: { message?: string; error?: ErrorData }, what: string): NyxError {
  return line.error === undefined
    ? new NyxError("internal", line.message ?? `nyxd could not ${what}`)
    : fromErrorData(line.error);
}
