/** Health state as a pure fold over probe results, and when the next probe is due. */

import type { HealthResult, HealthStatus } from "../spec/api.ts";
import type { Healthcheck } from "../spec/container.ts";

/** Probe outcomes kept. */
export const HEALTH_LOG_LIMIT = 5;

/** A health check with its defaults filled in. */
export type FullHealthcheck =
  & Healthcheck
  & Required<Pick<Healthcheck, "intervalMs" | "timeoutMs" | "retries" | "startPeriodMs" | "startIntervalMs">>;

/** Fills in Docker's defaults: 30 s interval and timeout (10 s here, as nyxd's users know it), 3 retries. */
export function withDefaults(check: Healthcheck): FullHealthcheck {
  return {
    ...check,
    intervalMs: check.intervalMs ?? 30_000,
    timeoutMs: check.timeoutMs ?? 10_000,
    retries: check.retries ?? 3,
    startPeriodMs: check.startPeriodMs ?? 0,
    startIntervalMs: check.startIntervalMs ?? 5_000,
  };
}

/** Health so far. */
export interface HealthState {
  status: HealthStatus;
  failingStreak: number;
  log: HealthResult[];
}

/** Health of a process that has just started. */
export function initialHealth(): HealthState {
  return { status: "starting", failingStreak: 0, log: [] };
}

/**
 * Health after one more probe. Failures within the start period do not count until the first success.
 *
 * @param uptimeMs age of the process when the probe began
 */
export function afterProbe(
  state: HealthState,
  result: HealthResult,
  check: FullHealthcheck,
  uptimeMs: number,
): HealthState {
  const log = [...state.log, result].slice(-HEALTH_LOG_LIMIT);
  if (result.exitCode === 0) return { status: "healthy", failingStreak: 0, log };
  if (state.status === "starting" && uptimeMs < check.startPeriodMs) {
    return { status: "starting", failingStreak: 0, log };
  }
  const failingStreak = state.failingStreak + 1;
  return { status: failingStreak >= check.retries ? "unhealthy" : state.status, failingStreak, log };
}

/**
 * Wait before the next probe: the start interval while starting within the start period, else the interval; ±5 % jitter
 * so that many containers do not probe in step.
 *
 * @param random in [0, 1)
 */
export function nextProbeMs(
  state: HealthState,
  check: FullHealthcheck,
  uptimeMs: number,
  random: number = Math.random(),
): number {
  const early = state.status === "starting" && uptimeMs < check.startPeriodMs;
  const base = early ? Math.min(check.startIntervalMs, check.intervalMs) : check.intervalMs;
  return Math.max(1, Math.round(base * (0.95 + 0.1 * random)));
}

/** Moments that probes of many containers share, milliseconds apart, and the shortest wait that is lengthened for their sake. */
const GRIDS = [{ gridMs: 100, fromMs: 900 }, { gridMs: 10, fromMs: 90 }];

/**
 * A delay lengthened, by an eighth at most, to the next moment that probes of many containers have in common: waking up is most of
 * what a small probe costs, and so it is shared.
 *
 * @param delayMs at least this long
 * @param nowMs on the clock that all probes share
 */
export function sharedDelayMs(delayMs: number, nowMs: number): number {
  const gridMs = GRIDS.find(({ fromMs }) => delayMs >= fromMs)?.gridMs;
  if (gridMs === undefined) return delayMs;
  return Math.ceil((nowMs + delayMs) / gridMs) * gridMs - nowMs;
}
