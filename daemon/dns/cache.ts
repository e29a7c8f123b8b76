/** Answers of upstream resolvers, kept as long as their records allow (RFC 1035 section 7.4, RFC 2308), within bounds. */

import { type Message, RCODE, type ResourceRecord, TYPE } from "./message.ts";

/** Bounds of the cache. */
export interface CacheLimits {
  /** Answers. */
  entries: number;
  /** Their estimated size, bytes. */
  bytes: number;
}

/** Longest time an answer is kept, seconds, whatever its records say. */
const MAX_TTL = 86_400;
/** The same for a negative answer. */
const MAX_NEGATIVE_TTL = 300;
/** How long a failure is kept (RFC 9520 section 3.2). */
const FAILURE_TTL = 1;

interface Entry {
  message: Message;
  storedMs: number;
  expiresMs: number;
  bytes: number;
}

/** Seconds that an answer may be kept; 0 when it may not. */
export function ttlOf(message: Message): number {
  if (message.truncated) return 0;
  if (message.rcode !== RCODE.NOERROR && message.rcode !== RCODE.NXDOMAIN) return FAILURE_TTL;
  const lowest = (records: ResourceRecord[]) => Math.min(...records.map((r) => r.ttl));
  const type = message.questions[0]?.type;
  const positive = message.rcode === RCODE.NOERROR &&
    (type === TYPE.ANY ? message.answers.length > 0 : message.answers.some((r) => r.type === type));
  if (positive) return Math.min(MAX_TTL, lowest(message.answers));
  const soa = message.authority.find((r) => r.type === TYPE.SOA);
  const numbers = soa?.data[2];
  if (soa === undefined || !(numbers instanceof Uint8Array) || numbers.length !== 20) return 0;
  const minimum = new DataView(numbers.buffer, numbers.byteOffset).getUint32(16);
  return Math.min(MAX_NEGATIVE_TTL, soa.ttl, minimum, lowest([...message.answers, soa]));
}

function sizeOf(message: Message): number {
  let bytes = 500;
  for (const section of [message.answers, message.authority, message.additional]) {
    for (const record of section) {
      bytes += 200 + record.name.length;
      for (const part of record.data) bytes += part.length;
    }
  }
  return bytes;
}

function aged(records: ResourceRecord[], seconds: number): ResourceRecord[] {
  return records.map((r) => ({ ...r, ttl: Math.max(0, r.ttl - seconds) }));
}

/** A cache of answers, the least recently used given up first. */
export class Cache {
  readonly #limits: CacheLimits;
  readonly #now: () => number;
  /** In order of use. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /**
   * @param limits bounds
   * @param now clock that never goes back, ms
   */
  constructor(limits: CacheLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Answers held, and their estimated size in bytes. */
  get size(): { entries: number; bytes: number } {
    return { entries: this.#entries.size, bytes: this.#bytes };
  }

  /** The answer kept under `key`, its times to live as far down as it is old; undefined when there is none that holds. */
  get(key: string): Message | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const now = this.#now();
    this.#drop(key, entry);
    if (now >= entry.expiresMs) return undefined;
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes;
    const age = Math.floor((now - entry.storedMs) / 1000);
    if (age === 0) return entry.message;
    const { message } = entry;
    return {
      ...message,
      answers: aged(message.answers, age),
      authority: aged(message.authority, age),
      additional: aged(message.additional, age),
    };
  }

  /** Keeps an answer, if it may be kept. */
  put(key: string, message: Message): void {
    const ttl = ttlOf(message);
    const bytes = sizeOf(message) + key.length;
    const before = this.#entries.get(key);
    if (before !== undefined) this.#drop(key, before);
    if (ttl === 0 || bytes > this.#limits.bytes / 16) return;
    const storedMs = this.#now();
    this.#entries.set(key, { message, storedMs, expiresMs: storedMs + ttl * 1000, bytes });
    this.#bytes += bytes;
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= this.#limits.entries && this.#bytes <= this.#limits.bytes) break;
      this.#drop(oldest, entry);
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  #drop(key: string, entry: Entry): void {
    if (this.#entries.delete(key)) this.#bytes -= entry.bytes;
  }
}
