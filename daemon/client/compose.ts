/** Calls about compose projects. */

import type {
  ComposeAction,
  ComposeActionRequest,
  ComposeActionResult,
  ComposeConfigRequest,
  ComposeConfigResult,
  ComposeDownRequest,
  ComposeDownResult,
  ComposeEvent,
  ComposePlanRequest,
  ComposePlanResult,
  ComposeProjectInfo,
  ComposePsResult,
  ComposePullRequest,
  ComposeRunRequest,
  ComposeRunResult,
  ComposeSource,
  ComposeUpRequest,
  ComposeUpResult,
} from "../spec/compose_api.ts";
import { fromErrorData, NyxError } from "../spec/errors.ts";
import type { Abortable } from "./containers.ts";
import type { Transport } from "./transport.ts";

/** Follows a long request. */
export interface ComposeFollow extends Abortable {
  /** Hears each event before the last. */
  onEvent?: (event: ComposeEvent) => void;
}

/** Calls about compose projects. Contents of files go with each request: the daemon reads none by a path of the caller's. */
export class ComposeCalls {
  readonly #transport: Transport;

  /**
   * Made by the client.
   *
   * @param transport connections to the daemon
   */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  #post<T>(what: string, body: object, options: Abortable = {}): Promise<T> {
    return this.#transport.json("POST", `/v1/compose/${what}`, { body, signal: options.signal });
  }

  async #follow(what: string, body: object, { onEvent, signal }: ComposeFollow): Promise<ComposeUpResult> {
    const lines = this.#transport.lines<ComposeEvent>("POST", `/v1/compose/${what}`, {
      body: { ...body, stream: true },
      signal,
    });
    for await (const line of lines) {
      if (line.event === "done") return line.result;
      if (line.event === "error") throw fromErrorData(line.error);
      onEvent?.(line);
    }
    if (signal?.aborted === true) throw new NyxError("canceled", "The request was canceled");
    throw new NyxError("unavailable", `nyxd ended compose ${what} without saying how it went`);
  }

  /** All projects. */
  async list(): Promise<ComposeProjectInfo[]> {
    return (await this.#transport.json<{ projects: ComposeProjectInfo[] }>("GET", "/v1/compose")).projects;
  }

  /** Makes what runs what the files ask for. Aborting begins no further step. */
  up(request: Omit<ComposeUpRequest, "stream">, options: ComposeFollow = {}): Promise<ComposeUpResult> {
    return this.#follow("up", request, options);
  }

  /** Removes a project's containers and networks. */
  down(request: ComposeDownRequest, options: Abortable = {}): Promise<ComposeDownResult> {
    return this.#post("down", request, options);
  }

  /** Does something to containers that exist. */
  act(action: ComposeAction, request: ComposeActionRequest, options: Abortable = {}): Promise<ComposeActionResult> {
    return this.#post(action, request, options);
  }

  /** The normalised model, or a list of what is in it, as text. */
  config(request: ComposeConfigRequest): Promise<ComposeConfigResult> {
    return this.#post("config", request);
  }

  /** What `up` would do. */
  plan(request: ComposePlanRequest): Promise<ComposePlanResult> {
    return this.#post("plan", request);
  }

  /** Containers of a project. */
  ps(request: ComposeSource): Promise<ComposePsResult> {
    return this.#post("ps", request);
  }

  /** Pulls a project's images, side by side. */
  pull(request: Omit<ComposePullRequest, "stream">, options: ComposeFollow = {}): Promise<ComposeUpResult> {
    return this.#follow("pull", request, options);
  }

  /** Makes a one-off container, to be started by the caller. */
  run(request: ComposeRunRequest, options: Abortable = {}): Promise<ComposeRunResult> {
    return this.#post("run", request, options);
  }
}
