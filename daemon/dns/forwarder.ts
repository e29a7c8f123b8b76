/**
 * Questions that are not nyx's own, asked of the host's resolvers: cached, each asked once however many clients wait for it,
 * and raced: when a resolver fails or is slow the next one is asked as well, and the first good answer counts.
 */

import type { Logger } from "../log/logger.ts";
import { Cache } from "./cache.ts";
import type { Upstream } from "./host_resolvers.ts";
import { keyOf, type Message, type Question, RCODE, type Reply, replyTo } from "./message.ts";
import { nameText } from "./name.ts";
import { type Ask, askUpstream } from "./upstream.ts";

/** What a forwarder is given. */
export interface ForwarderOptions {
  /** The resolvers to ask, in the host's order. */
  upstreams: () => Upstream[];
  log: Logger;
  /** Time for everything about one question, ms; below the 5 s after which clients give up. Default 4500. */
  deadlineMs?: number;
  /** How long a resolver may think before the next is asked too, ms. Default 300. */
  hedgeMs?: number;
}

const DEADLINE_MS = 4500;
const HEDGE_MS = 300;
/** A resolver that failed is asked last for this long. */
const PENALTY_MS = 30_000;
/** Questions under way at once, for all and for one client; above that the answer is SERVFAIL. */
const MAX_QUESTIONS = 512;
const MAX_OF_CLIENT = 128;
const CACHE = { entries: 10_000, bytes: 8 * 1024 * 1024 };

function isGood(message: Message): boolean {
  return message.rcode === RCODE.NOERROR || message.rcode === RCODE.NXDOMAIN;
}

/** Forwards for one daemon. */
export class Forwarder {
  readonly #upstreams: () => Upstream[];
  readonly #log: Logger;
  readonly #deadlineMs: number;
  readonly #hedgeMs: number;
  readonly #cache = new Cache(CACHE);
  /** Questions under way. */
  readonly #asking = new Map<string, Promise<Message | undefined>>();
  readonly #ofClient = new Map<string, number>();
  readonly #penalties = new Map<string, number>();
  readonly #closed = new AbortController();

  /** @param options resolvers, log and times */
  constructor(options: ForwarderOptions) {
    this.#upstreams = options.upstreams;
    this.#log = options.log;
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#hedgeMs = options.hedgeMs ?? HEDGE_MS;
  }

  /** Forgets answers and what is known of resolvers: the host's network has changed. */
  reset(): void {
    this.#cache.clear();
    this.#penalties.clear();
  }

  /** Gives up all questions. */
  close(): void {
    this.#closed.abort();
  }

  /**
   * Answers from the cache, or asks.
   *
   * @param client who asks, for its share
   * @returns the reply; never rejects
   */
  forward(asked: Message, question: Question, client: string): Reply | Promise<Reply> {
    const ask = { question, dnssecOk: asked.edns?.dnssecOk === true, checkingDisabled: asked.checkingDisabled };
    const key = `${keyOf(question)}/${ask.dnssecOk}/${ask.checkingDisabled}`;
    const cached = this.#cache.get(key);
    if (cached !== undefined) return relay(asked, cached);
    const waiting = this.#ofClient.get(client) ?? 0;
    if (waiting >= MAX_OF_CLIENT || (this.#asking.size >= MAX_QUESTIONS && !this.#asking.has(key))) {
      return replyTo(asked, RCODE.SERVFAIL);
    }
    this.#ofClient.set(client, waiting + 1);
    return this.#once(key, ask).then((answer) => relay(asked, answer)).finally(() => {
      const left = (this.#ofClient.get(client) ?? 1) - 1;
      if (left === 0) this.#ofClient.delete(client);
      else this.#ofClient.set(client, left);
    });
  }

  #once(key: string, ask: Ask): Promise<Message | undefined> {
    const before = this.#asking.get(key);
    if (before !== undefined) return before;
    const asking = this.#race(ask).catch((error) => {
      this.#log.warn("A name could not be looked up", { name: nameText(ask.question.name), error: String(error) });
      return undefined;
    }).then((answer) => {
      this.#asking.delete(key);
      if (answer !== undefined) this.#cache.put(key, answer);
      return answer;
    });
    this.#asking.set(key, asking);
    return asking;
  }

  #ordered(): Upstream[] {
    const now = performance.now();
    const penalised = (u: Upstream) => (this.#penalties.get(u.address) ?? 0) > now;
    const all = this.#upstreams();
    return [...all.filter((u) => !penalised(u)), ...all.filter(penalised)];
  }

  /** The first good answer; else the last bad one; undefined when nobody answered. */
  async #race(ask: Ask): Promise<Message | undefined> {
    const upstreams = this.#ordered();
    const done = Promise.withResolvers<Message | undefined>();
    const end = new AbortController();
    const signal = AbortSignal.any([end.signal, this.#closed.signal]);
    let bad: Message | undefined;
    let next = 0;
    let hedge: ReturnType<typeof setTimeout> | undefined;
    const pending = new Set<Upstream>();
    const penalise = (upstream: Upstream) => this.#penalties.set(upstream.address, performance.now() + PENALTY_MS);
    const startNext = () => {
      clearTimeout(hedge);
      const upstream = upstreams[next++];
      if (upstream === undefined) {
        if (pending.size === 0) done.resolve(bad);
        return;
      }
      pending.add(upstream);
      if (next < upstreams.length) hedge = setTimeout(startNext, this.#hedgeMs);
      void askUpstream(ask, upstream, signal).then((answer) => {
        pending.delete(upstream);
        if (isGood(answer)) {
          this.#penalties.delete(upstream.address);
          for (const slow of pending) penalise(slow);
          done.resolve(answer);
        } else {
          bad = answer;
          startNext();
        }
      }, () => {
        pending.delete(upstream);
        if (signal.aborted) return;
        penalise(upstream);
        startNext();
      });
    };
    const deadline = setTimeout(() => {
      for (const slow of pending) penalise(slow);
      done.resolve(bad);
    }, this.#deadlineMs);
    this.#closed.signal.addEventListener("abort", () => done.resolve(bad), { signal: end.signal });
    try {
      startNext();
      return await done.promise;
    } finally {
      clearTimeout(deadline);
      clearTimeout(hedge);
      end.abort();
    }
  }
}

/**
 * The upstream's answer as the reply to `asked`. Records that a stub resolver has no use for are left out; a client that
 * checks signatures gets all.
 */
function relay(asked: Message, answer: Message | undefined): Reply {
  const reply = replyTo(asked, answer?.rcode ?? RCODE.SERVFAIL);
  if (answer === undefined) return reply;
  const dnssec = asked.edns?.dnssecOk === true;
  reply.answers = answer.answers;
  if (dnssec || answer.answers.length === 0) reply.authority = answer.authority;
  reply.truncated = answer.truncated;
  reply.authentic = answer.authentic && (dnssec || asked.authentic);
  return reply;
}
