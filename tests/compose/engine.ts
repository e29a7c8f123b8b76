/** A simulated daemon on which plans are really applied: it keeps state, records what is done, and fails where a test says so. */

import type { ContainerConfig, NetworkAttachment, PortMapping } from "../../daemon/spec/container.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { ComposeEngine, EngineContainer } from "../../daemon/compose/reconcile/engine.ts";
import { layOut, type ProjectFiles } from "../../daemon/compose/reconcile/files.ts";
import type { ObservedNetwork } from "../../daemon/compose/plan/world.ts";

/** Configs and secrets of a project below one directory. */
export function filesIn(dir: string): ProjectFiles {
  return {
    filesDir: dir,
    secretsDir: dir,
    layOut: (files) => layOut(files),
    lost: () => Promise.resolve(false),
  };
}

/** How containers of a service behave once started, by name. */
export interface Behaviour {
  /** Ends at once with this code. */
  exits?: number;
  /** Becomes so after a few turns of the loop. */
  health?: "healthy" | "unhealthy";
  /** Its image brings a health check. */
  imageCheck?: boolean;
  /** Cannot be started; with the name of an image, when it is of that. */
  fails?: boolean | string;
}

/** A name without what is random in it. */
function shown(name: string): string {
  return name.replace(/^[0-9a-f]{8}_/, "next_").replace(/^[0-9a-f]{12}_/, "old_");
}

/** The simulated daemon. */
export class FakeEngine implements ComposeEngine {
  /** What was done, such as `start shop-db-1`. */
  readonly log: string[] = [];
  readonly images = new Map<string, string>();
  readonly behaviour = new Map<string, Behaviour>();
  /** Image references that cannot be pulled. */
  readonly unreachable = new Set<string>();
  /** Open connections that the next looks find. */
  readonly connections: number[] = [];
  /** Names of containers that accept no connections. */
  readonly deaf = new Set<string>();
  readonly #containers = new Map<string, EngineContainer>();
  readonly #networks: ObservedNetwork[] = [];
  readonly #volumes: { name: string; labels: Record<string, string>; mountpoint: string }[] = [];
  readonly #watchers = new Map<string, (() => void)[]>();
  /** Ports as `80/tcp`, with who holds them: stopped containers hold theirs, too. */
  readonly #ports = new Map<string, string>();
  #serial = 0;
  #dieAfter = "";
  #dead = false;

  /** Names of containers that run. */
  get running(): string[] {
    return this.containers().filter((c) => c.status === "running").map((c) => c.name).sort();
  }

  /** Names of all containers. */
  get names(): string[] {
    return this.containers().map((c) => c.name).sort();
  }

  /** Names of networks and volumes. */
  get objects(): string[] {
    return [...this.#networks, ...this.#volumes].map((o) => o.name).sort();
  }

  #at(id: string): EngineContainer {
    const found = this.#containers.get(id);
    if (found === undefined) throw new NyxError("not_found", `no container ${id}`);
    return found;
  }

  /** Every request fails once this has been done, as when nyxd dies there; empty: it lives again. */
  set dieAfter(what: string) {
    this.#dieAfter = what;
    this.#dead = false;
  }

  /** Fails when nyxd is dead; dies after this, if it is to. */
  #alive(what: string): void {
    if (this.#dead) throw new NyxError("unavailable", "nyxd is dead");
    this.#dead = what === this.#dieAfter;
  }

  #did(what: string, id: string): EngineContainer {
    this.#alive(what);
    const container = this.#at(id);
    this.log.push(`${what} ${shown(container.name)}`);
    return container;
  }

  #wake(id: string): void {
    for (const wake of this.#watchers.get(id)?.splice(0) ?? []) wake();
  }

  containers(): EngineContainer[] {
    return [...this.#containers.values()].map((c) => ({ ...c }));
  }

  container(id: string): EngineContainer | undefined {
    const found = this.#containers.get(id);
    return found === undefined ? undefined : { ...found };
  }

  changed(id: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#watchers.set(id, [...this.#watchers.get(id) ?? [], resolve]);
      signal.addEventListener("abort", () => resolve(), { once: true });
      if (signal.aborted) resolve();
    });
  }

  create(config: ContainerConfig): Promise<{ id: string; warnings: string[] }> {
    const name = config.name ?? "unnamed";
    const id = (++this.#serial).toString(16).padStart(64, "0");
    this.log.push(`create ${shown(name)}`);
    const imageId = this.images.get(config.image);
    if (imageId === undefined) return Promise.reject(new NyxError("not_found", `no image ${config.image}`));
    if (this.names.includes(name)) return Promise.reject(new NyxError("already_exists", `name ${name} is taken`));
    for (const { hostIp = "", hostPort, protocol = "tcp" } of config.publish ?? []) {
      const port = `${hostIp}:${hostPort}/${protocol}`;
      if (hostPort !== 0 && this.#ports.has(port)) {
        return Promise.reject(new NyxError("failed_precondition", `port ${port} is taken`));
      }
      this.#ports.set(port, id);
    }
    const anonymous = (config.mounts ?? []).flatMap((m) =>
      m.type !== "volume"
        ? []
        : m.source === undefined
        ? [[m.target, `anon-${id.slice(-4)}`]]
        : m.source.startsWith("anon-")
        ? [[m.target, m.source]]
        : []
    );
    this.#containers.set(id, {
      id,
      name,
      labels: config.labels ?? {},
      status: "created",
      imageId,
      config: this.behaviour.get(name)?.imageCheck === true ? { healthcheck: { type: "exec" }, ...config } : config,
      anonymous: Object.fromEntries(anonymous),
      binds: [],
    });
    return Promise.resolve({ id, warnings: [] });
  }

  async start(id: string): Promise<void> {
    const container = this.#did("start", id);
    // The copy may be replaced by a restart meanwhile; the behaviour belongs to the name without its suffix.
    const { exits, health, fails } = this.behaviour.get(container.name.replace(/^[0-9a-f]+_/, "")) ?? {};
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (fails === true || fails === container.config.image) {
      Object.assign(container, { status: "exited", exitCode: 127 });
      throw new NyxError("failed_precondition", `no program in ${container.name}`);
    }
    container.status = "running";
    container.stoppedByUser = false;
    delete container.exitCode;
    this.#wake(id);
    setTimeout(() => {
      if (exits !== undefined) Object.assign(container, { status: "exited", exitCode: exits });
      else if (health !== undefined) container.health = health;
      this.#wake(id);
    }, 2);
  }

  stop(id: string): Promise<void> {
    Object.assign(this.#did("stop", id), { status: "exited", exitCode: 143, stoppedByUser: true });
    this.#wake(id);
    return Promise.resolve();
  }

  /** The host goes down: everything that runs ends, and nobody asked for it. */
  powerCut(): void {
    for (const container of this.#containers.values()) {
      if (container.status !== "running") continue;
      Object.assign(container, { status: "exited", exitCode: 137, stoppedByUser: false });
      delete container.health;
    }
    this.log.length = 0;
  }

  async restart(id: string): Promise<void> {
    this.#did("restart", id);
    await this.stop(id);
    await this.start(id);
  }

  pause(id: string): Promise<void> {
    this.#did("pause", id).status = "paused";
    return Promise.resolve();
  }

  unpause(id: string): Promise<void> {
    this.#did("unpause", id).status = "running";
    return Promise.resolve();
  }

  kill(id: string): Promise<void> {
    this.#did("kill", id).status = "exited";
    return Promise.resolve();
  }

  rename(id: string, name: string): Promise<void> {
    this.#alive("rename");
    const container = this.#at(id);
    this.log.push(`rename ${shown(container.name)} ${shown(name)}`);
    container.name = name;
    return Promise.resolve();
  }

  update(id: string, resources: ContainerConfig["resources"], restart: ContainerConfig["restart"]): Promise<void> {
    const { config } = this.#did("update", id);
    config.resources = { ...config.resources, ...resources };
    if (restart !== undefined) config.restart = restart;
    return Promise.resolve();
  }

  async remove(id: string): Promise<void> {
    this.#did("remove", id);
    await this.release(id);
    this.#containers.delete(id);
    this.#wake(id);
  }

  release(id: string): Promise<void> {
    for (const [port, holder] of this.#ports) if (holder === id) this.#ports.delete(port);
    return Promise.resolve();
  }

  movePorts(from: string, to: string, ports: readonly PortMapping[]): Promise<void> {
    const [giver, taker] = [this.#did("flip", from), this.#at(to)];
    for (const one of [giver, taker]) {
      if (one.status !== "running") return Promise.reject(new NyxError("failed_precondition", `${one.name} must run`));
    }
    for (const [port, holder] of this.#ports) if (holder === from) this.#ports.set(port, to);
    const goes = (p: PortMapping) => ports.some((q) => JSON.stringify(p) === JSON.stringify(q));
    taker.config = { ...taker.config, publish: [...taker.config.publish ?? [], ...ports] };
    giver.config = { ...giver.config, publish: (giver.config.publish ?? []).filter((p) => !goes(p)) };
    return Promise.resolve();
  }

  restorePorts(id: string, ports: readonly PortMapping[]): Promise<void> {
    const container = this.#at(id);
    container.config = { ...container.config, publish: [...container.config.publish ?? [], ...ports] };
    return Promise.resolve();
  }

  openConnections(id: string): Promise<number> {
    this.#alive("drain");
    this.log.push(`drain ${shown(this.#at(id).name)}`);
    return Promise.resolve(this.connections.shift() ?? 0);
  }

  listening(id: string): Promise<boolean> {
    const { status, name } = this.#at(id);
    return Promise.resolve(status === "running" && !this.deaf.has(shown(name)));
  }

  setAliases(id: string, networks: readonly NetworkAttachment[]): Promise<void> {
    this.#alive("aliases");
    const container = this.#at(id);
    container.config = { ...container.config, networks: [...networks] };
    return Promise.resolve();
  }

  networks(): Promise<ObservedNetwork[]> {
    return Promise.resolve([...this.#networks]);
  }

  createNetwork(request: { name: string; labels?: Record<string, string> }): Promise<void> {
    this.log.push(`network ${request.name}`);
    this.#networks.push({ name: request.name, labels: request.labels ?? {} });
    return Promise.resolve();
  }

  removeNetwork(name: string): Promise<void> {
    const user = this.containers().find((c) => c.config.networks?.some((n) => n.network === name) === true);
    if (user !== undefined) return Promise.reject(new NyxError("failed_precondition", `${user.name} uses ${name}`));
    this.#networks.splice(this.#networks.findIndex((n) => n.name === name), 1);
    return Promise.resolve();
  }

  connect(network: string, { container }: { container: string }): Promise<void> {
    const found = this.#at(container);
    found.config = { ...found.config, networks: [...found.config.networks ?? [], { network }] };
    return Promise.resolve();
  }

  disconnect(network: string, container: string): Promise<void> {
    const found = this.#at(container);
    found.config = { ...found.config, networks: (found.config.networks ?? []).filter((n) => n.network !== network) };
    return Promise.resolve();
  }

  volumes() {
    return Promise.resolve([...this.#volumes]);
  }

  createVolume(request: { name: string; labels: Record<string, string> }): Promise<void> {
    this.#volumes.push({ ...request, mountpoint: `/volumes/${request.name}` });
    return Promise.resolve();
  }

  removeVolume(name: string): Promise<void> {
    this.#volumes.splice(this.#volumes.findIndex((v) => v.name === name), 1);
    return Promise.resolve();
  }

  image(ref: string) {
    const id = this.images.get(ref);
    return Promise.resolve(id === undefined ? undefined : { ref, id });
  }

  async pull(ref: string): Promise<void> {
    this.log.push(`pull ${ref}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (this.unreachable.has(ref)) throw new NyxError("unavailable", `cannot reach the registry of ${ref}`);
    this.images.set(ref, `sha256:${ref}`);
  }

  removeImage(ref: string): Promise<void> {
    this.images.delete(ref);
    return Promise.resolve();
  }
}
