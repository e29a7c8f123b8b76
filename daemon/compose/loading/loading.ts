/** Reading of compose files and planning, on workers of their own: bounded in time, and never on the daemon's main thread. */

import type { ComposePlan } from "../../spec/compose.ts";
import type { ComposeConfigRequest, ComposeConfigResult, ComposeSource } from "../../spec/compose_api.ts";
import { NyxError } from "../../spec/errors.ts";
import type { WorkerHost } from "../../../workers/host.ts";
import type { PlanOptions } from "../plan/plan.ts";
import type { ObservedWorld } from "../plan/world.ts";
import type { ComposeProject } from "../project.ts";
import type { SourceOptions } from "../reconcile/source.ts";
import type { LoadingStage } from "./protocol.ts";

/** What is needed of a worker's host. */
export type LoadingHost = Pick<WorkerHost<LoadingStage>, "call" | "terminate">;

/** Longest that one request may compute, milliseconds: the largest public projects take 200. */
export const LIMIT_MS = 10_000;
/** Workers at once; further requests wait for one. */
const MOST = 4;
/** Idle time after which the last worker is ended, to save its memory. */
const IDLE_MS = 300_000;

/** How the worker is started and bounded. */
export interface LoadingOptions {
  start: () => LoadingHost;
  /** Milliseconds; default {@linkcode LIMIT_MS}. */
  limitMs?: number;
  /** Milliseconds; default five minutes. */
  idleMs?: number;
}

/** Reads and plans projects. */
export class ProjectLoading {
  readonly #options: LoadingOptions;
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  #spare: LoadingHost | undefined;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  /** @param options how to start a worker */
  constructor(options: LoadingOptions) {
    this.#options = options;
  }

  /** Loads a project. @throws NyxError as `loadSource`, and resource_exhausted when it takes too long */
  load(source: ComposeSource, options: SourceOptions): Promise<ComposeProject> {
    return this.#run("load", { source: sourceOf(source), options }, options.action);
  }

  /** The text that `config` prints. */
  config(request: ComposeConfigRequest): Promise<ComposeConfigResult> {
    return this.#run("config", request, "read the project");
  }

  /** Plans. Pure, as `planProject`. */
  plan(project: ComposeProject, world: ObservedWorld, options: PlanOptions): Promise<ComposePlan> {
    return this.#run("plan", { project, world, options }, `plan project ${project.model.name}`);
  }

  async #run<K extends keyof LoadingStage["ops"]>(
    op: K,
    request: LoadingStage["ops"][K]["request"],
    action: string,
  ): Promise<LoadingStage["ops"][K]["result"]> {
    if (this.#busy >= MOST) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#busy++;
    clearTimeout(this.#idleTimer);
    const host = this.#spare ?? this.#options.start();
    this.#spare = undefined;
    const limitMs = this.#options.limitMs ?? LIMIT_MS;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      host.terminate();
    }, limitMs);
    try {
      const result = await host.call(op, request);
      this.#spare ??= host;
      return result;
    } catch (e) {
      if (late) throw tooSlow(action, limitMs);
      this.#spare ??= host;
      throw e;
    } finally {
      clearTimeout(timer);
      if (this.#spare !== host) host.terminate();
      this.#leave();
    }
  }

  /** Hands the turn to the next in line, or gives it back. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next !== undefined) return next();
    if (--this.#busy > 0) return;
    this.#idleTimer = setTimeout(() => {
      this.#spare?.terminate();
      this.#spare = undefined;
    }, this.#options.idleMs ?? IDLE_MS);
    Deno.unrefTimer(this.#idleTimer);
  }
}

/** The part of a request that says which project is meant; what else it holds, such as credentials, stays here. */
function sourceOf(source: ComposeSource): ComposeSource {
  const { project, files, yaml, context_dir, contents, ask, env, env_files, project_directory, profiles } = source;
  const all = { project, files, yaml, context_dir, contents, ask, env, env_files, project_directory, profiles };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function tooSlow(action: string, limitMs: number): NyxError {
  return new NyxError(
    "resource_exhausted",
    `Could not ${action}: its files were not understood within ${limitMs / 1000} s; use fewer or smaller ones`,
  );
}
