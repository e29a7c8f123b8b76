/** Whether containers get through to nyx's resolver, or a firewall of the host's drops what they send to a gateway. */

/** Tries a TCP connection to `host:port` from within a network namespace. Never rejects. */
export type Probe = (netnsPath: string, target: string) => Promise<boolean>;

/** Results are believed this long, and then looked at again beside the start that asks: only the first start waits. */
const GOOD_MS = 60_000;
const BAD_MS = 5000;
const PORT = 53;

/** Remembers, for each resolver, whether it was reached. */
export class ResolverReach {
  readonly #probe: Probe;
  readonly #onChange: (address: string, reached: boolean) => void;
  readonly #now: () => number;
  readonly #results = new Map<string, { reached: boolean; atMs: number }>();
  readonly #looking = new Map<string, Promise<boolean>>();

  /**
   * @param probe how to try
   * @param onChange told when a resolver is found unreachable, or reachable after that
   * @param now clock, ms
   */
  constructor(
    probe: Probe,
    onChange: (address: string, reached: boolean) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#probe = probe;
    this.#onChange = onChange;
    this.#now = now;
  }

  /** Whether the resolver on `address` is reached from a container's network namespace. */
  async reaches(address: string, netnsPath: string): Promise<boolean> {
    const known = this.#results.get(address);
    if (known === undefined) return await this.#look(address, netnsPath);
    if (this.#now() - known.atMs >= (known.reached ? GOOD_MS : BAD_MS)) void this.#look(address, netnsPath);
    return known.reached;
  }

  #look(address: string, netnsPath: string): Promise<boolean> {
    const before = this.#looking.get(address);
    if (before !== undefined) return before;
    const target = address.includes(":") ? `[${address}]:${PORT}` : `${address}:${PORT}`;
    const looking = this.#probe(netnsPath, target).then((reached) => {
      this.#looking.delete(address);
      const was = this.#results.get(address)?.reached ?? true;
      this.#results.set(address, { reached, atMs: this.#now() });
      if (was !== reached) this.#onChange(address, reached);
      return reached;
    });
    this.#looking.set(address, looking);
    return looking;
  }
}
