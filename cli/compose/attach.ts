/** The attached part of `up`: output of all containers, until they have stopped or somebody says so. */

import { NyxError } from "../../mod.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import { copyLog, labelOf, LineWriter, type Shown } from "./log_lines.ts";
import { escapeControls } from "../render/escape.ts";
import type { Project } from "./source.ts";
import type { ProjectWatch } from "./watch.ts";

/** What to show, and when to end. */
export interface AttachProjectOptions {
  /** Services that were asked for; empty means all. */
  services: readonly string[];
  attach: readonly string[];
  noAttach: readonly string[];
  /** Containers that take part. */
  ids: readonly string[];
  /** RFC 3339: output from then on. */
  since: string;
  prefix: boolean;
  color: boolean;
  timestamps: boolean;
  /** Also what the services depend on. */
  dependencies: boolean;
  /** Stop all when one has stopped, or failed. */
  abortOn?: "exit" | "failure";
  exitCodeFrom?: string;
  timeoutS?: number;
  /** Rules of files to carry over, where there are any. */
  watch?: ProjectWatch;
  /** Begin with that. */
  watching?: boolean;
  /** Keys leave (d) and watch (w). */
  keys?: boolean;
}

interface Member extends Shown {
  service: string;
  shown: boolean;
}

class Attached {
  readonly #context: Context;
  readonly #project: Project;
  readonly #options: AttachProjectOptions;
  readonly #writer: LineWriter;
  readonly #over = new AbortController();
  #stopping: Promise<void> | undefined;
  #interrupts = 0;
  #exitCode: number | undefined;
  #detached = false;
  #watching: { over: AbortController; done: Promise<void> } | undefined;

  constructor(context: Context, project: Project, options: AttachProjectOptions) {
    this.#context = context;
    this.#project = project;
    this.#options = options;
    this.#writer = new LineWriter(context, options);
  }

  async run(): Promise<number> {
    const members = await this.#members();
    this.#writer.expect(members.map((m) => m.label));
    const signals = ["SIGINT", "SIGTERM"] as const;
    const interrupt = () => this.#interrupt();
    for (const signal of signals) Deno.addSignalListener(signal, interrupt);
    const keys = this.#options.keys === true ? this.#listen() : undefined;
    if (this.#options.watching === true) this.#toggleWatch();
    try {
      await Promise.all(members.map((member) => this.#one(member)));
      await this.#stopping;
    } finally {
      keys?.();
      this.#over.abort();
      this.#watching?.over.abort();
      await this.#watching?.done;
      for (const signal of signals) Deno.removeSignalListener(signal, interrupt);
    }
    if (this.#detached) {
      this.#context.err.text("Detached; the containers go on\n");
      return EXIT.ok;
    }
    if (this.#exitCode !== undefined) return this.#exitCode;
    return this.#interrupts > 0 ? EXIT.interrupted : EXIT.ok;
  }

  /** Reads single keys; Ctrl-C goes on as a signal. @returns ends it */
  #listen(): () => void {
    Deno.stdin.setRaw(true, { cbreak: true });
    const reader = Deno.stdin.readable.getReader();
    const watch = this.#options.watch === undefined ? "" : "   w watch";
    this.#context.err.text(`${this.#context.paintErr.dim(`d detach${watch}   Ctrl-C stop`)}\n`);
    void (async () => {
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        for (const byte of read.value) this.#key(String.fromCharCode(byte));
      }
    })().catch(() => {});
    return () => {
      Deno.stdin.setRaw(false);
      reader.cancel().catch(() => {});
    };
  }

  #key(key: string): void {
    if (key === "d" && this.#stopping === undefined) {
      this.#detached = true;
      this.#over.abort();
    } else if (key === "w") this.#toggleWatch();
  }

  #toggleWatch(): void {
    const { watch } = this.#options;
    if (watch === undefined || this.#detached) return;
    if (this.#watching !== undefined) {
      this.#watching.over.abort();
      this.#watching = undefined;
      this.#context.err.text("The watch has ended\n");
      return;
    }
    const over = new AbortController();
    const done = watch.run(over.signal).catch((e) => {
      this.#context.err.text(`The watch has failed: ${escapeControls(e instanceof Error ? e.message : String(e))}\n`);
    });
    this.#watching = { over, done };
  }

  async #members(): Promise<Member[]> {
    const client = await this.#context.client();
    const { project, containers } = await this.#project.request((source) => client.compose.ps(source));
    const { services, attach, noAttach, ids, dependencies, exitCodeFrom } = this.#options;
    if (exitCodeFrom !== undefined && !containers.some((c) => c.service === exitCodeFrom)) {
      throw new NyxError("not_found", `Could not take the exit code of ${exitCodeFrom}: it has no container`);
    }
    const wants = (service: string) =>
      !noAttach.includes(service) &&
      (attach.length > 0
        ? attach.includes(service)
        : dependencies || services.length === 0 || services.includes(service));
    return containers.filter((c) => ids.includes(c.id)).map((c) => ({
      id: c.id,
      label: labelOf(c.name, project),
      service: c.service,
      shown: wants(c.service),
    }));
  }

  /** Shows one container until it has stopped for good. */
  async #one({ id, label, service, shown }: Member): Promise<void> {
    const client = await this.#context.client();
    const log = shown
      ? copyLog(this.#context, this.#writer, { id, label }, {
        follow: true,
        since: this.#options.since,
        timestamps: this.#options.timestamps,
      }, this.#over.signal).catch((e) => this.#tolerate(e))
      : Promise.resolve();
    let exitCode: number | undefined;
    try {
      ({ exitCode } = await client.containers.wait(id, "not-running", { signal: this.#over.signal }));
    } catch (e) {
      this.#tolerate(e);
    }
    await log;
    if (exitCode === undefined) return;
    if (shown) await this.#writer.line(label, new TextEncoder().encode(`exited with code ${exitCode}`));
    this.#ended(service, exitCode);
  }

  #tolerate(e: unknown): void {
    if (e instanceof NyxError && (e.code === "not_found" || e.code === "canceled")) return;
    throw e;
  }

  #ended(service: string, exitCode: number): void {
    const { abortOn, exitCodeFrom } = this.#options;
    if (exitCodeFrom === service) this.#exitCode = exitCode;
    if (abortOn === undefined || (abortOn === "failure" && exitCode === 0) || this.#stopping !== undefined) return;
    if (exitCodeFrom === undefined) this.#exitCode ??= exitCode;
    this.#context.err.text("Aborting on container exit...\n");
    this.#stopping = this.#stop();
  }

  async #stop(): Promise<void> {
    const client = await this.#context.client();
    const { timeoutS } = this.#options;
    await this.#project.request((source) =>
      client.compose.act("stop", { ...source, ...(timeoutS === undefined ? {} : { timeout_s: timeoutS }) })
    );
  }

  #interrupt(): void {
    this.#interrupts++;
    if (this.#interrupts === 1) {
      this.#context.err.text("Stopping; Ctrl-C again kills the containers\n");
      this.#stopping ??= this.#stop();
      this.#stopping.catch(() => this.#over.abort());
      return;
    }
    void (async () => {
      const client = await this.#context.client();
      await this.#project.request((source) => client.compose.act("kill", source)).catch(() => this.#over.abort());
    })();
  }
}

/** Shows the output of a project's containers until all have stopped. @returns exit code */
export function attachProject(context: Context, project: Project, options: AttachProjectOptions): Promise<number> {
  return new Attached(context, project, options).run();
}
