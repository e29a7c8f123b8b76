/** The DNS Backend (D09): a resolver on the gateway of each network, which knows the network's containers. */

import type { Logger } from "../log/logger.ts";
import { NyxError } from "../spec/errors.ts";
import { Forwarder } from "./forwarder.ts";
import { HostResolvers, type Upstream } from "./host_resolvers.ts";
import { DnsListener } from "./listener.ts";
import { type Probe, ResolverReach } from "./reach.ts";
import { Resolver } from "./resolver.ts";
import { type DnsNetwork, type DnsRegistration, Zones } from "./zones.ts";

/** What the supervisor needs of it. */
export interface DnsRegistry {
  /** Enters a container's names; what was known of it is replaced. */
  register(registration: DnsRegistration): void;
  /** Forgets a container's names. */
  deregister(id: string): void;
  /**
   * The resolvers that a container can use.
   *
   * @param networks those it is in, the default route's first
   * @param netnsPath its network namespace
   * @returns none when it must use the host's; `warning` says why, where that needs somebody's help
   */
  nameservers(networks: string[], netnsPath: string): Promise<{ servers: string[]; warning?: string }>;
}

/** Settings. */
export interface DnsOptions {
  /** `auto` does without where port 53 is taken; `embedded` does not start then; `off` never listens. */
  mode: "auto" | "embedded" | "off";
  /** The host's resolv.conf. */
  resolvConfPath: string;
  log: Logger;
  /** Port of containers' resolvers, default 53, and of the host's, default 53; others are for tests. */
  port?: number;
  /** Tries whether containers get through to a resolver; without it they are taken to. */
  probe?: Probe;
  upstreamPort?: number;
}

/** An address that is not there yet, such as a new IPv6 one that is still checked for duplicates, is tried again. */
const OPEN_TRIES = 30;
const OPEN_PAUSE_MS = 50;
/** How often a port that is taken is tried again. */
const RETRY_MS = 5000;

/** One daemon's resolver. */
export class DnsBackend implements DnsRegistry {
  readonly #options: DnsOptions;
  readonly #log: Logger;
  readonly #networks = new Map<string, DnsNetwork>();
  readonly #zones = new Zones();
  readonly #forwarder: Forwarder;
  readonly #resolver: Resolver;
  /** Open listeners by address. */
  readonly #listeners = new Map<string, DnsListener>();
  readonly #reach: ResolverReach | undefined;
  #retry: ReturnType<typeof setInterval> | undefined;

  /** @param options settings; nothing is opened yet */
  constructor(options: DnsOptions) {
    this.#options = options;
    this.#log = options.log;
    const { resolvConfPath: path, log } = options;
    const host = new HostResolvers(path, {
      onChange: (resolvers) => {
        log.info("The host's resolvers have changed", { resolvers: resolvers.join(" ") });
        this.#forwarder.reset();
      },
      onUnreadable: (error) =>
        log.warn("The host's resolvers cannot be read; the last known are asked", { path, error }),
    });
    this.#forwarder = new Forwarder({ upstreams: () => this.#upstreams(host.current), log: options.log });
    this.#reach = options.probe === undefined ? undefined : new ResolverReach(options.probe, (address, reached) => {
      if (reached) log.info("Containers reach the resolver now", { address });
      else log.warn(blocked(address));
    });
    this.#resolver = new Resolver(this.#zones, this.#forwarder);
  }

  #upstreams(addresses: string[]): Upstream[] {
    const port = this.#options.upstreamPort ?? 53;
    // A host that resolves through nyx would make each question go round in circles.
    return addresses.filter((a) => !this.#listeners.has(a)).map((address) => ({ address, port }));
  }

  get #wanted(): { network: string; address: string }[] {
    return [...this.#networks.values()].flatMap(({ name, gateway, gateway6 }) =>
      [gateway, gateway6].flatMap((address) => address === undefined ? [] : [{ network: name, address }])
    );
  }

  get #missing(): { network: string; address: string }[] {
    return this.#wanted.filter(({ address }) => !this.#listeners.has(address));
  }

  /** For `nyx doctor`: addresses on which names are answered, and those of networks on which they should be and are not. */
  get status(): { mode: string; listening: string[]; missing: string[] } {
    const { mode } = this.#options;
    const missing = mode === "off" ? [] : this.#missing.map((m) => m.address);
    return { mode, listening: [...this.#listeners.keys()], missing };
  }

  #listen(network: string, address: string): void {
    const { port } = this.#options;
    const handler = {
      admits: (client: string) => this.#zones.admits(network, client),
      respond: (bytes: Uint8Array, client: string) => this.#resolver.respond(bytes, { network, client }),
    };
    const options = port === undefined ? { address } : { address, port };
    this.#listeners.set(address, new DnsListener(options, handler, this.#log));
  }

  /**
   * Takes in the containers of an earlier run and opens what can be opened at once: bridges are there, and each moment without
   * a resolver is one in which names fail. Networks get their full definitions later, by {@linkcode DnsBackend.addNetwork}.
   */
  resume(containers: { registration: DnsRegistration; networks: DnsNetwork[] }[]): void {
    if (this.#options.mode === "off") return;
    for (const { registration, networks } of containers) {
      for (const network of networks) if (!this.#networks.has(network.name)) this.#add(network);
      this.register(registration);
    }
    for (const { network, address } of this.#missing) {
      try {
        this.#listen(network, address);
      } catch {
        // Reported by addNetwork(), if it is still so then.
      }
    }
  }

  #add(network: DnsNetwork): void {
    const before = this.#networks.get(network.name);
    const kept = [network.gateway, network.gateway6];
    for (const address of [before?.gateway, before?.gateway6]) if (!kept.includes(address)) this.#close(address);
    this.#networks.set(network.name, network);
    this.#zones.addNetwork(network);
  }

  #close(address: string | undefined): void {
    if (address === undefined) return;
    this.#listeners.get(address)?.close();
    this.#listeners.delete(address);
  }

  /**
   * Takes in a network that is up, whether new or changed, and opens its resolver.
   *
   * @returns what an operator should know
   * @throws NyxError failed_precondition in mode `embedded` when an address cannot be had
   */
  async addNetwork(definition: DnsNetwork): Promise<string[]> {
    if (this.#options.mode === "off") return [];
    this.#add(definition);
    const warnings: string[] = [];
    for (const { network, address } of this.#missing) {
      if (network !== definition.name) continue;
      const failure = await this.#tryListen(network, address);
      if (failure === undefined) continue;
      if (this.#options.mode === "embedded") {
        this.removeNetwork(network);
        throw new NyxError("failed_precondition", `${failure}; or start nyxd with --dns auto or --dns off`);
      }
      warnings.push(
        `${failure}. Until then its containers use the host's resolvers and do not find each other by name`,
      );
    }
    this.#retry ??= setInterval(() => this.#retryMissing(), RETRY_MS);
    Deno.unrefTimer(this.#retry);
    return warnings;
  }

  /** Listens; returns why it could not, with what helps. */
  async #tryListen(network: string, address: string): Promise<string | undefined> {
    const where = `Could not open the resolver of network "${network}" on ${address} port ${this.#options.port ?? 53}`;
    for (let i = 1;; i++) {
      try {
        this.#listen(network, address);
        return undefined;
      } catch (e) {
        if (e instanceof Deno.errors.AddrInUse) {
          return `${where}: another program has the port on all addresses; let it listen on its own addresses ` +
            "(dnsmasq: bind-interfaces, unbound and bind: a list of interfaces)";
        }
        if (!(e instanceof Deno.errors.AddrNotAvailable)) return `${where}: ${(e as Error).message}`;
        if (i === OPEN_TRIES) return `${where}: the host does not have the address`;
        await new Promise((resolve) => setTimeout(resolve, OPEN_PAUSE_MS));
      }
    }
  }

  #retryMissing(): void {
    for (const { network, address } of this.#missing) {
      try {
        this.#listen(network, address);
        this.#log.info("The resolver is open now", { network, address });
      } catch {
        // Somebody still has the port.
      }
    }
  }

  /** Closes the resolver of a network that goes away, and forgets its names. */
  removeNetwork(name: string): void {
    const network = this.#networks.get(name);
    this.#networks.delete(name);
    this.#zones.removeNetwork(name);
    for (const address of [network?.gateway, network?.gateway6]) this.#close(address);
  }

  register(registration: DnsRegistration): void {
    if (this.#options.mode === "off") return;
    this.#zones.register(registration);
  }

  deregister(id: string): void {
    this.#zones.deregister(id);
  }

  async nameservers(networks: string[], netnsPath: string): Promise<{ servers: string[]; warning?: string }> {
    const open = networks.flatMap((name) => {
      const { gateway, gateway6 } = this.#networks.get(name) ?? {};
      return [gateway, gateway6].find((address) => address !== undefined && this.#listeners.has(address)) ?? [];
    });
    const reached = await Promise.all(open.map((address) => this.#reach?.reaches(address, netnsPath) ?? true));
    const servers = open.filter((_, i) => reached[i] === true);
    const [lost] = open.filter((_, i) => reached[i] !== true);
    return lost === undefined ? { servers } : { servers, warning: blocked(lost) };
  }

  /** Closes everything; questions under way get no answer. */
  close(): void {
    clearInterval(this.#retry);
    this.#retry = undefined;
    this.#forwarder.close();
    for (const listener of this.#listeners.values()) listener.close();
    this.#listeners.clear();
  }
}

function blocked(address: string): string {
  return `Containers do not reach nyx's resolver at ${address}: a firewall of the host drops it, so they do not find each ` +
    `other by name. Let port 53 of that address in, as "ufw allow to ${address} port 53" does`;
}
