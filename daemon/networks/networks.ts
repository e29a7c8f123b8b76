/**
 * Networks (D08 as users see it): what is defined, kept on disk, made in the kernel by the network worker, and served by the resolver.
 *
 * The kernel is changed first and the record second, so that what a user was told exists does. A crash between the two leaves a
 * bridge without a record, which the worker removes at the next start.
 */

import { suggest } from "../control/suggest.ts";
import type { NetworkService } from "../control/services.ts";
import type { DnsBackend } from "../dns/backend.ts";
import type { EventBus } from "../events/bus.ts";
import type { Logger } from "../log/logger.ts";
import type {
  ExplainPath,
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkInfo,
  NetworkSubnet,
} from "../spec/api.ts";
import type { NetworkAttachment } from "../spec/container.ts";
import { NyxError } from "../spec/errors.ts";
import { nowRfc3339 } from "../spec/time.ts";
import { untilAvailable } from "../supervisor/available.ts";
import type { Container } from "../supervisor/container.ts";
import type { NetworkSource, Stages } from "../supervisor/deps.ts";
import { randomId, resolveRef } from "../supervisor/names.ts";
import type { DiscoveredNetwork, NetworkDefinition, NetworkStage } from "../../workers/protocol.ts";
import {
  type Backend,
  definitionOf,
  dnsOf,
  hasResolver,
  needsBlock,
  newNetwork,
  sharesInterface,
} from "./definition.ts";
import { explain } from "./explain.ts";
import { type FileRecord, fileRecord } from "./files.ts";
import { makeInPool, takeAway } from "./kernel.ts";
import { type NetworkRecord, networkRecord, NetworkStore } from "./record.ts";
import { eventAttributes, hasLabel, infoOf } from "./view.ts";

/** What networks need of the containers. */
export interface NetworkUsers {
  readonly all: Container[];
  find(ref: string): Container;
  /** Those whose configuration names a network, running or not. */
  usersOfNetwork(name: string): Container[];
  connect(ref: string, attachment: NetworkAttachment): Promise<Container>;
  disconnect(ref: string, network: string): Promise<Container>;
}

/** Parts of the daemon. */
export interface NetworksDeps {
  baseDir: string;
  network: Stages["network"];
  dns: Pick<DnsBackend, "addNetwork" | "removeNetwork">;
  events: EventBus;
  log: Logger;
  /** What makes networks; default nyx itself. */
  driver?: Backend;
  users: () => NetworkUsers;
}

/** What was leased to a container. */
type Found = Omit<NetworkStage["ops"]["init"]["result"]["attached"][number], "id">;

/** Networks of one daemon. */
export class Networks implements NetworkService, NetworkSource {
  readonly #deps: NetworksDeps;
  readonly #store: NetworkStore;
  readonly #byName = new Map<string, NetworkRecord>();
  /** Networks that files define: nobody's to change here. */
  #files = new Map<string, FileRecord>();
  /** Networks that the kernel does not have, with the reason. */
  readonly #down = new Map<string, string>();
  /** Containers being made on a network, and networks being removed: each keeps the other out. */
  readonly #inUse = new Map<string, number>();
  readonly #leaving = new Set<string>();
  /** Leases by container, as the worker found them when it last started. */
  #attached = new Map<string, Found>();
  #default = "";
  /** Definitions change one after the other, so that two never choose the same subnet. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param deps parts of the daemon */
  constructor(deps: NetworksDeps) {
    this.#deps = deps;
    this.#store = new NetworkStore(`${deps.baseDir}/network/networks`, deps.log);
  }

  // ------------------------------------------------------------------ start

  /**
   * Reads what is defined.
   *
   * @param defaultName name of the daemon's own network
   * @throws NyxError failed_precondition when a user's network has that name
   */
  async load(defaultName: string): Promise<void> {
    this.#default = defaultName;
    for (const record of await this.#store.load()) {
      if (record.default && record.name !== defaultName) await this.#store.remove(record.name);
      else if (!record.default && record.name === defaultName) {
        throw new NyxError(
          "failed_precondition",
          `Could not call the default network "${defaultName}": a network of that name exists; choose another --network`,
        );
      } else this.#byName.set(record.name, record);
    }
  }

  /** Definitions of all but the default network. */
  definitions(): NetworkDefinition[] {
    return [...this.#byName.values()].filter((r) => !r.default).map(definitionOf);
  }

  /** Notes which networks the worker could not make, and what it found leased. */
  initialised(
    { failed, attached, discovered }: Pick<
      NetworkStage["ops"]["init"]["result"],
      "failed" | "attached" | "discovered"
    >,
  ): void {
    this.discovered(discovered ?? []);
    this.#down.clear();
    for (const { name, message } of failed) this.#down.set(name, message);
    this.#attached = new Map(attached.map(({ id, ...found }) => [id, found]));
  }

  /** Notes the networks that files define. */
  discovered(networks: DiscoveredNetwork[]): void {
    this.#files = new Map(networks.map((n) => [n.name, fileRecord(n)]));
  }

  /**
   * Enters the default network, which is up, and opens the resolvers of all.
   *
   * @returns what an operator should know
   */
  async open(bridge: string, addresses: NetworkSubnet): Promise<string[]> {
    const known = this.#byName.get(this.#default);
    const record = networkRecord({
      id: known?.id ?? randomId(),
      name: this.#default,
      created: known?.created ?? nowRfc3339(),
      default: true,
      bridge,
      subnets: [addresses],
      internal: false,
      labels: {},
      options: {},
    });
    this.#byName.set(record.name, record);
    if (JSON.stringify(known) !== JSON.stringify(record)) await this.#store.save(record);
    const warnings: string[] = [];
    for (const network of this.#byName.values()) {
      if (!this.#down.has(network.name)) warnings.push(...await this.#resolve(network));
    }
    return warnings;
  }

  /** Opens a network's resolver, where it can have one. */
  async #resolve(network: NetworkRecord): Promise<string[]> {
    return hasResolver(network) ? await this.#deps.dns.addNetwork(dnsOf(network)) : [];
  }

  // ------------------------------------------------------------------ what containers need

  /** The name of the network that `ref` means: `bridge` and `default` are the daemon's own. */
  resolve(ref: string): string {
    return this.#find(ref).name;
  }

  /** Whether a network has no way out. */
  isInternal(name: string): boolean {
    return this.#byName.get(name)?.internal ?? false;
  }

  /** Whether containers of a network are on the host's own LAN, where their ports need not, and cannot, be published. */
  isDirect(name: string): boolean {
    const record = this.#byName.get(name);
    return record !== undefined && this.#deps.driver !== "cni" && sharesInterface(record);
  }

  /** Keeps networks from being removed until it is disposed. */
  use(names: readonly string[]): Disposable {
    for (const name of names) {
      if (this.#leaving.has(name)) throw new NyxError("not_found", `No such network: ${JSON.stringify(name)}`);
    }
    for (const name of names) this.#inUse.set(name, (this.#inUse.get(name) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        for (const name of names) this.#inUse.set(name, (this.#inUse.get(name) ?? 1) - 1);
      },
    };
  }

  /** What a container was found to have leased when the worker last started. */
  foundAtStart(id: string): Found | undefined {
    return this.#attached.get(id);
  }

  /** Makes networks that could not be made when the daemon started. */
  async ready(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const record = this.#byName.get(name);
      if (record === undefined || !this.#down.has(name)) continue;
      await this.#make(record);
      this.#down.delete(name);
      for (const warning of await this.#resolve(record)) this.#deps.log.warn(warning);
    }
  }

  // ------------------------------------------------------------------ what users ask

  /** All networks, the default one first. */
  list(): Promise<NetworkInfo[]> {
    const all = [...this.#byName.values(), ...this.#files.values()].sort((a, b) =>
      Number(b.default) - Number(a.default) || a.name.localeCompare(b.name)
    );
    return Promise.resolve(all.map((r) => this.#info(r)));
  }

  /** One network, by name, id or prefix of an id. */
  inspect(ref: string): Promise<NetworkInfo> {
    return Promise.resolve(this.#info(this.#find(ref)));
  }

  /** Makes a network. */
  create(request: NetworkCreateRequest): Promise<NetworkInfo> {
    return this.#exclusive(async () => {
      const wanted = newNetwork(request, { id: randomId(), created: nowRfc3339() }, this.#deps.driver);
      const { name } = wanted;
      const file = this.#files.get(name)?.cni.file;
      if (file !== undefined) {
        throw new NyxError("already_exists", `Could not create network "${name}": ${file} defines one of that name`, {
          context: { name },
        });
      }
      if (this.#byName.has(name)) {
        throw new NyxError(
          "already_exists",
          `Could not create network "${name}": there is one of that name; choose another, or remove it`,
          { context: { name } },
        );
      }
      const record = needsBlock(wanted, request)
        ? await makeInPool(wanted, this.#byName.values(), (r) => this.#make(r))
        : await this.#make(wanted);
      try {
        await this.#store.save(record);
        for (const warning of await this.#resolve(record)) this.#deps.log.warn(warning);
      } catch (e) {
        await this.#unmake(name);
        throw e;
      }
      this.#byName.set(name, record);
      this.#emit("create", record);
      return this.#info(record);
    });
  }

  async #make(record: NetworkRecord): Promise<NetworkRecord> {
    await untilAvailable(() => this.#deps.network.call("ensureNetwork", { network: definitionOf(record) }));
    return record;
  }

  async #unmake(name: string): Promise<void> {
    this.#deps.dns.removeNetwork(name);
    await this.#store.remove(name).catch(() => {});
    await untilAvailable(() => this.#deps.network.call("removeNetwork", { name })).catch((error) =>
      this.#deps.log.error("A network could not be taken away again", { network: name, error })
    );
  }

  /** Removes a network that no container uses. */
  async remove(ref: string): Promise<{ id: string; name: string }> {
    const { id, name } = this.#find(ref);
    await this.#exclusive(() => this.#remove(this.#find(id)));
    return { id, name };
  }

  async #remove(record: NetworkRecord): Promise<void> {
    const { name } = record;
    const refuse = (why: string, context: Record<string, string> = {}) =>
      new NyxError("failed_precondition", `Could not remove network "${name}": ${why}`, {
        context: { name, ...context },
      });
    const file = this.#files.get(name)?.cni.file;
    if (file !== undefined) throw refuse(`${file} defines it; remove that file`);
    if (record.default) throw refuse("it is the daemon's own; start nyxd with --network or --subnet to change it");
    const users = this.#deps.users().usersOfNetwork(name).map((c) => c.name);
    if (users.length > 0) {
      const who = users.length === 1 ? `container ${users[0]} uses it` : `containers ${users.join(", ")} use it`;
      throw refuse(`${who}; disconnect or remove ${users.length === 1 ? "it" : "them"} first`, {
        usedBy: users.join(","),
      });
    }
    if ((this.#inUse.get(name) ?? 0) > 0) throw refuse("a container is being made on it");
    this.#leaving.add(name);
    try {
      await takeAway(this.#deps.network, name);
      await this.#store.remove(name);
      this.#byName.delete(name);
      this.#down.delete(name);
      this.#inUse.delete(name);
      this.#deps.dns.removeNetwork(name);
    } finally {
      this.#leaving.delete(name);
    }
    this.#emit("destroy", record);
  }

  /** Removes all networks that no container uses, that have all the labels, and that are older than `until`. */
  async prune({ labels, until }: { labels: string[]; until?: string }): Promise<{ removed: string[] }> {
    const before = until === undefined ? Infinity : Date.parse(until);
    const removed: string[] = [];
    for (const record of [...this.#byName.values()]) {
      if (record.default || !labels.every((wanted) => hasLabel(record, wanted))) continue;
      if (Date.parse(record.created) >= before) continue;
      const { name } = record;
      await this.#exclusive(async () => {
        const idle = this.#deps.users().usersOfNetwork(name).length === 0 && (this.#inUse.get(name) ?? 0) === 0;
        if (!idle || !this.#byName.has(name)) return;
        await this.#remove(record);
        removed.push(name);
      });
    }
    return { removed };
  }

  /** Attaches a container, running or not. */
  async connect(ref: string, { container, ...options }: NetworkConnectRequest): Promise<void> {
    const record = this.#find(ref);
    using _use = this.use([record.name]);
    await this.ready([record.name]);
    const { id, name } = await this.#deps.users().connect(container, { network: record.name, ...options });
    this.#emit("connect", record, { container: id, containerName: name });
  }

  /** Detaches a container. */
  async disconnect(ref: string, container: string): Promise<void> {
    const record = this.#find(ref);
    const { id, name } = await this.#deps.users().disconnect(container, record.name);
    this.#emit("disconnect", record, { container: id, containerName: name });
  }

  /** What lets packets to a published port or a container through, or stops them. */
  explain(target: string): Promise<ExplainPath[]> {
    return explain(target, {
      users: this.#deps.users(),
      network: this.#deps.network,
      networks: (name) => this.#byName.get(name) ?? this.#files.get(name),
      problem: (name) => this.#down.get(name),
    });
  }

  #find(ref: string): NetworkRecord {
    const name = ref === "bridge" || ref === "default" ? this.#default : ref;
    const exact = this.#byName.get(name) ?? this.#files.get(name);
    if (exact !== undefined) return exact;
    const all = [...this.#byName.values(), ...this.#files.values()];
    try {
      return resolveRef(name, all, "network");
    } catch (e) {
      if (!(e instanceof NyxError) || e.code !== "not_found" || e.message.includes("did you mean")) throw e;
      const near = suggest(name, all.map((r) => r.name));
      const hint = near === undefined ? "; `nyx network ls` lists them" : `; did you mean "${near}"?`;
      throw new NyxError("not_found", `No such network: ${JSON.stringify(ref)}${hint}`, { context: { network: ref } });
    }
  }

  #emit(action: string, record: NetworkRecord, attributes: Record<string, string> = {}): void {
    this.#deps.events.emit("network", action, record.id, { ...eventAttributes(record), ...attributes });
  }

  #info(record: NetworkRecord): NetworkInfo {
    return infoOf(record, this.#deps.users().usersOfNetwork(record.name), this.#down.get(record.name));
  }

  #exclusive<T>(job: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(job, job);
    this.#turn = mine.catch(() => {});
    return mine;
  }
}
