/** Resource limits (setrlimit(2)) and sysctls of a container. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { Ulimit } from "../../daemon/spec/container.ts";
import type { HostFacts } from "../protocol.ts";
import type { OciProcess } from "./runtime_spec.ts";

/** One element of process.rlimits. */
export type Rlimit = NonNullable<OciProcess["rlimits"]>[number];

/** RLIM_INFINITY. */
export const UNLIMITED = 18_446_744_073_709_551_615n;

/** Open files by default: what Docker and podman give where the host allows it. */
const DEFAULT_NOFILE = 1_048_576;

const NAMES = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as".split(" "),
);

function exact(value: number): number | bigint {
  return value < 0 ? UNLIMITED : value;
}

/** The lower of two limits, where -1 is unlimited. */
function lower(a: number, b: number): number {
  return a < 0 ? b : b < 0 ? a : Math.min(a, b);
}

function checkUlimit({ name, soft, hard }: Ulimit): string {
  const short = name.toLowerCase().replace(/^rlimit_/, "");
  if (!NAMES.has(short)) throw invalid("ulimits", name, `use one of ${[...NAMES].join(", ")}`);
  for (const value of [soft, hard]) {
    if (!Number.isSafeInteger(value) || value < -1) throw invalid("ulimits", `${name}=${value}`, "use -1 or a count");
  }
  if (hard >= 0 && (soft < 0 || soft > hard)) {
    throw invalid("ulimits", `${name}=${soft}:${hard}`, "the soft limit must not exceed the hard limit");
  }
  return short;
}

/**
 * process.rlimits: the user's, and a default for open files. Where nyxd lacks CAP_SYS_RESOURCE nothing can be raised above
 * nyxd's own hard limits, so a higher wish is lowered with a warning.
 *
 * @param ulimits as asked for
 * @param host nyxd's limits and capabilities
 * @param warnings gets a sentence for each limit that was lowered
 * @throws NyxError invalid_argument for an unknown name or soft above hard
 */
export function resolveRlimits(
  ulimits: readonly Ulimit[],
  host: Pick<HostFacts, "rlimits" | "capabilities">,
  warnings: string[],
): Rlimit[] {
  const mayRaise = host.capabilities.includes("CAP_SYS_RESOURCE");
  const wanted = new Map<string, { soft: number; hard: number }>();
  const nofile = lower(DEFAULT_NOFILE, host.rlimits["nofile"]?.hard ?? DEFAULT_NOFILE);
  wanted.set("nofile", { soft: nofile, hard: nofile });
  for (const limit of ulimits) {
    const name = checkUlimit(limit);
    const ceiling = host.rlimits[name]?.hard ?? -1;
    const clamp = (value: number) => mayRaise ? value : lower(value, ceiling);
    const hard = clamp(limit.hard);
    const soft = lower(limit.soft, hard);
    if (hard !== limit.hard || soft !== limit.soft) {
      warnings.push(
        `ulimit ${name} is lowered from ${limit.soft}:${limit.hard} to ${soft}:${hard}: nyxd lacks CAP_SYS_RESOURCE and its own hard limit is ${ceiling}`,
      );
    }
    wanted.set(name, { soft, hard });
  }
  return [...wanted].map(([name, { soft, hard }]) => ({
    type: `RLIMIT_${name.toUpperCase()}`,
    soft: exact(soft),
    hard: exact(hard),
  }));
}

/** Namespaces that a container has to itself. */
export interface OwnNamespaces {
  network: boolean;
  ipc: boolean;
  uts: boolean;
}

const IPC_SYSCTLS = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
]);

function namespaceOf(key: string): keyof OwnNamespaces | undefined {
  if (key.startsWith("net.")) return "network";
  if (IPC_SYSCTLS.has(key) || key.startsWith("fs.mqueue.")) return "ipc";
  if (key === "kernel.domainname") return "uts";
  return undefined;
}

/**
 * linux.sysctl: only what is the container's own, with Docker's defaults (any port may be bound, and ping works, without
 * capabilities).
 *
 * @throws NyxError invalid_argument for a key that is the host's, or whose namespace is shared
 */
export function resolveSysctls(
  asked: Readonly<Record<string, string>>,
  own: OwnNamespaces,
): Record<string, string> {
  const sysctls: Record<string, string> = own.network
    ? { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" }
    : {};
  for (const [rawKey, value] of Object.entries(asked)) {
    const key = rawKey.replaceAll("/", ".");
    if (!/^[a-z0-9_-]+(\.[A-Za-z0-9_-]+)+$/.test(key)) {
      throw invalid("sysctls", rawKey, "write a key such as net.core.somaxconn");
    }
    if (/[\0\n]/.test(value)) throw invalid("sysctls", `${key}=${value}`, "a value is one line");
    const namespace = namespaceOf(key);
    if (namespace === undefined) {
      throw invalid("sysctls", key, "it is not in a namespace and would change the whole host; set it on the host");
    }
    if (!own[namespace]) {
      throw new NyxError(
        "invalid_argument",
        `Could not set sysctl ${key}: the container shares its ${namespace} namespace; give it its own or leave the key out`,
        { context: { field: "sysctls", value: key } },
      );
    }
    sysctls[key] = value;
  }
  return sysctls;
}
