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
import { layOut } from "./files.ts";
import { networkRequest, volumeRequest } from "./objects.ts";
import { replace } from "./replace.ts";
import { untilReady } from "./waiting.ts";

/** Settings of one application of a plan. */
export interface StepOptions {
  /** Host directory of configs and secrets. */
  filesDir: string;
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

  constructor(engine: ComposeEngine, project: ComposeProject, options: StepOptions) {
    this.#engine = engine;
    this.#project = project;
    this.#options = options;
  }

  /** Does one step. @throws NyxError that says what failed */
  async run(step: PlanStep, signal: AbortSignal): Promise<void> {
    switch (step.action) {
      case "keep":
        return;
      case "pull":
        return await this.#pull(step, signal);
      case "build":
        throw new NyxError("unimplemented", `Could not build image ${step.target}: nyx builds no images`);
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
        return await this.#engine.stop(this.#old(step).id, this.#options.timeoutS);
      case "remove":
        return await this.#remove(step);
    }
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
      filesDir: this.#options.filesDir,
    });
    if (desired === undefined) {
      throw new NyxError("internal", `The plan names a service that has no container: ${step.id}`);
    }
    return desired;
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
    await layOut(desired.files);
    const { id, warnings } = await this.#engine.create(desired.config);
    warnings.forEach(this.#options.onWarning);
    if (this.#options.noStart === true) return;
    await this.#ready(step, signal);
    await this.#engine.start(id);
  }

  async #recreate(step: PlanStep, signal: AbortSignal): Promise<void> {
    const desired = this.#desired(step);
    await layOut(desired.files);
    if (this.#options.noStart !== true) await this.#ready(step, signal);
    await replace(this.#engine, this.#old(step), desired, step.order, {
      renewVolumes: this.#options.renewVolumes === true,
      noStart: this.#options.noStart === true,
      signal,
      onWarning: this.#options.onWarning,
      ...(this.#options.timeoutS === undefined ? {} : { timeoutS: this.#options.timeoutS }),
    });
  }

  async #update(step: PlanStep): Promise<void> {
    const old = this.#old(step);
    const update = inPlaceUpdate(this.#desired(step).config, old.config);
    if (update === undefined || update === "recreate") return;
    await this.#engine.update(old.id, update.resources ?? {}, update.restart);
  }

  async #start(step: PlanStep, signal: AbortSignal): Promise<void> {
    const { id } = this.#old(step);
    await this.#ready(step, signal);
    if (step.action === "start") await this.#engine.start(id);
    else await this.#engine.restart(id, this.#options.timeoutS);
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
