/** What the CNI worker does beside requests: looks over what it adopted, mends, collects garbage, detaches what could not be. */

import { detach } from "./attach.ts";
import { checkContainer, mend } from "./container.ts";
import { allLists } from "./lifecycle.ts";
import type { CniSession } from "./session.ts";

/** How often detaching what could not be detached is tried again. */
const RETRY_MS = 30_000;
/** How often rules are looked at, at most: other runtimes take out their own ones all the time. */
const LOOK_MS = 3000;

/** Runs work on a container behind what is under way on it. */
export type OfContainer = (id: string, work: () => Promise<unknown>) => Promise<unknown>;

/** Chores of one session, until it is disposed. */
export class Chores implements Disposable {
  readonly #session: CniSession;
  readonly #ofContainer: OfContainer;
  #timer: ReturnType<typeof setInterval> | undefined;
  #mending: Promise<void> | undefined;
  #mendAgain = false;
  #lookTimer: ReturnType<typeof setTimeout> | undefined;
  #lookedAt = -Infinity;
  #ended = false;

  /**
   * @param session whose chores they are
   * @param ofContainer runs work on a container in its turn
   */
  constructor(session: CniSession, ofContainer: OfContainer) {
    this.#session = session;
    this.#ofContainer = ofContainer;
  }

  /** Begins. */
  start(): void {
    this.#timer = setInterval(() => void this.#retry(), RETRY_MS);
    void this.#begin().catch((e) => this.#warn("Could not look over CNI networks", e));
  }

  /** Puts the rules of all containers back, soon after; asked again meanwhile, it does so once more. */
  mend(): void {
    this.#mendAgain = true;
    this.#mending ??= this.#mendAll().catch((e) => this.#warn("Could not mend containers' rules", e)).finally(() =>
      this.#mending = undefined
    );
  }

  /** Looks whether the rules of containers are still there, by one of them, and mends those of all when they are not. */
  look(): void {
    if (this.#lookTimer !== undefined || this.#ended) return;
    const waitMs = Math.max(0, this.#lookedAt + LOOK_MS - performance.now());
    this.#lookTimer = setTimeout(() => {
      this.#lookedAt = performance.now();
      this.#lookOnce().catch((e) => this.#warn("Could not look at containers' rules", e)).finally(() =>
        this.#lookTimer = undefined
      );
    }, waitMs);
  }

  async #lookOnce(): Promise<void> {
    const s = this.#session;
    const has = (type: string) => (id: string) =>
      s.cache.of(id).some((a) => a.list.plugins.some((p) => p.type === type));
    const ids = [...s.net.active.keys()];
    const sample = ids.find(has("portmap")) ?? ids.find(has("firewall"));
    if (sample === undefined) return;
    let problems: string[] = [];
    await this.#ofContainer(sample, async () => {
      if (s.net.active.has(sample)) problems = await checkContainer(s, sample);
    });
    if (problems.length === 0) return;
    s.net.log("warn", "Somebody took away rules that CNI plugins made; they are put back", { example: problems[0] });
    this.mend();
  }

  #warn(text: string, e: unknown): void {
    this.#session.net.log("warn", text, { error: String(e) });
  }

  async #begin(): Promise<void> {
    const s = this.#session;
    for (const list of allLists(s)) {
      const valid = s.cache.ids().flatMap((id) => s.cache.of(id)).filter((a) => a.network === list.name)
        .map(({ containerId: containerID, ifname }) => ({ containerID, ifname }));
      for (const e of await s.chain.collectGarbage(list, valid)) s.net.log("warn", e.message, {});
    }
    await this.#eachActive((id) => checkContainer(s, id));
  }

  async #mendAll(): Promise<void> {
    while (this.#mendAgain && !this.#ended) {
      this.#mendAgain = false;
      await this.#eachActive((id) => mend(this.#session, id));
    }
  }

  async #eachActive(look: (id: string) => Promise<string[]>): Promise<void> {
    const { net } = this.#session;
    for (const id of [...net.active.keys()]) {
      if (this.#ended) return;
      await this.#ofContainer(id, async () => {
        if (!net.active.has(id)) return;
        for (const text of await look(id)) net.log("warn", `${text}; restart the container`, { id });
      });
    }
  }

  async #retry(): Promise<void> {
    const { pending } = this.#session;
    for (const { attachment } of pending.all()) {
      if (this.#ended) return;
      await this.#ofContainer(attachment.containerId, async () => {
        if (pending.has(attachment)) await detach(this.#session, attachment);
      }).catch((e) => this.#warn("Could not detach a container", e));
    }
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    clearInterval(this.#timer);
    clearTimeout(this.#lookTimer);
  }
}
