/**
 * Builds of images (BuildService of the Control API), by Debian's buildah. The daemon runs it, so that results and base images go to and
 * from nyx's own store, steps are shared by all who build, and no client needs more than the socket. It gets files from the client
 * alone: a caller cannot have the daemon read what he may not.
 */

import type { Attachment, BuildService, StreamInput } from "../control/services.ts";
import type { StreamEvent } from "../spec/api.ts";
import type { BuildRequest } from "../spec/build.ts";
import { NyxError } from "../spec/errors.ts";
import { nowRfc3339 } from "../spec/time.ts";
import type { BuildDeps } from "./deps.ts";
import { BuildJob } from "./job.ts";
import { BuildPaths } from "./place.ts";
import { removeCgroup, runBuildah } from "./process.ts";

/** Builds under way, and the steps of earlier ones. */
export class Builder implements BuildService {
  readonly #deps: BuildDeps;
  readonly #paths: BuildPaths;
  readonly #running = new Map<BuildJob, Promise<unknown>>();
  /** Builds that use buildah's storage: those of the former that have begun. */
  #begun = 0;
  #prepared = false;
  /** What prepares, cleans or removes the storage; no build begins before it ends. */
  #upkeep: Promise<void> | undefined;
  /** buildah has working containers of a build that was ended by force. */
  #dirty = false;

  /** @param deps the daemon's other parts */
  constructor(deps: BuildDeps) {
    this.#deps = deps;
    this.#paths = new BuildPaths(deps.baseDir, deps.programPath);
  }

  /** Removes what builds of a daemon that was killed have left. */
  async recover(): Promise<void> {
    const left: string[] = [];
    try {
      for await (const { name } of Deno.readDir(this.#paths.jobs)) left.push(name);
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    }
    for (const id of left) {
      await removeCgroup(`${this.#deps.cgroupParent}/build-${id}`);
      await this.#deps.removeTree(`${this.#paths.jobs}/${id}`);
    }
    this.#dirty = left.length > 0;
    if (left.length > 0) {
      this.#deps.log.info("Unfinished builds of an earlier run were removed", { builds: left.length });
    }
  }

  /** See {@linkcode BuildService.build}. */
  build(request: BuildRequest, emit: (event: StreamEvent) => void): Attachment {
    const id = crypto.getRandomValues(new Uint8Array(6)).toHex();
    const job = new BuildJob(this.#deps, this.#paths, id, request, emit);
    const done = this.#run(job);
    const tracked = done.then(() => {}, () => {}).finally(() => this.#running.delete(job));
    this.#running.set(job, tracked);
    const exit = done.then(() => ({ code: 0, finishedAt: nowRfc3339(), oomKilled: false }));
    exit.then(() => {}, () => {}).finally(() => job.output.end());
    return { output: job.output, exit, input: (input) => feed(job, input), detach: () => job.stop() };
  }

  async #run(job: BuildJob): Promise<unknown> {
    await this.#begin();
    try {
      return await job.run();
    } catch (e) {
      this.#dirty = true;
      throw e;
    } finally {
      this.#begun--;
    }
  }

  /** Waits until settings are there, and nothing of a build that was ended by force: that stays while another build has containers. */
  async #begin(): Promise<void> {
    // What holds is looked at anew after each wait: others waited, too.
    while (true) {
      if (this.#upkeep !== undefined) await this.#upkeep;
      else if (!this.#prepared) await this.#keepUp(() => this.#prepare());
      else if (this.#dirty && this.#begun === 0) await this.#keepUp(() => this.#clean());
      else break;
    }
    this.#begun++;
  }

  /** Does it while no build begins. */
  #keepUp(work: () => Promise<void>): Promise<void> {
    return this.#upkeep = work().finally(() => this.#upkeep = undefined);
  }

  async #prepare(): Promise<void> {
    await this.#paths.prepare(this.#deps.crun);
    this.#prepared = true;
  }

  async #clean(): Promise<void> {
    const job = this.#paths.job("clean");
    await this.#paths.prepareJob(job, 0);
    try {
      await runBuildah([...this.#paths.globalOptions(job), "rm", "--all"], {
        env: this.#paths.environment(job, {}),
        signal: AbortSignal.timeout(60_000),
        sink: () => Promise.resolve(),
      });
      this.#dirty = false;
    } finally {
      await this.#deps.removeTree(job.dir);
    }
  }

  /** See {@linkcode BuildService.prune}. */
  async prune(): Promise<{ reclaimed: number }> {
    // The last look is right before what keeps builds from beginning.
    while (this.#running.size === 0 && this.#upkeep !== undefined) await this.#upkeep.catch(() => {});
    if (this.#running.size > 0) {
      throw new NyxError(
        "failed_precondition",
        `Could not remove the steps of earlier builds: ${this.#running.size} builds are under way; try again after them`,
      );
    }
    this.#prepared = false;
    const removed = this.#removeSteps();
    // Its failure is none of a build that waits for it.
    void this.#keepUp(() => removed.then(() => {}, () => {}));
    return { reclaimed: await removed };
  }

  async #removeSteps(): Promise<number> {
    const reclaimed = await this.usage();
    await this.#deps.removeTree(this.#paths.storage);
    return reclaimed;
  }

  /** Bytes of the steps of earlier builds. */
  usage(): Promise<number> {
    return this.#deps.usage(this.#paths.storage);
  }

  /** How many builds are under way. */
  get running(): number {
    return this.#running.size;
  }

  /** Ends all builds, and waits until nothing of them is left. */
  async close(): Promise<void> {
    for (const job of this.#running.keys()) {
      job.stop(new NyxError("unavailable", "The build was given up: nyxd stops"));
    }
    await Promise.all(this.#running.values());
  }
}

async function feed(job: BuildJob, input: StreamInput): Promise<void> {
  switch (input.kind) {
    case "stdin":
      return await job.take(input.bytes);
    case "stdinEnd":
      return await job.endUpload();
    case "channel":
      return await job.channel(input.channel, input.bytes);
    case "signal":
      return job.stop(new NyxError("canceled", `The build was given up on ${input.signal}`));
    case "resize":
      return;
  }
}
