/** nyxd's command line and environment. */

import { type Level, LOG_LEVELS } from "./log/logger.ts";
import { invalid, NyxError } from "./spec/errors.ts";
import { parseSize } from "./spec/parse/size.ts";
import { parseCgroupParent } from "./spec/parse/paths.ts";
import { DEFAULT_BIN_DIR, DEFAULT_CONF_DIR } from "../workers/cni/permissions.ts";

/** Settings of one daemon. */
export interface DaemonConfig {
  baseDir: string;
  socket: string;
  /** Group name or gid that may use the socket. */
  socketGroup?: string;
  crun: string;
  netDriver: "native" | "cni";
  /** Where networks of others are defined; with the CNI driver. */
  cniConfDir: string;
  /** Where CNI plugins are; with the CNI driver. */
  cniBinDir: string;
  /** Name of the default network. */
  network: string;
  bridge: string;
  /** Its addresses as asked for; undefined lets the daemon choose what the host leaves free. */
  addresses?: { subnet: string; gateway: string };
  /** Empty means all addresses. */
  defaultPublishIp: string;
  dns: "auto" | "embedded" | "cni" | "off";
  /** The host's resolv.conf. */
  resolvConf: string;
  pullPlatform?: string;
  /** Registries that may be reached without TLS. */
  insecureRegistries: string[];
  logLevel: Level;
  stopContainersOnExit: boolean;
  /** Bytes that all logs together may take; "default" is a share of the file system, Infinity no bound. */
  logBudgetBytes: number | "default";
  /** Binary for `--init`. */
  initPath?: string;
  /** Network namespaces kept ready. */
  netnsPool: number;
  /** Parent cgroup of all containers. */
  cgroupParent: string;
}

/** What the command line asks for. */
export type Invocation = { run: DaemonConfig } | { print: "version" | "help" };

/** A flag of nyxd. */
export interface Flag {
  name: string;
  value?: string;
  help: string;
}

/** All flags; help and manual page are made of them. */
export const FLAGS: readonly Flag[] = [
  { name: "base-dir", value: "DIR", help: "where images, containers and volumes live (default /var/lib/nyxd)" },
  { name: "socket", value: "PATH", help: "API socket (default /run/nyxd/nyxd.sock)" },
  { name: "socket-group", value: "GROUP", help: "group, by name or gid, that may use the socket" },
  { name: "crun", value: "PATH", help: "crun binary (default /usr/bin/crun)" },
  { name: "net-driver", value: "native|cni", help: "network backend: nyx's own, or CNI plugins (default native)" },
  { name: "cni-conf-dir", value: "DIR", help: "with cni: networks that others define (default /etc/cni/net.d)" },
  { name: "cni-bin-dir", value: "DIR", help: "with cni: the plugins (default /usr/lib/cni)" },
  { name: "network", value: "NAME", help: "name of the default network (default nyx)" },
  { name: "bridge", value: "NAME", help: "bridge of the default network (default nyxbr0)" },
  {
    name: "subnet",
    value: "CIDR",
    help: "its subnet (default NYXD_CONTAINER_SUBNET, else 10.88.0.0/16 or the next that is free)",
  },
  { name: "gateway", value: "IP", help: "its gateway (default the first address, or NYXD_GATEWAY_IP)" },
  {
    name: "default-publish-ip",
    value: "IP",
    help: "address that -p binds when none is given (default all of both families)",
  },
  {
    name: "dns",
    value: "auto|embedded|cni|off",
    help: "resolver on each gateway; auto: unless port 53 is taken; cni: what plugins say (default auto)",
  },
  { name: "resolv-conf", value: "PATH", help: "the host's resolvers (default /etc/resolv.conf)" },
  { name: "pull-platform", value: "OS/ARCH[/VARIANT]", help: "platform to pull (default the host's)" },
  { name: "insecure-registry", value: "HOST[:PORT]", help: "registry reached over plain http; may be given again" },
  { name: "init-path", value: "PATH", help: "init binary for --init (default catatonit or tini where installed)" },
  { name: "netns-pool", value: "N", help: "network namespaces kept ready (default 4)" },
  { name: "cgroup-parent", value: "PATH", help: "parent cgroup of containers (default /nyx)" },
  {
    name: "log-budget",
    value: "SIZE|off",
    help: "most that all containers' logs may take together (default a tenth of the file system)",
  },
  { name: "log-level", value: LOG_LEVELS.join("|"), help: "lowest level logged (default info)" },
  { name: "stop-containers-on-exit", help: "stop all containers when the daemon is told to stop" },
  { name: "version", help: "print the version" },
  { name: "help", help: "print this" },
];

/** Text of `nyxd --help`. */
export function helpText(): string {
  const left = FLAGS.map((f) => `  --${f.name}${f.value === undefined ? "" : ` ${f.value}`}`);
  const width = Math.max(...left.map((l) => l.length));
  return [
    "nyxd: the daemon of the nyx container engine",
    "",
    "Usage: nyxd [flags]",
    "",
    ...FLAGS.map((f, i) => `${(left[i] ?? "").padEnd(width)}  ${f.help}`),
    "",
  ].join("\n");
}

function readFlags(args: readonly string[]): Map<string, string[]> {
  const values = new Map<string, string[]>();
  for (let i = 0; i < args.length; i++) {
    const [, name, inline] = /^--([a-z-]+)(?:=(.*))?$/s.exec(args[i] ?? "") ?? [];
    const flag = FLAGS.find((f) => f.name === name);
    if (flag === undefined || name === undefined) {
      throw new NyxError("invalid_argument", `Unknown argument ${JSON.stringify(args[i])}; see nyxd --help`);
    }
    const value = flag.value === undefined ? inline ?? "true" : inline ?? args[++i];
    if (value === undefined) throw new NyxError("invalid_argument", `Flag --${name} needs a value: ${flag.value}`);
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return values;
}

function oneOf<T extends string>(field: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((a) => a === value);
  if (found === undefined) throw invalid(`--${field}`, value, `use one of ${allowed.join(", ")}`);
  return found;
}

function dnsMode(value: string, driver: DaemonConfig["netDriver"]): DaemonConfig["dns"] {
  const mode = oneOf("dns", value, ["auto", "embedded", "cni", "off"]);
  if (mode === "cni" && driver !== "cni") throw invalid("--dns", value, "it needs --net-driver cni");
  return mode;
}

/** A directory that ends up in lists of permissions, which are split at commas, and in CNI_PATH, which is split at colons. */
function listedDir(field: string, value: string): string {
  const path = absolute(field, value);
  if (/[,:\n]/.test(path)) throw invalid(`--${field}`, value, "use a path without commas and colons");
  return path;
}

function absolute(field: string, value: string): string {
  if (!value.startsWith("/") || value.includes("\0")) throw invalid(`--${field}`, value, "use an absolute path");
  return value.length > 1 ? value.replace(/\/+$/, "") : value;
}

/** A bound on all logs. */
function logBudget(value: string | undefined): DaemonConfig["logBudgetBytes"] {
  if (value === undefined) return "default";
  if (value === "off") return Infinity;
  const bytes = parseSize(value, "--log-budget");
  if (bytes <= 0) throw invalid("--log-budget", value, "use a size such as 20g, or off");
  return bytes;
}

/** A base directory that its workers can be confined to: Deno gives no scoped access below the kernel's file systems. */
function usableBaseDir(value: string): string {
  const path = absolute("base-dir", value);
  if (/^\/(dev|proc|sys)(\/|$)/.test(path)) {
    throw invalid(
      "--base-dir",
      value,
      "use a directory outside /dev, /proc and /sys; for memory, mount a tmpfs elsewhere",
    );
  }
  if (path.includes(",")) throw invalid("--base-dir", value, "use a path without a comma");
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x1f\x7f]/.test(path)) throw invalid("--base-dir", value, "use a path without control characters");
  return path;
}

/** First address of an IPv4 subnet. */
function firstAddress(subnet: string): string {
  const [base = "", prefix = ""] = subnet.split("/");
  const parts = base.split(".").map(Number);
  const valid = parts.length === 4 && parts.every((p) => Number.isInteger(p) && p >= 0 && p < 256) &&
    /^\d+$/.test(prefix) && Number(prefix) >= 8 && Number(prefix) <= 30;
  if (!valid) throw invalid("--subnet", subnet, "use an IPv4 network such as 10.88.0.0/16, with a prefix of 8 to 30");
  const number = parts.reduce((n, p) => n * 256 + p, 0);
  const size = 2 ** (32 - Number(prefix));
  const first = Math.floor(number / size) * size + 1;
  return [24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join(".");
}

/**
 * Reads nyxd's command line.
 *
 * @param args arguments without the program
 * @param env environment: NYXD_CONTAINER_SUBNET, NYXD_GATEWAY_IP
 * @throws NyxError invalid_argument naming the flag, the value and what is accepted
 */
export function parseArgs(args: readonly string[], env: (name: string) => string | undefined): Invocation {
  const flags = readFlags(args);
  const get = (name: string) => flags.get(name)?.at(-1);
  if (flags.has("help")) return { print: "help" };
  if (flags.has("version")) return { print: "version" };
  const subnet = get("subnet") ?? env("NYXD_CONTAINER_SUBNET");
  const gateway = get("gateway") ?? env("NYXD_GATEWAY_IP");
  if (gateway !== undefined && subnet === undefined) {
    throw invalid("--gateway", gateway, "give --subnet with it");
  }
  const bridge = get("bridge") ?? "nyxbr0";
  if (!/^[a-zA-Z0-9_.-]{1,15}$/.test(bridge)) {
    throw invalid("--bridge", bridge, "use at most 15 letters, digits, _ . -");
  }
  const pool = Number(get("netns-pool") ?? "4");
  if (!Number.isInteger(pool) || pool < 0 || pool > 64) throw invalid("--netns-pool", get("netns-pool"), "use 0 to 64");
  const netDriver = oneOf("net-driver", get("net-driver") ?? "native", ["native", "cni"]);
  if (netDriver !== "cni") {
    for (const name of ["cni-conf-dir", "cni-bin-dir"]) {
      if (flags.has(name)) throw invalid(`--${name}`, get(name), "it needs --net-driver cni");
    }
  }
  const group = get("socket-group");
  const platform = get("pull-platform");
  const init = get("init-path");
  return {
    run: {
      baseDir: usableBaseDir(get("base-dir") ?? "/var/lib/nyxd"),
      socket: absolute("socket", get("socket") ?? "/run/nyxd/nyxd.sock"),
      ...(group === undefined ? {} : { socketGroup: group }),
      crun: absolute("crun", get("crun") ?? "/usr/bin/crun"),
      netDriver,
      cniConfDir: listedDir("cni-conf-dir", get("cni-conf-dir") ?? DEFAULT_CONF_DIR),
      cniBinDir: listedDir("cni-bin-dir", get("cni-bin-dir") ?? DEFAULT_BIN_DIR),
      network: get("network") ?? "nyx",
      bridge,
      ...(subnet === undefined ? {} : { addresses: { subnet, gateway: gateway ?? firstAddress(subnet) } }),
      defaultPublishIp: get("default-publish-ip") ?? "",
      dns: dnsMode(get("dns") ?? "auto", netDriver),
      resolvConf: absolute("resolv-conf", get("resolv-conf") ?? "/etc/resolv.conf"),
      ...(platform === undefined ? {} : { pullPlatform: platform }),
      insecureRegistries: flags.get("insecure-registry") ?? [],
      logLevel: oneOf("log-level", get("log-level") ?? "info", LOG_LEVELS),
      stopContainersOnExit: flags.has("stop-containers-on-exit"),
      ...(init === undefined ? {} : { initPath: absolute("init-path", init) }),
      logBudgetBytes: logBudget(get("log-budget")),
      netnsPool: pool,
      cgroupParent: parseCgroupParent(get("cgroup-parent") ?? "/nyx", "--cgroup-parent"),
    },
  };
}
