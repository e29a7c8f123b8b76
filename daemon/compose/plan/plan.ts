/**
 * The plan: what has to happen so that what runs is what a project asks for. Pure: the same project and world give the same plan,
 * and a plan of a world that is as asked for has nothing to do.
 */

import type { ComposePlan, ComposeService, FieldChange, PlanAction, PlanStep, PlanWait } from "../../spec/compose.ts";
import { containerName, type DesiredContainer, desiredContainer, type MappingOptions } from "../container.ts";
import { defined, own, sortedKeys } from "../dictionary.ts";
import { contentText } from "../files.ts";
import { dependenciesOf, dependencyLevels, findCircle, withDependencies } from "../graph.ts";
import { objectHash } from "../hash.ts";
import { LABEL } from "../labels.ts";
import { namedVolumes, replicasOf, serviceOfMode, serviceOfVolumesFrom } from "../normalise.ts";
import { imageOf } from "../print.ts";
import type { ComposeProject } from "../project.ts";
import { diffConfigs, inPlaceUpdate, Redaction } from "./diff.ts";
import { type ImageOptions, imageStep } from "./images.ts";
import { isUp, type ObservedContainer, type ObservedWorld, ownership, worldDigest } from "./world.ts";

/** What `up` was asked for. */
export interface PlanOptions extends MappingOptions, ImageOptions {
  /** Only these, and what they depend on; missing means all. */
  services?: readonly string[];
  /** Without what they depend on. */
  noDeps?: boolean;
  /** Replicas by service (`--scale`). */
  scale?: Readonly<Record<string, number>>;
  forceRecreate?: boolean;
  /** Containers that exist are kept, whatever they look like. */
  noRecreate?: boolean;
  /** Recreate also what depends on a recreated service. */
  alwaysRecreateDeps?: boolean;
  /** Remove containers of services that are no longer defined. */
  removeOrphans?: boolean;
  /** Make containers, start none (`create`, `up --no-start`). */
  noStart?: boolean;
}

/** Steps that change a container so that others notice. */
const DISRUPTIVE: ReadonlySet<PlanAction> = new Set(["create", "recreate", "restart"]);

class Planner {
  readonly #project: ComposeProject;
  readonly #world: ObservedWorld;
  readonly #options: PlanOptions;
  readonly #steps: PlanStep[] = [];
  readonly #blocked: ComposePlan["blocked"] = [];
  readonly #warnings: string[] = [];
  readonly #redaction: Redaction;
  readonly #byService = new Map<string, ObservedContainer[]>();
  /** Steps of a service's containers, for those that depend on it. */
  readonly #last = new Map<string, PlanStep[]>();
  readonly #recreatedNetworks = new Set<string>();

  constructor(project: ComposeProject, world: ObservedWorld, options: PlanOptions) {
    this.#project = project;
    this.#world = world;
    this.#options = options;
    const secrets = [...project.contents].flatMap(([key, content]) =>
      key.startsWith("secrets.") ? contentText(content) ?? [] : []
    );
    this.#redaction = new Redaction(secrets);
    for (const container of world.containers) {
      const owner = ownership(container, project.model.name);
      if (owner !== undefined) {
        this.#byService.set(owner.service, [...this.#byService.get(owner.service) ?? [], container]);
      }
    }
  }

  plan(): ComposePlan {
    const { model, diagnostics } = this.#project;
    const selected = this.#selected();
    for (const d of diagnostics) {
      if (d.severity !== "error" && d.blocks !== true) continue;
      const service = /^services\.([^.[]+)/.exec(d.path)?.[1];
      if (service === undefined || selected.has(service) || d.severity === "error") {
        this.#blocked.push(defined({ service, message: `${d.path}: ${d.message}` }));
      }
    }
    const circle = findCircle(model);
    if (circle === undefined) {
      this.#networks(selected);
      this.#volumes(selected);
      this.#images(selected);
      for (const level of dependencyLevels(model)) {
        for (const name of level) if (selected.has(name)) this.#service(name);
      }
    }
    this.#orphans();
    return {
      project: model.name,
      steps: this.#steps,
      blocked: this.#blocked,
      warnings: this.#warnings,
      world: worldDigest(this.#world),
    };
  }

  #selected(): Set<string> {
    const { model } = this.#project;
    const { services, noDeps } = this.#options;
    if (services === undefined || services.length === 0) return new Set(sortedKeys(model.services));
    return noDeps === true
      ? new Set(services.filter((name) => Object.hasOwn(model.services, name)))
      : withDependencies(model, services);
  }

  #add(step: PlanStep): PlanStep {
    this.#steps.push(step);
    return step;
  }

  #networks(selected: ReadonlySet<string>): void {
    const used = new Set(
      [...selected].flatMap((name) => Object.keys(own(this.#project.model.services, name)?.networks ?? {})),
    );
    for (const key of sortedKeys(this.#project.model.networks)) {
      const network = own(this.#project.model.networks, key);
      if (network === undefined || !used.has(key)) continue;
      const found = this.#world.networks.find((n) => n.name === network.name);
      if (network.external === true) {
        if (found === undefined) {
          this.#blocked.push({ message: `the external network ${network.name} does not exist; make it first` });
        }
        continue;
      }
      if (found === undefined) {
        this.#add({
          id: `create-network:${network.name}`,
          action: "create-network",
          target: network.name,
          reason: "it does not exist",
          after: [],
        });
      } else if (own(found.labels, LABEL.project) !== this.#project.model.name) {
        this.#warnings.push(`the network ${network.name} exists and was not made by this project; it is used as it is`);
      } else if (own(found.labels, LABEL.hash) !== undefined && own(found.labels, LABEL.hash) !== objectHash(network)) {
        this.#recreateNetwork(network.name);
      }
    }
  }

  #recreateNetwork(name: string): void {
    this.#recreatedNetworks.add(name);
    const attached = this.#world.containers.filter((c) =>
      ownership(c, this.#project.model.name) !== undefined && isUp(c.status) &&
      (c.config.networks ?? []).some((n) => n.network === name)
    );
    const stops = attached.map((c) =>
      this.#add({
        id: `stop:${c.name}`,
        action: "stop",
        target: c.name,
        observedId: c.id,
        ...ownership(c, this.#project.model.name),
        reason: `its network ${name} is made anew`,
        after: [],
      }).id
    );
    this.#add({
      id: `recreate-network:${name}`,
      action: "recreate-network",
      target: name,
      reason: "its settings changed",
      after: stops,
    });
  }

  #volumes(selected: ReadonlySet<string>): void {
    const used = new Set([...selected].flatMap((name) => this.#volumesOf(name)));
    for (const key of sortedKeys(this.#project.model.volumes)) {
      const volume = own(this.#project.model.volumes, key);
      if (volume === undefined || !used.has(key)) continue;
      const found = this.#world.volumes.find((v) => v.name === volume.name);
      if (volume.external === true) {
        if (found === undefined) {
          this.#blocked.push({ message: `the external volume ${volume.name} does not exist; make it first` });
        }
      } else if (found === undefined) {
        this.#add({
          id: `create-volume:${volume.name}`,
          action: "create-volume",
          target: volume.name,
          reason: "it does not exist",
          after: [],
        });
      } else if (own(found.labels, LABEL.project) !== this.#project.model.name) {
        this.#warnings.push(`the volume ${volume.name} exists and was not made by this project; it is used as it is`);
      } else if (own(found.labels, LABEL.hash) !== undefined && own(found.labels, LABEL.hash) !== objectHash(volume)) {
        this.#warnings.push(
          `the settings of volume ${volume.name} changed; it is kept as it is, since making it anew would lose its data`,
        );
      }
    }
  }

  #volumesOf(name: string, seen = new Set<string>()): string[] {
    const service = own(this.#project.model.services, name);
    if (service === undefined || seen.has(name)) return [];
    seen.add(name);
    const inherited = (service.volumes_from ?? []).flatMap((entry) =>
      this.#volumesOf(serviceOfVolumesFrom(entry) ?? "", seen)
    );
    return [...namedVolumes(service), ...inherited];
  }

  #images(selected: ReadonlySet<string>): void {
    const done = new Set<string>();
    for (const name of sortedKeys(this.#project.model.services)) {
      const service = own(this.#project.model.services, name);
      if (service === undefined || !selected.has(name) || !this.#hasImage(service)) continue;
      const ref = imageOf(this.#project.model, name);
      const present = this.#world.images.find((image) => image.ref === ref);
      const { step, problem } = imageStep(name, service, ref, present, this.#options);
      if (problem !== undefined) this.#blocked.push({ service: name, message: problem });
      if (step !== undefined && !done.has(step.id)) this.#add(step);
      if (step !== undefined) done.add(step.id);
    }
  }

  #hasImage(service: ComposeService): boolean {
    return service.provider === undefined && (service.image !== undefined || service.build !== undefined);
  }

  #service(name: string): void {
    const service = own(this.#project.model.services, name);
    if (service === undefined || !this.#hasImage(service)) return;
    const wanted = own(this.#options.scale, name) ?? replicasOf(service);
    if (wanted > 1 && service.container_name !== undefined) {
      this.#blocked.push({
        service: name,
        message: `${wanted} containers cannot all be named ${service.container_name}; remove container_name`,
      });
      return;
    }
    const observed = [...this.#byService.get(name) ?? []].sort((a, b) =>
      this.#number(a) - this.#number(b) || (a.id < b.id ? -1 : 1)
    );
    const kept = new Set<ObservedContainer>();
    const steps: PlanStep[] = [];
    for (let number = 1; number <= wanted; number++) {
      const desired = desiredContainer(this.#project, name, number, this.#options);
      if (desired === undefined) return;
      this.#blocked.push(
        ...desired.problems.filter((p) => !this.#blocked.some((b) => b.message === p)).map((message) => ({
          service: name,
          message,
        })),
      );
      const existing = observed.find((c) => this.#number(c) === number && !kept.has(c));
      if (existing !== undefined) kept.add(existing);
      steps.push(...this.#container(service, desired, existing));
    }
    for (const surplus of observed) {
      if (kept.has(surplus)) continue;
      const double = this.#number(surplus) >= 1 && this.#number(surplus) <= wanted;
      this.#remove(surplus, double ? "another container has its number" : `${name} is scaled to ${wanted}`);
    }
    this.#last.set(name, steps);
  }

  #number(container: ObservedContainer): number {
    return ownership(container, this.#project.model.name)?.number ?? 0;
  }

  #remove(container: ObservedContainer, reason: string): void {
    this.#add({
      id: `remove:${container.name}`,
      action: "remove",
      target: container.name,
      observedId: container.id,
      ...ownership(container, this.#project.model.name),
      reason,
      after: [],
    });
  }

  /** Steps of one container, the one that others wait for last. */
  #container(service: ComposeService, desired: DesiredContainer, existing: ObservedContainer | undefined): PlanStep[] {
    const base = {
      target: desired.name,
      service: desired.service,
      number: desired.number,
      ...(existing === undefined ? {} : { observedId: existing.id }),
      after: this.#after(service, desired),
      ...this.#waits(desired.service),
    };
    const step = (action: PlanAction, reason: string, more: Partial<PlanStep> = {}): PlanStep =>
      this.#add({ id: `${action}:${desired.name}`, action, ...base, reason, ...more });
    if (existing === undefined) {
      const owner = this.#world.containers.find((c) => c.name === desired.name);
      if (owner !== undefined) {
        this.#blocked.push({
          service: desired.service,
          message: `the container name ${desired.name} is taken by another container (${
            owner.id.slice(0, 12)
          }); remove or rename it`,
        });
      }
      return [step("create", "it does not exist")];
    }
    const recreate = this.#options.noRecreate === true ? undefined : this.#whyRecreate(service, desired, existing);
    if (recreate !== undefined) {
      const order = service.deploy?.update_config?.order;
      return [
        step(
          "recreate",
          recreate.reason,
          defined({ changes: recreate.changes, order: order === "start-first" ? order : undefined }),
        ),
      ];
    }
    const steps: PlanStep[] = [];
    const update = this.#options.noRecreate === true ? undefined : inPlaceUpdate(desired.config, existing.config);
    if (update !== undefined && update !== "recreate") {
      const changes = diffConfigs(desired.config, existing.config, this.#redaction).filter((c) =>
        c.field === "restart" || c.field.startsWith("resources.")
      );
      steps.push(step("update", "limits or restart policy changed; the container goes on", { changes }));
    }
    const start = this.#whyStart(service, desired, existing);
    if (start !== undefined) steps.push(step(start.action, start.reason));
    return steps.length > 0
      ? steps
      : [step("keep", this.#isDone(service, existing) ? "it has finished, with exit code 0" : "unchanged")];
  }

  #whyRecreate(
    service: ComposeService,
    desired: DesiredContainer,
    existing: ObservedContainer,
  ): { reason: string; changes?: FieldChange[] } | undefined {
    if (this.#options.forceRecreate === true) return { reason: "--force-recreate was given" };
    if (existing.status === "dead" || existing.status === "removing") return { reason: `it is ${existing.status}` };
    const hash = own(existing.labels, LABEL.hash);
    const lowered = inPlaceUpdate(desired.config, existing.config) === "recreate";
    if (hash !== desired.hash || lowered) {
      return {
        reason: "its configuration changed",
        changes: diffConfigs(desired.config, existing.config, this.#redaction),
      };
    }
    if (existing.name !== desired.name) return { reason: `its name changes from ${existing.name}` };
    const image = this.#world.images.find((i) => i.ref === desired.config.image);
    if (image !== undefined && existing.imageId !== undefined && image.id !== existing.imageId) {
      return {
        reason: `its image ${desired.config.image} changed`,
        changes: [{ field: "image id", from: shortId(existing.imageId), to: shortId(image.id) }],
      };
    }
    const build = this.#steps.find((s) => s.action === "build" && s.target === desired.config.image);
    if (build !== undefined) return { reason: "its image is built anew" };
    for (const network of desired.config.networks ?? []) {
      if (this.#recreatedNetworks.has(network.network)) {
        return { reason: `its network ${network.network} is made anew` };
      }
    }
    return this.#whyRecreateWith(service, desired.service);
  }

  /** Recreated because of another service: it shares a namespace with it or takes its volumes, or all dependents are to follow. */
  #whyRecreateWith(service: ComposeService, name: string): { reason: string } | undefined {
    const changed = (other: string | undefined) =>
      other !== undefined &&
      (this.#last.get(other) ?? []).some((s) => s.action === "recreate" || s.action === "create");
    for (const mode of [service.network_mode, service.pid, service.ipc]) {
      const other = serviceOfMode(mode);
      if (changed(other)) return { reason: `it shares a namespace with ${other}, which gets a new container` };
    }
    for (const entry of service.volumes_from ?? []) {
      const other = serviceOfVolumesFrom(entry);
      if (changed(other)) return { reason: `it takes the volumes of ${other}, which gets a new container` };
    }
    if (this.#options.alwaysRecreateDeps !== true) return undefined;
    const other = dependenciesOf(this.#project.model, name).find(changed);
    return other === undefined ? undefined : { reason: `it depends on ${other}, which gets a new container` };
  }

  #isDone(service: ComposeService, existing: ObservedContainer): boolean {
    const policy = service.restart ?? (service.deploy?.restart_policy?.condition === "any" ? "always" : "no");
    return existing.status === "exited" && existing.exitCode === 0 && existing.stoppedByUser !== true &&
      (policy === "no" || policy.startsWith("on-failure"));
  }

  #whyStart(
    service: ComposeService,
    desired: DesiredContainer,
    existing: ObservedContainer,
  ): { action: "start" | "restart"; reason: string } | undefined {
    if (this.#options.noStart === true) return undefined;
    if (isUp(existing.status)) {
      for (const [other, dependency] of Object.entries(service.depends_on ?? {})) {
        const moved = (this.#last.get(other) ?? []).find((s) => DISRUPTIVE.has(s.action));
        if (dependency.restart === true && moved !== undefined) {
          return {
            action: "restart",
            reason: `it depends on ${other}, which is ${moved.action === "restart" ? "restarted" : `${moved.action}d`}`,
          };
        }
      }
      if (existing.status === "paused") this.#warnings.push(`container ${desired.name} is paused; it stays so`);
      return undefined;
    }
    if (this.#isDone(service, existing)) return undefined;
    if (existing.status === "created") return { action: "start", reason: "it was never started" };
    const code = existing.exitCode === undefined ? "" : ` (exit code ${existing.exitCode})`;
    return { action: "start", reason: `it is not running${code}` };
  }

  /** Steps that a container's own step comes after. */
  #after(service: ComposeService, desired: DesiredContainer): string[] {
    const networks = new Set((desired.config.networks ?? []).map((n) => n.network));
    const volumes = new Set(
      (desired.config.mounts ?? []).flatMap((m) => m.type === "volume" && m.source !== undefined ? [m.source] : []),
    );
    const prerequisites = this.#steps.filter((s) =>
      (s.action === "create-network" || s.action === "recreate-network") && networks.has(s.target) ||
      s.action === "create-volume" && volumes.has(s.target) ||
      (s.action === "pull" || s.action === "build") && s.target === desired.config.image ||
      s.action === "stop" && s.target === containerName(this.#project, desired.service, desired.number)
    );
    const dependencies = Object.keys(service.depends_on ?? {}).sort().flatMap((other) =>
      (this.#last.get(other) ?? []).filter((s) => s.action !== "keep")
    );
    return [...prerequisites, ...dependencies].map((s) => s.id);
  }

  #waits(name: string): { waits?: PlanWait[] } {
    if (this.#options.noDeps === true || this.#options.noStart === true) return {};
    const dependencies = own(this.#project.model.services, name)?.depends_on;
    const waits = sortedKeys(dependencies).flatMap((service): PlanWait[] => {
      const dependency = own(dependencies, service);
      if (dependency === undefined || !Object.hasOwn(this.#project.model.services, service)) return [];
      return [{ service, condition: dependency.condition, required: dependency.required }];
    });
    return waits.length === 0 ? {} : { waits };
  }

  #orphans(): void {
    const known = this.#project.whole.services;
    const orphans = [...this.#byService].filter(([service]) => !Object.hasOwn(known, service)).flatMap((
      [, containers],
    ) => containers)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    if (orphans.length === 0) return;
    if (this.#options.removeOrphans === true) {
      for (const orphan of orphans) this.#remove(orphan, "its service is no longer defined");
    } else {
      this.#warnings.push(
        `containers of services that are no longer defined: ${
          orphans.map((c) => c.name).join(", ")
        }; remove them with --remove-orphans`,
      );
    }
  }
}

function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}

/** Plans `up`: makes no change and reads nothing but its arguments. */
export function planProject(project: ComposeProject, world: ObservedWorld, options: PlanOptions): ComposePlan {
  return new Planner(project, world, options).plan();
}

/** Whether a plan has nothing to do. */
export function isNoop(plan: ComposePlan): boolean {
  return plan.steps.every((step) => step.action === "keep");
}
