/** The host's own resolvers, read from its resolv.conf and read again when that changes. */

import { addressBytes } from "./address.ts";

/** A resolver to ask. */
export interface Upstream {
  address: string;
  port: number;
}

/** resolv.conf(5) knows three; more are of no use. */
const MAX_RESOLVERS = 3;
const MAX_TEXT = 64 * 1024;
/** A change is looked for at most this often. */
const CHECK_MS = 1000;

/** Resolvers that a resolv.conf names. Addresses with a zone (fe80::1%eth0) are left out: they mean nothing without it. */
export function resolversIn(text: string): string[] {
  return text.slice(0, MAX_TEXT).split("\n").map((line) => line.trim().split(/\s+/))
    .flatMap(([key, ip = ""]) => key === "nameserver" && addressBytes(ip) !== undefined ? [ip] : [])
    .slice(0, MAX_RESOLVERS);
}

/** Follows one resolv.conf. */
export class HostResolvers {
  readonly #path: string;
  readonly #onChange: (resolvers: string[]) => void;
  readonly #onUnreadable: (error: unknown) => void;
  readonly #now: () => number;
  #failures = 0;
  #resolvers: string[] = [];
  #stamp = "";
  #checkedMs = -Infinity;

  /**
   * @param path resolv.conf; may be a symbolic link
   * @param listeners `onChange` is told of new resolvers, `onUnreadable` once when the file cannot be read twice in a row
   * @param now clock, ms
   */
  constructor(
    path: string,
    listeners: { onChange: (resolvers: string[]) => void; onUnreadable: (error: unknown) => void },
    now: () => number = () => performance.now(),
  ) {
    this.#path = path;
    this.#onChange = listeners.onChange;
    this.#onUnreadable = listeners.onUnreadable;
    this.#now = now;
  }

  /** The resolvers now. A file that cannot be read leaves them as they were. */
  get current(): string[] {
    const now = this.#now();
    if (now - this.#checkedMs < CHECK_MS) return this.#resolvers;
    this.#checkedMs = now;
    try {
      const { mtime, ino, size } = Deno.statSync(this.#path);
      const stamp = `${mtime?.getTime()}/${ino}/${size}`;
      if (stamp === this.#stamp) {
        this.#failures = 0;
        return this.#resolvers;
      }
      const found = resolversIn(Deno.readTextFileSync(this.#path));
      const first = this.#stamp === "";
      this.#stamp = stamp;
      this.#failures = 0;
      if (found.join() === this.#resolvers.join()) return this.#resolvers;
      this.#resolvers = found;
      if (!first) this.#onChange(found);
    } catch (e) {
      // A host that replaces the file may be between two versions of it: one failure means nothing.
      if (++this.#failures === 2) this.#onUnreadable(e);
    }
    return this.#resolvers;
  }
}
