/**
 * The update of a service's containers as `deploy.update_config` asks for it: so many at a time, with pauses, watched for a while; and
 * what becomes of those that were replaced already when one fails.
 */

import type { ComposeUpdateConfig, PlanStep } from "../../spec/compose.ts";
import { NyxError, toNyxError } from "../../spec/errors.ts";
import { own } from "../dictionary.ts";
import type { DesiredContainer } from "../container.ts";
import type { ComposeProject } from "../project.ts";
import { composeDuration } from "../shape/scalar.ts";
import type { ComposeEngine, EngineContainer } from "./engine.ts";
import { replace, wayBack } from "./replace.ts";
import type { Replaced, ReplaceOptions } from "./replacement.ts";

/** Longest that the way back waits for an old container, milliseconds. */
const BACK_MS = 120_000;

/** Containers of a service that are replaced at the same time. */
export function parallelism(config: ComposeUpdateConfig | undefined): number {
  if (config === undefined || config.parallelism === 0) return Infinity;
  return config.parallelism ?? 1;
}

const ms = (text: string | undefined) => text === undefined ? 0 : composeDuration(text);

/** The update of one service. */
interface Rollout {
  service: string;
  config: ComposeUpdateConfig;
  back: ComposeUpdateConfig;
  total: number;
  started: number;
  failures: number;
  /** Replaced; the old ones are kept until all are well, when there may be a way back. */
  replaced: Replaced[];
  /** Replacements that are under way or watched. */
  open: number;
  broken: boolean;
}

/** All updates of one application of a plan. */
export class Rollouts {
  readonly #engine: ComposeEngine;
  readonly #options: Omit<ReplaceOptions, "keepOld" | "signal">;
  readonly #byService = new Map<string, Rollout>();
  readonly #tolerated = new Set<string>();

  /** @param steps of the plan */
  constructor(
    engine: ComposeEngine,
    project: ComposeProject,
    steps: readonly PlanStep[],
    options: Omit<ReplaceOptions, "keepOld" | "signal">,
  ) {
    this.#engine = engine;
    this.#options = options;
    for (const { action, service } of steps) {
      if (action !== "recreate" || service === undefined) continue;
      const deploy = own(project.model.services, service)?.deploy;
      const rollout = this.#byService.get(service) ?? {
        service,
        config: deploy?.update_config ?? {},
        back: deploy?.rollback_config ?? {},
        total: 0,
        started: 0,
        failures: 0,
        replaced: [],
        open: 0,
        broken: false,
      };
      rollout.total++;
      this.#byService.set(service, rollout);
    }
  }

  /** Whether a failed step is one that the update goes on after. */
  tolerates(stepId: string): boolean {
    return this.#tolerated.has(stepId);
  }

  /** Replaces one container. @throws NyxError that says what becomes of the others */
  async replace(step: PlanStep, old: EngineContainer, desired: DesiredContainer, signal: AbortSignal): Promise<void> {
    const rollout = this.#byService.get(step.service ?? "");
    if (rollout === undefined) throw new NyxError("internal", `The step ${step.id} belongs to no update`);
    const { config } = rollout;
    if (rollout.started++ >= parallelism(config)) await sleep(ms(config.delay), signal);
    const keepOld = config.failure_action === "rollback";
    rollout.open++;
    try {
      const replaced = await replace(this.#engine, old, desired, step.order, { ...this.#options, keepOld, signal });
      rollout.replaced.push(replaced);
      await this.#watch(replaced.id, ms(config.monitor), signal);
    } catch (e) {
      throw this.#failed(rollout, step, toNyxError(e));
    } finally {
      rollout.open--;
    }
    const { broken, open, replaced, total } = rollout;
    if (!broken && open === 0 && replaced.length === total) await this.#commit(rollout);
  }

  #failed(rollout: Rollout, step: PlanStep, error: NyxError): NyxError {
    const { config, total } = rollout;
    rollout.failures++;
    const ratio = config.max_failure_ratio ?? 0;
    if (config.failure_action === "continue" || rollout.failures / total <= ratio) {
      this.#tolerated.add(step.id);
      return error;
    }
    rollout.broken = config.failure_action === "rollback";
    if (total > 1 && !rollout.broken) error.message += "; the update of the service stopped there (failure_action)";
    return error;
  }

  /** Watches a new container for a while. */
  async #watch(id: string, forMs: number, signal: AbortSignal): Promise<void> {
    if (forMs === 0 || this.#options.noStart) return;
    const over = AbortSignal.any([signal, AbortSignal.timeout(forMs)]);
    while (!over.aborted) {
      const now = this.#engine.container(id);
      const what = now === undefined
        ? "is gone"
        : now.status !== "running" && now.status !== "paused"
        ? `is ${now.status}${now.exitCode === undefined ? "" : ` with code ${now.exitCode}`}`
        : now.health === "unhealthy"
        ? "is unhealthy"
        : undefined;
      if (what !== undefined) {
        throw new NyxError(
          "failed_precondition",
          `container ${now?.name ?? id} ${what} within ${forMs / 1000} s after it took over (monitor)`,
        );
      }
      await this.#engine.changed(id, over);
    }
  }

  /** Removes what was kept for a way back. */
  async #commit(rollout: Rollout): Promise<void> {
    for (const { old } of rollout.replaced.splice(0)) {
      if (this.#engine.container(old.id) !== undefined) await this.#engine.remove(old.id, this.#options.renewVolumes);
    }
  }

  /**
   * Ends all updates, when no step runs any more: those that failed go back where they were asked to.
   *
   * @returns what was done, as sentences
   */
  async settle(): Promise<string[]> {
    const said: string[] = [];
    for (const rollout of this.#byService.values()) {
      if (rollout.broken && rollout.replaced.length > 0) said.push(await this.#back(rollout));
      await this.#commit(rollout);
    }
    return said;
  }

  async #back(rollout: Rollout): Promise<string> {
    const { service, back, config } = rollout;
    const order = back.order ?? config.order ?? "stop-first";
    const { timeoutS } = this.#options;
    const options = { order, ...(timeoutS === undefined ? {} : { timeoutS }) };
    const pairs = rollout.replaced.splice(0).reverse();
    const atOnce = Math.min(pairs.length, parallelism(back));
    const failures: string[] = [];
    for (let at = 0; at < pairs.length; at += atOnce) {
      if (at > 0) await sleep(ms(back.delay), AbortSignal.timeout(BACK_MS));
      await Promise.all(
        pairs.slice(at, at + atOnce).map((pair) =>
          wayBack(this.#engine, pair, { ...options, signal: AbortSignal.timeout(BACK_MS) }).catch((e) =>
            failures.push(`${pair.old.name}: ${toNyxError(e).message}`)
          )
        ),
      );
      if (failures.length > 0 && back.failure_action !== "continue") break;
    }
    if (failures.length > 0) return `service ${service} could not be rolled back completely: ${failures.join("; ")}`;
    return `service ${service} was rolled back: ${pairs.map((p) => p.old.name).sort().join(", ")}`;
  }
}

function sleep(forMs: number, signal: AbortSignal): Promise<void> {
  if (forMs <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, forMs);
    signal.addEventListener("abort", done, { once: true });
  });
}
