/** What each step of a plan does. */

import type { PlanStep } from "../../spec/compose.ts";
import { NyxError, toNyxError } from "../../spec/errors.ts";
import type { PullEvent, RegistryCredentials } from "../../spec/image.ts";
import { type DesiredContainer, desiredContainer } from "../container.ts";
import { own } from "../dictionary.ts";
import { inPlaceUpdate } from "../plan/diff.ts";
import { isUp } from "../plan/world.ts";
import { imageOf } from "../print.ts";
import type { ComposeProject } from "../project.ts";
import type { ComposeEngine, EngineContainer } from "./engine.ts";
import { type ProjectFiles, startsByItself } from "./files.ts";
import { networkRequest, volumeRequest } from "./objects.ts";
import { Rollouts } from "./rollout.ts";
import { untilReady } from "./waiting.ts";

/** Settings of one application of a plan. */
export interface StepOptions {
  /** Configs and secrets. */
  files: ProjectFiles;
  /** Seconds from a stop signal to KILL; default each container's own. */
  timeoutS?: number;
  renewVolumes?: boolean;
  noStart?: boolean;
  credentials?: Readonly<Record<string, RegistryCredentials>>;
  onWarning: (message: string) => void;
  onWait: (step: PlanStep, message: string) => void;
  onPull: (ref: string, event: PullEvent) => void;
}

/** Applies steps of one project. */
export class Steps {
  readonly #engine: ComposeEngine;
  readonly #project: ComposeProject;
  readonly #options: StepOptions;

  /** Replacements of services' containers. */
  readonly rollouts: Rollouts;
  /** Containers that another takes the place of. */
  readonly #remade: ReadonlySet<string>;
  /** Those of them that ran until a step stopped them. */
  readonly #stopped = new Set<string>();

  /** @param steps all of the plan */
  constructor(engine: ComposeEngine, project: ComposeProject, steps: readonly PlanStep[], options: StepOptions) {
    this.#engine = engine;
    this.#project = project;
    this.#options = options;
    this.#remade = new Set(steps.flatMap((s) => s.action === "recreate" ? s.observedId ?? [] : []));
    this.rollouts = new Rollouts(engine, project, steps, {
      renewVolumes: options.renewVolumes === true,
      noStart: options.noStart === true,
      onWarning: options.onWarning,
      ...(options.timeoutS === undefined ? {} : { timeoutS: options.timeoutS }),
    });
  }

  /** Does one step. @throws NyxError that says what failed */
  async run(step: PlanStep, signal: AbortSignal): Promise<void> {
    switch (step.action) {
      case "keep":
        return;
      case "pull":
        return await this.#pull(step, signal);
      case "build":
        throw new NyxError("internal", `Could not build image ${step.target}: its files are the caller's`);
      case "create-network":
        return await this.#createNetwork(step.target);
      case "recreate-network":
        return await this.#recreateNetwork(step.target);
      case "create-volume":
        return await this.#createVolume(step.target);
      case "remove-network":
        return await this.#engine.removeNetwork(step.target);
      case "remove-volume":
        return await this.#engine.removeVolume(step.target);
      case "create":
        return await this.#create(step, signal);
      case "recreate":
        return await this.#recreate(step, signal);
      case "update":
        return await this.#update(step);
      case "start":
      case "restart":
        return await this.#start(step, signal);
      case "stop":
        return await this.#stop(step);
      case "remove":
        return await this.#remove(step);
    }
  }

  /** One that is to be made anew gives its ports up at once: another may have been waiting for them. */
  async #stop(step: PlanStep): Promise<void> {
    const { id, status } = this.#old(step);
    await this.#engine.stop(id, this.#options.timeoutS);
    if (!this.#remade.has(id)) return;
    if (isUp(status)) this.#stopped.add(id);
    await this.#engine.release(id);
  }

  /**
   * Starts again what was stopped to be made anew and was not.
   *
   * @returns what was done, as sentences
   */
  async startAgain(): Promise<string[]> {
    const left = [...this.#stopped].flatMap((id) => this.#engine.container(id) ?? []).filter((c) => !isUp(c.status));
    return await Promise.all(left.map(async ({ id, name }) => {
      try {
        await this.#engine.start(id);
        return `container ${name}, which was stopped, was started again`;
      } catch (e) {
        return `container ${name} was stopped, and could not be started again: ${toNyxError(e).message}`;
      }
    }));
  }

  async #pull(step: PlanStep, signal: AbortSignal): Promise<void> {
    const ref = step.target;
    const { model } = this.#project;
    const user = Object.keys(model.services).find((name) => imageOf(model, name) === ref);
    const platform = user === undefined ? undefined : own(model.services, user)?.platform;
    const credentials = own(this.#options.credentials, ref);
    await this.#engine.pull(ref, {
      signal,
      onEvent: (event) => this.#options.onPull(ref, event),
      ...(platform === undefined ? {} : { platform }),
      ...(credentials === undefined ? {} : { credentials }),
    });
  }

  async #createNetwork(name: string): Promise<void> {
    const { model } = this.#project;
    for (const [key, network] of Object.entries(model.networks ?? {})) {
      if (network.name === name) return await this.#engine.createNetwork(networkRequest(model.name, key, network));
    }
    throw new NyxError("internal", `The plan names a network ${name} that the project has not`);
  }

  /** Its containers, stopped by now, are taken out of it and put back, so that each can still be started should the rest fail. */
  async #recreateNetwork(name: string): Promise<void> {
    const members = this.#engine.containers().filter((c) => (c.config.networks ?? []).some((n) => n.network === name));
    for (const { id } of members) await this.#engine.disconnect(name, id);
    try {
      await this.#engine.removeNetwork(name);
      await this.#createNetwork(name);
    } finally {
      for (const { id, config } of members) {
        const aliases = config.networks?.find((n) => n.network === name)?.aliases;
        await this.#engine.connect(name, { container: id, ...(aliases === undefined ? {} : { aliases }) })
          .catch((e) => this.#options.onWarning(`${id.slice(0, 12)} could not be put back into ${name}: ${e.message}`));
      }
    }
  }

  async #createVolume(name: string): Promise<void> {
    const { model } = this.#project;
    for (const [key, volume] of Object.entries(model.volumes ?? {})) {
      if (volume.name === name) return await this.#engine.createVolume(volumeRequest(model.name, key, volume));
    }
    throw new NyxError("internal", `The plan names a volume ${name} that the project has not`);
  }

  #desired(step: PlanStep): DesiredContainer {
    const desired = desiredContainer(this.#project, step.service ?? "", step.number ?? 0, {
      ...this.#options.files,
    });
    if (desired === undefined) {
      throw new NyxError("internal", `The plan names a service that has no container: ${step.id}`);
    }
    return desired;
  }

  async #layOut({ files, config }: DesiredContainer): Promise<void> {
    await this.#options.files.layOut(files, startsByItself(config.restart));
  }

  #old(step: PlanStep): EngineContainer {
    const found = this.#engine.container(step.observedId ?? "");
    if (found !== undefined) return found;
    throw new NyxError("failed_precondition", `Container ${step.target} was removed meanwhile; repeat the command`);
  }

  async #ready(step: PlanStep, signal: AbortSignal): Promise<void> {
    await untilReady(this.#engine, this.#project.model.name, step.waits ?? [], {
      signal,
      onWait: (message) => this.#options.onWait(step, message),
      onSkip: (message) => this.#options.onWarning(`${step.target}: ${message}`),
    });
  }

  async #create(step: PlanStep, signal: AbortSignal): Promise<void> {
    const desired = this.#desired(step);
    await this.#layOut(desired);
    const { id, warnings } = await this.#engine.create(desired.config);
    warnings.forEach(this.#options.onWarning);
    if (this.#options.noStart === true) return;
    await this.#ready(step, signal);
    await this.#engine.start(id);
  }

  async #recreate(step: PlanStep, signal: AbortSignal): Promise<void> {
    const desired = this.#desired(step);
    await this.#layOut(desired);
    if (this.#options.noStart !== true) await this.#ready(step, signal);
    await this.rollouts.replace(step, this.#old(step), desired, signal);
  }

  async #update(step: PlanStep): Promise<void> {
    const old = this.#old(step);
    const desired = this.#desired(step);
    const update = inPlaceUpdate(desired.config, old.config);
    if (update === "recreate") return;
    if (old.name !== desired.name) {
      // What an interrupted replacement has not done any more.
      await this.#engine.setAliases(old.id, desired.config.networks ?? []);
      await this.#engine.rename(old.id, desired.name);
    }
    if (update === undefined) return;
    // A new restart policy may want its secrets after a reboot.
    await this.#layOut(desired);
    await this.#engine.update(old.id, update.resources ?? {}, update.restart);
  }

  async #start(step: PlanStep, signal: AbortSignal): Promise<void> {
    const { id, binds } = this.#old(step);
    await this.#ready(step, signal);
    await this.#bringBack(step, binds);
    if (step.action === "start") await this.#engine.start(id);
    else await this.#engine.restart(id, this.#options.timeoutS);
  }

  /** Secrets that went with a reboot, where the caller sent them again. */
  async #bringBack(step: PlanStep, binds: readonly string[]): Promise<void> {
    const { filesDir, secretsDir, layOut, lost } = this.#options.files;
    const desired = desiredContainer(this.#project, step.service ?? "", step.number ?? 0, { filesDir, secretsDir });
    const files = desired?.files.filter((file) => binds.includes(file.hostPath)) ?? [];
    if (desired !== undefined && files.length > 0) await layOut(files, startsByItself(desired.config.restart));
    if (!await lost(binds)) return;
    throw new NyxError(
      "failed_precondition",
      `Could not start ${step.target}: its secrets were in memory only, and went when the host or nyxd went down; ` +
        "bring it up again with its files: nyx compose up",
    );
  }

  async #remove(step: PlanStep): Promise<void> {
    const { id, status } = this.#old(step);
    // One that is removed when it has ended goes by itself.
    try {
      if (isUp(status) || status === "stopping") await this.#engine.stop(id, this.#options.timeoutS);
      await this.#engine.remove(id, this.#options.renewVolumes === true);
    } catch (e) {
      if (toNyxError(e).code !== "not_found") throw e;
    }
  }
}
