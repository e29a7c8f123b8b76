/** Watches the health of one running container (D10): probes on schedule, keeps the outcome in its record. */

import type { HealthResult } from "../spec/api.ts";
import type { Healthcheck } from "../spec/container.ts";
import type { Container } from "../supervisor/container.ts";
import type { SupervisorDeps } from "../supervisor/deps.ts";
import { probe } from "./probe.ts";
import {
  afterProbe,
  type FullHealthcheck,
  initialHealth,
  nextProbeMs,
  sharedDelayMs,
  withDefaults,
} from "./schedule.ts";

/** A health watch; it lives as long as the process it watches. */
export class HealthWatch {
  readonly #container: Container;
  readonly #check: FullHealthcheck;
  readonly #deps: SupervisorDeps;
  readonly #stopped = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * Starts watching.
   *
   * @param container what to watch; it runs
   * @param check its health check
   * @param deps the daemon's parts
   */
  constructor(container: Container, check: Healthcheck, deps: SupervisorDeps) {
    this.#container = container;
    this.#check = withDefaults(check);
    this.#deps = deps;
    container.record.state.health ??= initialHealth();
    if (container.record.state.health.status === "none") container.record.state.health = initialHealth();
    this.#schedule();
  }

  /** Ends the watch, and a probe that is under way. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#stopped.abort();
  }

  #schedule(): void {
    if (this.#stopped.signal.aborted) return;
    const state = this.#container.record.state.health ?? initialHealth();
    const delayMs = sharedDelayMs(nextProbeMs(state, this.#check, this.#container.uptimeMs), performance.now());
    this.#timer = setTimeout(() => void this.#once(), delayMs);
  }

  async #once(): Promise<void> {
    if (this.#container.status === "paused") {
      this.#schedule();
      return;
    }
    const uptimeMs = this.#container.uptimeMs;
    const start = new Date().toISOString();
    const outcome = await probe(this.#container, this.#check, this.#deps, this.#stopped.signal);
    if (this.#stopped.signal.aborted) return;
    this.#record({ start, end: new Date().toISOString(), ...outcome }, uptimeMs);
    this.#schedule();
  }

  #record(result: HealthResult, uptimeMs: number): void {
    const { state, spec } = this.#container.record;
    const before = state.health ?? initialHealth();
    state.health = afterProbe(before, result, this.#check, uptimeMs);
    if (state.health.status === before.status) return;
    this.#container.emit("health_status", { health: state.health.status });
    // Who waits for health hears of it when it is durable.
    void this.#container.save().catch((error) =>
      this.#deps.log.error("A health change could not be saved", { id: this.#container.id, error })
    ).finally(() => this.#container.notify());
    if (state.health.status === "unhealthy") this.#act(spec.onUnhealthy ?? "none");
  }

  /** What the user asked to happen to an unhealthy container. */
  #act(action: "none" | "restart" | "stop"): void {
    if (action === "none") return;
    const { record } = this.#container;
    const graceMs = (record.spec.stopTimeoutS ?? this.#deps.defaults.stopTimeoutS) * 1000;
    const job = async () => {
      await this.#container.stop(record.stopSignal, graceMs);
      if (action !== "restart") return;
      await this.#container.mailbox.run(() => {});
      record.state.restartCount++;
      await this.#container.start();
    };
    job().catch((error) =>
      this.#deps.log.error(`Could not ${action} an unhealthy container`, { id: record.id, error })
    );
  }
}
