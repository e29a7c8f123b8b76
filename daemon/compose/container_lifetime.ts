/** The part of a container that concerns its life: when it starts again, how it stops, whether it is well, what it may use. */

import type { ComposeHook, ComposeService } from "../spec/compose.ts";
import type {
  ContainerConfig,
  ContainerHook,
  Healthcheck,
  LogOptions,
  Resources,
  RestartPolicy,
} from "../spec/container.ts";
import { parseBlkioWeight, parseCpus, parseCpuset, parseCpuShares } from "../spec/parse/cpus.ts";
import { parseDuration } from "../spec/parse/duration.ts";
import { parseLogOpts } from "../spec/parse/log_opt.ts";
import { parseMemory } from "../spec/parse/size.ts";
import { parseRestart } from "../spec/parse/restart.ts";
import { defined } from "./dictionary.ts";

/** Runs a parser; what it throws becomes a problem of the field, and the result undefined. */
export type Attempt = <T>(field: string, read: () => T) => T | undefined;

/** Restart policy, stop, health check, limits and log of a service's containers. */
export function lifetimeOf(s: ComposeService, attempt: Attempt): Partial<ContainerConfig> {
  return defined({
    restart: restartOf(s, attempt),
    stopTimeoutS: s.stop_grace_period === undefined ? undefined : Math.ceil(parseDuration(s.stop_grace_period) / 1000),
    healthcheck: healthcheckOf(s),
    onUnhealthy: s["x-nyx"]?.["on-unhealthy"],
    postStart: hooksOf(s.post_start),
    preStop: hooksOf(s.pre_stop),
    resources: resourcesOf(s, attempt),
    log: logOf(s, attempt),
  });
}

function restartOf({ restart, deploy }: ComposeService, attempt: Attempt): RestartPolicy | undefined {
  if (restart !== undefined) return attempt("restart", () => parseRestart(restart));
  const policy = deploy?.restart_policy;
  if (policy === undefined) return undefined;
  if (policy.condition === "none") return { name: "no" };
  if (policy.condition !== "on-failure") return { name: "always" };
  return policy.max_attempts === undefined
    ? { name: "on-failure" }
    : { name: "on-failure", maxRetries: policy.max_attempts };
}

function hooksOf(hooks: readonly ComposeHook[] | undefined): ContainerHook[] | undefined {
  const out = (hooks ?? []).flatMap(({ command, user, privileged, working_dir, environment }): ContainerHook[] => {
    if (command === undefined || command === null || command.length === 0) return [];
    const env = Object.entries(environment ?? {}).flatMap(([name, value]) =>
      value === null ? [] : [`${name}=${value}`]
    );
    return [defined({
      argv: command,
      user,
      workingDir: working_dir,
      env: env.length === 0 ? undefined : env.sort(),
      privileged,
    })];
  });
  return out.length === 0 ? undefined : out;
}

function healthcheckOf({ healthcheck: check }: ComposeService): Healthcheck | undefined {
  if (check === undefined) return undefined;
  const [kind, ...rest] = check.test ?? [];
  if (check.disable === true || kind === "NONE") return { type: "none" };
  const ms = (text: string | undefined) => text === undefined ? undefined : parseDuration(text);
  return defined({
    type: "exec" as const,
    command: kind === undefined ? undefined : rest,
    shell: kind === "CMD-SHELL" ? true : undefined,
    intervalMs: ms(check.interval),
    timeoutMs: ms(check.timeout),
    retries: check.retries,
    startPeriodMs: ms(check.start_period),
    startIntervalMs: ms(check.start_interval),
  });
}

function resourcesOf(s: ComposeService, attempt: Attempt): Resources | undefined {
  const { limits, reservations } = s.deploy?.resources ?? {};
  const bytes = (text: string | undefined) => text === undefined ? undefined : Number(text);
  const cpus = s.cpus ?? limits?.cpus;
  const memory = s.mem_limit ?? limits?.memory;
  const { cpu_shares, cpuset, blkio_config } = s;
  const weight = blkio_config?.weight;
  const resources: Resources = defined({
    memoryBytes: memory === undefined ? undefined : attempt("mem_limit", () => parseMemory(memory)),
    memorySwapBytes: bytes(s.memswap_limit),
    memoryReservationBytes: bytes(s.mem_reservation ?? reservations?.memory),
    nanoCpus: cpus === undefined || cpus === 0 ? undefined : attempt("cpus", () => parseCpus(String(cpus))),
    cpuShares: cpu_shares === undefined ? undefined : attempt("cpu_shares", () => parseCpuShares(String(cpu_shares))),
    cpuPeriodUs: s.cpu_period,
    cpuQuotaUs: s.cpu_quota,
    cpusetCpus: cpuset === undefined || cpuset === "" ? undefined : attempt("cpuset", () => parseCpuset(cpuset)),
    pidsLimit: s.pids_limit ?? limits?.pids,
    blkioWeight: weight === undefined
      ? undefined
      : attempt("blkio_config.weight", () => parseBlkioWeight(String(weight))),
    oomScoreAdj: s.oom_score_adj,
    oomKillDisable: s.oom_kill_disable,
  });
  return Object.keys(resources).length === 0 ? undefined : resources;
}

function logOf({ logging }: ComposeService, attempt: Attempt): LogOptions | undefined {
  if (logging === undefined) return undefined;
  const driver = logging.driver === "none" ? "none" : "json";
  const known = ["max-size", "max-file", "max-age", "compress", "mode"];
  const options = Object.entries(logging.options ?? {}).filter(([key, value]) =>
    driver !== "none" && known.includes(key) && value !== null
  );
  return attempt("logging", () => parseLogOpts(options.map(([key, value]) => `${key}=${value}`), driver));
}
