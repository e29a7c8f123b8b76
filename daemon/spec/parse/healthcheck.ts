/** Health probe from the `--health-*` flags. */

import type { Healthcheck } from "../container.ts";
import { invalid, NyxError } from "../errors.ts";
import { parseInteger } from "./cpus.ts";
import { parseDuration } from "./duration.ts";

/** Flag values as typed; missing means the image's, else the default. */
export interface HealthFlags {
  disabled?: boolean;
  cmd?: string;
  interval?: string;
  timeout?: string;
  retries?: string;
  startPeriod?: string;
  startInterval?: string;
}

function probeDuration(text: string, field: string, zeroAllowed: boolean): number {
  const ms = parseDuration(text, field);
  // 0 asks for the default, as Docker's zero value does.
  if (ms !== 0 && ms < 1) throw invalid(field, text, "the shortest is 1ms");
  if (ms === 0 && !zeroAllowed) throw invalid(field, text, "give more than 0");
  return ms;
}

/**
 * The probe that the flags describe; undefined when none is given. `cmd` runs through the container's shell.
 *
 * @throws NyxError invalid_argument: bad durations or retries, or `--no-healthcheck` beside others
 */
export function parseHealthFlags(flags: HealthFlags): Healthcheck | undefined {
  const { disabled, cmd, ...timing } = flags;
  const given = cmd !== undefined || Object.values(timing).some((value) => value !== undefined);
  if (disabled === true) {
    if (given) {
      throw new NyxError(
        "invalid_argument",
        "--no-healthcheck conflicts with the --health-* options: give one or the other",
      );
    }
    return { type: "none" };
  }
  if (!given) return undefined;
  const health: Healthcheck = cmd === "none" ? { type: "none" } : { type: "exec" };
  if (cmd !== undefined && cmd !== "none") {
    if (cmd.trim() === "") throw invalid("health-cmd", cmd, "give a command, or use --no-healthcheck");
    health.command = [cmd];
    health.shell = true;
  }
  if (flags.interval !== undefined) health.intervalMs = probeDuration(flags.interval, "health-interval", true);
  if (flags.timeout !== undefined) health.timeoutMs = probeDuration(flags.timeout, "health-timeout", true);
  if (flags.retries !== undefined) health.retries = parseInteger(flags.retries, "health-retries", 0, 1_000_000);
  if (flags.startPeriod !== undefined) {
    health.startPeriodMs = probeDuration(flags.startPeriod, "health-start-period", true);
  }
  if (flags.startInterval !== undefined) {
    health.startIntervalMs = probeDuration(flags.startInterval, "health-start-interval", true);
  }
  return health;
}
