/**
 * The Compose Builder (D03) as the Control API sees it: loads a project from what was sent, plans it against what runs, applies the
 * plan, and remembers the project. Requests about one project run one after the other.
 */

import type { ComposeService, ProgressOptions } from "../../control/services.ts";
import type { Logger } from "../../log/logger.ts";
import type { ContainerSummary } from "../../spec/api.ts";
import type { ComposePlan } from "../../spec/compose.ts";
import type {
  ComposeAction,
  ComposeActionRequest,
  ComposeActionResult,
  ComposeConfigRequest,
  ComposeConfigResult,
  ComposeDownRequest,
  ComposeDownResult,
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
} from "../../spec/compose_api.ts";
import { NyxError } from "../../spec/errors.ts";
import { canonicalJson, defined, own, sortedKeys } from "../dictionary.ts";
import { formatDiagnostic } from "../diagnostics.ts";
import { withDependencies } from "../graph.ts";
import type { ProjectLoading } from "../loading/loading.ts";
import { printPlan } from "../plan/text.ts";
import { ownership } from "../plan/world.ts";
import type { ComposeProject } from "../project.ts";
import { actOnAll, planStart, planStop, serviceMembers } from "./actions.ts";
import { applyPlan } from "./apply.ts";
import { takeDownProject } from "./down.ts";
import type { ComposeEngine, EngineContainer } from "./engine.ts";
import type { FileStore } from "./files.ts";
import { projectList, projectRows } from "./list.ts";
import { observe, observeByName } from "./observe.ts";
import { makeOneOff } from "./one_off.ts";
import { pullImages } from "./pull.ts";
import { emptyProject, hasFiles, projectName, refuseBuilds, wanted } from "./source.ts";
import type { ProjectStore } from "./store.ts";
import { untilMet } from "./waiting.ts";

/** What the service is made of. */
export interface ComposeOptions {
  engine: ComposeEngine;
  store: ProjectStore;
  files: FileStore;
  /** Reads files and plans. */
  loading: ProjectLoading;
  /** Rows of containers, for `ps`. */
  summaries: () => Promise<ContainerSummary[]>;
  log: Pick<Logger, "warn">;
}

/** Projects of one daemon. */
export class Compose implements ComposeService {
  readonly #options: ComposeOptions;
  readonly #turns = new Map<string, Promise<unknown>>();

  /** @param options the daemon's parts */
  constructor(options: ComposeOptions) {
    this.#options = options;
  }

  /** Brings a project up: what is as asked for is left alone. */
  async up(request: ComposeUpRequest, progress: ProgressOptions): Promise<ComposeUpResult> {
    const project = await this.#options.loading.load(request, {
      action: "bring up the project",
      services: request.services ?? [],
    });
    return await this.#exclusive(project.model.name, () => this.#up(project, request, progress));
  }

  async #up(project: ComposeProject, request: ComposeUpRequest, progress: ProgressOptions): Promise<ComposeUpResult> {
    const { engine, store, files } = this.#options;
    const { name } = project.model;
    const action = `bring up project ${name}`;
    const said = project.diagnostics.filter((d) => d.severity === "warning").map(formatDiagnostic);
    for (const message of said) progress.onEvent({ event: "warning", message });
    let plan = await this.#plan(project, request);
    checkExpected(plan, request.expect, action);
    refuseBuilds(plan, project, { action, ask: request.ask === true });
    const pulls = plan.steps.filter((s) => s.action === "pull").map((s) => s.target);
    if (pulls.length > 0 && request.ask === true && request.credentials === undefined) {
      throw wanted(action, { images: pulls });
    }
    if (plan.blocked.length === 0) await store.save(project);
    const options = {
      ...progress,
      action,
      files: files.of(name),
      renewVolumes: request.renew_anon_volumes === true,
      noStart: request.no_start === true,
      ...defined({ timeoutS: request.timeout_s, credentials: request.credentials }),
    };
    const done: string[] = [];
    if (pulls.length > 0) {
      done.push(...(await applyPlan(plan, project, engine, { ...options, only: "images" })).done);
      // What was pulled may be newer than what containers were made from.
      plan = await this.#plan(project, { ...request, pull: "missing" });
    }
    const applied = await applyPlan(plan, project, engine, { ...options, only: "rest" });
    await this.#removeUnusedFiles(name);
    if (request.wait === true) await this.#untilUp(project, request, progress.signal);
    const ids = this.#selected(project, request).map((m) => m.container.id);
    return { ok: true, project: name, ids, done: [...done, ...applied.done], warnings: [...said, ...applied.warnings] };
  }

  async #plan(project: ComposeProject, request: ComposePlanRequest): Promise<ComposePlan> {
    const { engine, files } = this.#options;
    const { no_deps, force_recreate, no_recreate, always_recreate_deps, remove_orphans, no_start, ...rest } = request;
    return await this.#options.loading.plan(project, await observe(engine, project), {
      filesDir: files.of(project.model.name).filesDir,
      secretsDir: files.of(project.model.name).secretsDir,
      nowMs: Date.now(),
      ...defined({
        services: rest.services,
        noDeps: no_deps,
        forceRecreate: force_recreate,
        noRecreate: no_recreate,
        alwaysRecreateDeps: always_recreate_deps,
        removeOrphans: remove_orphans,
        noStart: no_start,
        build: rest.build,
        built: rest.built,
        pull: rest.pull,
        scale: rest.scale,
      }),
    });
  }

  /** Containers of the services that were asked for, with what they depend on. */
  #selected(project: ComposeProject, request: ComposePlanRequest) {
    const { model } = project;
    const asked = request.services ?? [];
    const services = asked.length === 0
      ? sortedKeys(model.services)
      : request.no_deps === true
      ? asked
      : [...withDependencies(model, asked)];
    return serviceMembers(this.#options.engine.containers(), model.name, services);
  }

  /** Waits until all run, are healthy where they have a check, or have ended well where that is all they were to do. */
  async #untilUp(project: ComposeProject, request: ComposeUpRequest, signal: AbortSignal): Promise<void> {
    const limit = new AbortController();
    const seconds = request.wait_timeout_s ?? 0;
    const timer = seconds === 0 ? undefined : setTimeout(() => {
      const said = `Project ${project.model.name} is not up after ${seconds} s; its containers go on`;
      limit.abort(new NyxError("deadline_exceeded", said));
    }, seconds * 1000);
    const any = AbortSignal.any([signal, limit.signal]);
    try {
      await Promise.all(this.#selected(project, request).map((m) => this.#untilOneUp(m.container, any)));
    } finally {
      clearTimeout(timer);
    }
  }

  async #untilOneUp({ id, config }: EngineContainer, signal: AbortSignal): Promise<void> {
    const { engine } = this.#options;
    if (config.healthcheck !== undefined && config.healthcheck.type !== "none") {
      return await untilMet(engine, id, "service_healthy", signal);
    }
    await untilMet(engine, id, "service_started", signal);
    const now = engine.container(id);
    if (now?.status === "exited" && now.exitCode !== 0) {
      throw new NyxError("failed_precondition", `container ${now.name} ended with code ${now.exitCode}`);
    }
  }

  async #removeUnusedFiles(name: string): Promise<void> {
    const { engine, files, log } = this.#options;
    await files.removeUnused(name, engine.containers()).catch((error) =>
      log.warn("Unused files of a project could not be removed", { project: name, error })
    );
  }

  /** Takes a project down. */
  async down(request: ComposeDownRequest, progress: ProgressOptions): Promise<ComposeDownResult> {
    const project = await this.#known(request, "take down the project");
    return await this.#exclusive(project.name, async () => {
      const result = await takeDownProject(this.#options.engine, project, request, progress);
      const gone = this.#options.engine.containers().every((c) => ownership(c, project.name) === undefined);
      if (gone && (request.services ?? []).length === 0) {
        await this.#options.store.remove(project.name);
        await this.#options.files.remove(project.name);
      }
      return result;
    });
  }

  /** A project by its files, or by its name. `known` are the services that the files define. */
  async #known(source: ComposeSource, action: string): Promise<{ name: string; loaded?: ComposeProject }> {
    if (!hasFiles(source)) return { name: projectName(source) };
    const loaded = await this.#options.loading.load(source, { action, lenient: true, checkConsistency: false });
    return { name: loaded.model.name, loaded };
  }

  /** Does something to containers that exist. */
  async act(
    action: ComposeAction,
    request: ComposeActionRequest,
    progress: ProgressOptions,
  ): Promise<ComposeActionResult> {
    const { name, loaded } = await this.#known(request, `${action} the project`);
    checkServices(request.services, loaded, this.#options.engine, name);
    return await this.#exclusive(name, async () => {
      const ids = await this.#act(action, loaded ?? emptyProject(name), request, progress);
      return { ok: true, project: name, ids, ...(action === "stop" ? { stopped: ids } : {}) };
    });
  }

  async #act(
    action: ComposeAction,
    project: ComposeProject,
    request: ComposeActionRequest,
    progress: ProgressOptions,
  ): Promise<string[]> {
    const { engine } = this.#options;
    const { name } = project.model;
    if (action !== "start" && action !== "stop" && action !== "restart") {
      return await actOnAll(engine, name, action, request);
    }
    const world = await observeByName(engine, name);
    const plan = action === "stop" ? planStop(name, world, request.services) : planStart(name, world, action, request);
    await applyPlan(plan, project, engine, {
      ...progress,
      action: `${action} project ${name}`,
      files: this.#options.files.of(name),
      ...defined({ timeoutS: request.timeout_s }),
    });
    return plan.steps.flatMap((step) => step.observedId ?? []);
  }

  /** The model, and views of it. */
  async config(request: ComposeConfigRequest): Promise<ComposeConfigResult> {
    return await this.#options.loading.config(request);
  }

  /** What `up` would do. */
  async plan(request: ComposePlanRequest): Promise<ComposePlanResult> {
    const project = await this.#options.loading.load(request, {
      action: "plan the project",
      services: request.services ?? [],
    });
    const plan = await this.#plan(project, request);
    return { plan, text: printPlan(plan), diagnostics: project.diagnostics.filter((d) => d.severity !== "error") };
  }

  /** Containers of a project. */
  async ps(request: ComposeSource): Promise<ComposePsResult> {
    const { name, loaded } = await this.#known(request, "list the project's containers");
    const stored = loaded === undefined ? await this.#options.store.find(name) : undefined;
    const services = sortedKeys((loaded?.model ?? stored?.model)?.services);
    return { project: name, services, containers: projectRows(await this.#options.summaries(), name) };
  }

  /** All projects. */
  async list(): Promise<ComposeProjectInfo[]> {
    return await projectList(await this.#options.summaries(), this.#options.store);
  }

  /** Pulls the images of a project, side by side. */
  async pull(request: ComposePullRequest, progress: ProgressOptions): Promise<ComposeUpResult> {
    const project = await this.#options.loading.load(request, {
      action: "pull the project's images",
      services: request.services ?? [],
    });
    return await pullImages(this.#options.engine, project, request, progress);
  }

  /** Makes a one-off container of a service, after what the service depends on is up. */
  async run(request: ComposeRunRequest, progress: ProgressOptions): Promise<ComposeRunResult> {
    const project = await this.#options.loading.load(request, {
      action: `run ${request.service}`,
      services: [request.service],
    });
    return await this.#exclusive(project.model.name, async () => {
      const depends = sortedKeys(own(project.model.services, request.service)?.depends_on);
      const services = request.no_deps === true ? [] : depends;
      const warnings: string[] = [];
      if (services.length > 0) {
        const { ask, credentials, env, files, contents } = request;
        const up = defined({ ask, credentials, env, files, contents, services, no_recreate: true });
        warnings.push(...(await this.#up(project, up, progress)).warnings);
      }
      await this.#options.store.save(project);
      return await makeOneOff(this.#options.engine, project, request, {
        ...progress,
        files: this.#options.files.of(project.model.name),
        warnings,
      });
    });
  }

  /** Runs jobs of one project in their order. */
  async #exclusive<T>(name: string, job: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(name) ?? Promise.resolve();
    const mine = before.then(job, job);
    const settled = mine.catch(() => {});
    this.#turns.set(name, settled);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(name) === settled) this.#turns.delete(name);
    }
  }
}

/** A plan that was printed before must be the one that is due now. */
function checkExpected(plan: ComposePlan, expected: ComposePlan | undefined, action: string): void {
  if (expected === undefined) return;
  const same = canonicalJson([plan.project, plan.world, plan.steps]) ===
    canonicalJson([expected.project, expected.world, expected.steps]);
  if (same) return;
  const why = plan.world === expected.world ? "the files or options changed" : "the world moved";
  throw new NyxError(
    "failed_precondition",
    `Could not ${action}: ${why} since the plan was made; make a new one with nyx compose plan`,
  );
}

/** Services that are named must exist, in the files or among the containers. */
function checkServices(
  services: readonly string[] | undefined,
  loaded: ComposeProject | undefined,
  engine: ComposeEngine,
  project: string,
): void {
  const known = new Set([
    ...sortedKeys(loaded?.whole.services),
    ...engine.containers().flatMap((c) => ownership(c, project)?.service ?? []),
  ]);
  const missing = services?.find((service) => !known.has(service));
  if (missing === undefined) return;
  const list = known.size === 0 ? "it has none" : `it has ${[...known].sort().join(", ")}`;
  throw new NyxError("not_found", `Project ${project} has no service ${JSON.stringify(missing)}; ${list}`);
}
