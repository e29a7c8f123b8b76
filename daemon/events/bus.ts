/** What happened, for whoever listens: a bounded history that survives the daemon, and live subscriptions. */

import type { EventRecord } from "../spec/api.ts";
import { nowRfc3339 } from "../spec/time.ts";
import { NyxError } from "../spec/errors.ts";

/** Events kept in memory and on disk. */
export const HISTORY_LIMIT = 2048;
/** Events a slow subscriber may fall behind before it is cut off. */
const SUBSCRIBER_LIMIT = 4096;

interface Subscriber {
  queue: EventRecord[];
  wake: PromiseWithResolvers<void> | undefined;
  overflow: boolean;
}

/** Event bus of the daemon. */
export class EventBus {
  readonly #history: EventRecord[] = [];
  readonly #subscribers = new Set<Subscriber>();
  readonly #counts = new Map<string, number>();
  readonly #path: string | undefined;
  #file: Deno.FsFile | undefined;
  #written = 0;
  #pending: Uint8Array[] = [];
  #writing: Promise<void> | undefined;

  /** @param path file that keeps the history, NDJSON; undefined keeps it in memory only */
  constructor(path?: string) {
    this.#path = path;
  }

  /** How often each event came since the start. */
  get counts(): { type: string; action: string; count: number }[] {
    return [...this.#counts].map(([key, count]) => {
      const [type = "", action = ""] = key.split(" ");
      return { type, action, count };
    });
  }

  /** Reads the history back; lines that cannot be read are dropped. */
  async load(): Promise<void> {
    if (this.#path === undefined) return;
    try {
      for (const line of (await Deno.readTextFile(this.#path)).split("\n")) {
        if (line === "") continue;
        try {
          this.#history.push(JSON.parse(line));
        } catch {
          continue;
        }
      }
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    }
    this.#history.splice(0, Math.max(0, this.#history.length - HISTORY_LIMIT));
    await this.#rewrite();
  }

  /** Records an event and hands it to the subscribers. */
  emit(type: EventRecord["type"], action: string, id: string, attributes: Record<string, string> = {}): void {
    const event: EventRecord = { time: nowRfc3339(), type, action, id, attributes };
    this.#history.push(event);
    const key = `${type} ${action}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    if (this.#history.length > HISTORY_LIMIT) this.#history.shift();
    for (const s of this.#subscribers) {
      if (s.queue.length >= SUBSCRIBER_LIMIT) s.overflow = true;
      else s.queue.push(event);
      s.wake?.resolve();
      s.wake = undefined;
    }
    if (this.#path !== undefined) {
      this.#pending.push(new TextEncoder().encode(JSON.stringify(event) + "\n"));
      this.#writing ??= this.#flush().finally(() => this.#writing = undefined);
    }
  }

  /**
   * Events from `since` on, then live ones.
   *
   * @param options times are RFC 3339 or seconds since the epoch; a key of `filters` matches when one of its values does;
   * ends when `signal` aborts, or at `until`
   */
  async *subscribe(
    options: { since?: string; until?: string; filters: Record<string, string[]>; signal: AbortSignal },
  ): AsyncGenerator<EventRecord, void, void> {
    const since = options.since === undefined ? undefined : parseTime(options.since);
    const until = options.until === undefined ? undefined : parseTime(options.until);
    const subscriber: Subscriber = { queue: [], wake: undefined, overflow: false };
    if (since !== undefined) subscriber.queue.push(...this.#history.filter((e) => Date.parse(e.time) >= since));
    this.#subscribers.add(subscriber);
    const wake = () => {
      subscriber.wake?.resolve();
      subscriber.wake = undefined;
    };
    options.signal.addEventListener("abort", wake, { once: true });
    const timer = until === undefined ? undefined : setTimeout(wake, Math.max(0, until - Date.now()));
    try {
      while (!options.signal.aborted) {
        const event = subscriber.queue.shift();
        if (event !== undefined) {
          if (until !== undefined && Date.parse(event.time) > until) return;
          if (matches(event, options.filters)) yield event;
          continue;
        }
        if (subscriber.overflow) {
          throw new NyxError("resource_exhausted", `Event reader fell ${SUBSCRIBER_LIMIT} events behind; read faster`);
        }
        if (until !== undefined && Date.now() >= until) return;
        subscriber.wake = Promise.withResolvers<void>();
        await subscriber.wake.promise;
      }
    } finally {
      clearTimeout(timer);
      options.signal.removeEventListener("abort", wake);
      this.#subscribers.delete(subscriber);
    }
  }

  /** Writes what is pending and closes the file. */
  async close(): Promise<void> {
    await this.#writing;
    this.#file?.close();
    this.#file = undefined;
  }

  async #flush(): Promise<void> {
    try {
      while (this.#pending.length > 0) {
        const batch = this.#pending;
        this.#pending = [];
        if (this.#written + batch.length > 2 * HISTORY_LIMIT) {
          await this.#rewrite();
          continue;
        }
        this.#file ??= await Deno.open(this.#path ?? "", { append: true, create: true, mode: 0o600 });
        for (const line of batch) for (let at = 0; at < line.length;) at += await this.#file.write(line.subarray(at));
        this.#written += batch.length;
      }
    } catch {
      // A full disk must not stop containers; the history in memory stays right and the next rewrite catches up.
      this.#pending = [];
    }
  }

  async #rewrite(): Promise<void> {
    if (this.#path === undefined) return;
    this.#file?.close();
    this.#file = undefined;
    const temporary = `${this.#path}.tmp`;
    await Deno.writeTextFile(temporary, this.#history.map((e) => JSON.stringify(e) + "\n").join(""), { mode: 0o600 });
    await Deno.rename(temporary, this.#path);
    this.#written = this.#history.length;
  }
}

function parseTime(text: string): number {
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (Number.isNaN(ms)) {
    throw new NyxError("invalid_argument", `Invalid time ${JSON.stringify(text)}: use RFC 3339 or seconds since 1970`);
  }
  return ms;
}

function matches(event: EventRecord, filters: Record<string, string[]>): boolean {
  for (const [key, values] of Object.entries(filters)) {
    if (values.length === 0) continue;
    const ok = values.some((v) => {
      switch (key) {
        case "type":
          return event.type === v;
        case "event":
        case "action":
          return event.action === v;
        case "container":
        case "id":
          return event.id === v || (v.length >= 4 && event.id.startsWith(v)) || event.attributes["name"] === v;
        case "network":
          return event.type === "network" &&
            (event.id === v || (v.length >= 4 && event.id.startsWith(v)) || event.attributes["name"] === v);
        case "image":
          return event.attributes["image"] === v || event.id === v;
        case "label": {
          const at = v.indexOf("=");
          const [k, want] = at < 0 ? [v, undefined] : [v.slice(0, at), v.slice(at + 1)];
          const have = event.attributes[`label.${k}`];
          return have !== undefined && (want === undefined || have === want);
        }
        default:
          return event.attributes[key] === v;
      }
    });
    if (!ok) return false;
  }
  return true;
}
