/**
 * The plan: what has to happen so that what runs is what a project asks for. Pure: the same project and world give the same plan,
 * and a plan of a world that is as asked for has nothing to do.
 */

import type { ComposePlan, ComposeService, FieldChange, PlanAction, PlanStep, PlanWait } from "../../spec/compose.ts";
import { containerName, type DesiredContainer, desiredContainer, type MappingOptions } from "../container.ts";
import { defined, own, sortedKeys } from "../dictionary.ts";
import { contentText } from "../files.ts";
import { dependenciesOf, dependencyLevels, findCircle, withDependencies } from "../graph.ts";
import { LABEL } from "../labels.ts";
import { replicasOf, serviceOfMode, serviceOfVolumesFrom } from "../normalise.ts";
import type { ComposeProject } from "../project.ts";
import { samePort } from "../../supervisor/ports.ts";
import { diffConfigs, inPlaceUpdate, Redaction } from "./diff.ts";
import type { ImageOptions } from "./images.ts";
import type { PortMapping } from "../../spec/container.ts";
import { hasImage, planObjects } from "./objects.ts";
import { orderPorts } from "./ports.ts";
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

/** Most containers of a service: more is a slip of the pen, and planning them would take the host's memory. */
const MOST_REPLICAS = 10_000;
/** Steps after which dependents with `restart: true` are restarted. */
const DISRUPTIVE: ReadonlySet<PlanAction> = new Set(["recreate", "restart"]);
/** Steps that start a container, and so wait for its dependencies. */
const STARTING: ReadonlySet<PlanAction> = new Set(["create", "recreate", "start", "restart"]);

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
  /** Ports that a container has after its step. */
  readonly #publish = new Map<string, readonly PortMapping[]>();
  #newNetworks: ReadonlyMap<string, string> = new Map();

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
      const objects = planObjects(this.#project, this.#world, selected, this.#options);
      this.#steps.push(...objects.steps);
      this.#blocked.push(...objects.blocked);
      this.#warnings.push(...objects.warnings);
      this.#newNetworks = objects.newNetworks;
      for (const level of dependencyLevels(model)) {
        for (const name of level) if (selected.has(name)) this.#service(name);
      }
    }
    this.#orphans();
    return {
      project: model.name,
      steps: orderPorts(this.#steps, this.#world.containers, this.#publish),
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

  #service(name: string): void {
    const service = own(this.#project.model.services, name);
    if (service === undefined || !hasImage(service)) return;
    const wanted = own(this.#options.scale, name) ?? replicasOf(service);
    if (wanted > 1 && service.container_name !== undefined) {
      this.#blocked.push({
        service: name,
        message: `${wanted} containers cannot all be named ${service.container_name}; remove container_name`,
      });
      return;
    }
    if (wanted > MOST_REPLICAS) {
      this.#blocked.push({
        service: name,
        message: `${wanted} containers are more than ${MOST_REPLICAS}; ask for fewer`,
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
      const existing = this.#best(observed.filter((c) => this.#number(c) === number && !kept.has(c)), desired);
      if (existing !== undefined) kept.add(existing);
      steps.push(...this.#container(service, desired, existing));
    }
    for (const surplus of observed) {
      if (kept.has(surplus)) continue;
      const double = this.#number(surplus) >= 1 && this.#number(surplus) <= wanted;
      this.#remove(surplus, double ? "another container has its number" : `${name} is scaled to ${wanted}`);
    }
    this.#inTurns(service, steps);
    this.#last.set(name, steps);
  }

  /** Of several containers with one number, as an interrupted replacement leaves them, the one to go on with. */
  #best(candidates: readonly ObservedContainer[], desired: DesiredContainer): ObservedContainer | undefined {
    const rank = (c: ObservedContainer) => {
      if (!isUp(c.status)) return c.name === desired.name ? 2 : 3;
      if (own(c.labels, LABEL.hash) !== desired.hash) return 1;
      // One that was to take over, and has not yet.
      return lacksPorts(c, desired) ? 3 : 0;
    };
    return [...candidates].sort((a, b) => rank(a) - rank(b))[0];
  }

  /** A service's containers are replaced so many at a time, when it says how many. */
  #inTurns(service: ComposeService, steps: readonly PlanStep[]): void {
    const config = service.deploy?.update_config;
    if (config === undefined || config.parallelism === 0) return;
    const turns = steps.filter((s) => s.action === "recreate");
    for (const [i, step] of turns.entries()) {
      const before = turns[i - (config.parallelism ?? 1)];
      if (before !== undefined) step.after.push(before.id);
    }
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
    };
    const waits = this.#waits(desired.service);
    const step = (action: PlanAction, reason: string, more: Partial<PlanStep> = {}): PlanStep => {
      const id = `${action}:${desired.name}`;
      if (desired.config.publish !== undefined) this.#publish.set(id, desired.config.publish);
      return this.#add({ id, action, ...base, reason, ...(STARTING.has(action) ? waits : {}), ...more });
    };
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
    if (existing.name !== desired.name && this.#options.noRecreate !== true) {
      steps.push(step("update", `its name changes from ${existing.name}; the container goes on`));
    } else if (update !== undefined && update !== "recreate") {
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
    if (lacksPorts(existing, desired)) return { reason: "it does not publish all its ports" };
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
      const made = this.#newNetworks.get(network.network);
      if (made !== undefined) return { reason: `its network ${network.network} ${made}` };
    }
    return this.#whyRecreateWith(service, desired.service);
  }

  /** Recreated because of another service: it shares a namespace with it or takes its volumes, or all dependents are to follow. */
  #whyRecreateWith(service: ComposeService, name: string): { reason: string } | undefined {
    const changed = (other: string | undefined, number?: number) =>
      other !== undefined &&
      (this.#last.get(other) ?? []).some((s) =>
        (s.action === "recreate" || s.action === "create") && (number === undefined || s.number === number)
      );
    for (const mode of [service.network_mode, service.pid, service.ipc]) {
      const other = serviceOfMode(mode);
      // Namespaces are those of the first container.
      if (changed(other, 1)) return { reason: `it shares a namespace with ${other}, which gets a new container` };
    }
    for (const entry of service.volumes_from ?? []) {
      const other = serviceOfVolumesFrom(entry);
      if (changed(other)) return { reason: `it takes the volumes of ${other}, which gets a new container` };
    }
    if (this.#options.alwaysRecreateDeps !== true) return undefined;
    const other = dependenciesOf(this.#project.model, name).find((dependency) => changed(dependency));
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
      const other = own(this.#project.model.services, service);
      if (dependency === undefined || other === undefined || !hasImage(other)) return [];
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

/** Whether a container does not publish all that it ought to. */
function lacksPorts(container: ObservedContainer, desired: DesiredContainer): boolean {
  const there = container.config.publish ?? [];
  return (desired.config.publish ?? []).some((port) => !there.some((t) => samePort(t, port)));
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
