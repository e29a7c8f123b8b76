/**
 * {@linkcode ContainerConfig} as a request says it. Beside its own fields the forms of older clients are taken: `id` for the
 * name, `ports` and `publish` texts, `env` as a map, `restart` as text, durations such as `1m30s` in the healthcheck.
 */

import { z } from "zod";
import type { ContainerConfig, ContainerHook, MountSpec, PortMapping, Resources } from "../../spec/container.ts";
import { parseCapability } from "../../spec/parse/capability.ts";
import { parseCpuset } from "../../spec/parse/cpus.ts";
import { parseDeviceCgroupRule } from "../../spec/parse/device.ts";
import { tryNormalizeIp } from "../../spec/parse/ip.ts";
import { parseName, parseNamespaceMode, parsePlatform, parseUser, parseWorkdir } from "../../spec/parse/modes.ts";
import {
  parseExtraHost,
  parseHostname,
  parseIp,
  parseMac,
  parseNetwork,
  parseSearchDomain,
} from "../../spec/parse/network.ts";
import { parseCgroupParent, parseHostPath, parseTarget } from "../../spec/parse/paths.ts";
import { parseExpose, parsePublish } from "../../spec/parse/ports.ts";
import { parseRestart } from "../../spec/parse/restart.ts";
import { ULIMIT_NAMES } from "../../spec/parse/ulimit.ts";
import { parseSysctl } from "../../spec/parse/sysctl.ts";
import { healthcheck } from "./healthcheck.ts";
import { graceSeconds, imageRef, integer, line, parsed, signalName, textMap } from "./values.ts";

const protocol = z.enum(["tcp", "udp", "sctp"]);

const hostIp = z.string().transform((text, context) => {
  const ip = text === "" ? "" : tryNormalizeIp(text);
  if (ip === undefined) {
    context.addIssue({ code: "custom", message: "give an IP address of this host, or nothing for all" });
    return z.NEVER;
  }
  return ip;
});

const portObject = z.strictObject({
  hostIp: hostIp.exactOptional(),
  hostPort: integer(0, 65_535),
  containerPort: integer(1, 65_535),
  count: integer(1, 65_535).exactOptional(),
  protocol: protocol.exactOptional(),
}).refine(
  ({ hostPort, containerPort, count = 1 }) => Math.max(hostPort, containerPort) + count - 1 <= 65_535,
  { error: "the range runs past port 65535", path: ["count"] },
);

const publishText = parsed((text): PortMapping => parsePublish(text));
const publish = z.union([publishText, portObject], {
  error: 'write "[HOST-IP:]HOST-PORT:CONTAINER-PORT[/PROTOCOL]", or an object with hostPort and containerPort',
});

/** Published ports, each as text or object. */
export const publishedPorts = z.array(publish).max(4096);

const variable = z.string().min(1).regex(
  /^[^=\0][^\0]*$/,
  "write NAME=VALUE, or NAME to take the image's variable away",
);
const variables = z.union([
  z.array(variable).max(10_000),
  z.record(z.string().regex(/^[^=\0]+$/, "a variable's name has no ="), z.union([z.string(), z.number(), z.boolean()])),
], { error: 'write ["NAME=VALUE", …] or {"NAME": "VALUE", …}' }).transform((given): string[] =>
  Array.isArray(given) ? given : Object.entries(given).map(([name, value]) => `${name}=${value}`)
);

const policy = z.strictObject({
  name: z.enum(["no", "always", "unless-stopped", "on-failure"]),
  maxRetries: integer(0, 1_000_000).exactOptional(),
});
const restart = z.union([parsed((text) => parseRestart(text)), policy], {
  error: 'write "no", "always", "unless-stopped", "on-failure[:MAX]", or an object with name and maxRetries',
});

const argument = z.string().max(128 * 1024).regex(/^[^\0]*$/, "an argument cannot hold a NUL byte");
/** A program and its arguments. */
export const argumentList: z.ZodArray<z.ZodString> = z.array(argument).max(10_000);
const target = parsed((text) => parseTarget(text, "target"));
const hostPath = parsed((text) => parseHostPath(text, "source"));

const mount = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("bind"),
    source: hostPath,
    target,
    readOnly: z.boolean().exactOptional(),
    bind: z.strictObject({
      propagation: z.enum(["private", "rprivate", "shared", "rshared", "slave", "rslave"]).exactOptional(),
      nonRecursive: z.boolean().exactOptional(),
      createSource: z.boolean().exactOptional(),
    }).exactOptional(),
  }),
  z.strictObject({
    type: z.literal("volume"),
    source: parsed((text) => parseName(text)).exactOptional(),
    target,
    readOnly: z.boolean().exactOptional(),
    noCopy: z.boolean().exactOptional(),
    subpath: line().refine((path) => !path.startsWith("/") && !path.split("/").includes(".."), {
      error: "the path inside the volume is relative and has no .. in it",
    }).exactOptional(),
    driver: z.literal("local", { error: "nyx has the local driver only" }).exactOptional(),
    driverOptions: textMap.exactOptional(),
    labels: textMap.exactOptional(),
  }),
  z.strictObject({
    type: z.literal("tmpfs"),
    target,
    readOnly: z.boolean().exactOptional(),
    sizeBytes: integer(0).exactOptional(),
    mode: integer(0, 0o7777).exactOptional(),
    options: z.array(line(256)).exactOptional(),
  }),
], { error: "a mount's type is bind, volume or tmpfs" }) satisfies z.ZodType<MountSpec>;

const cpuset = parsed((text) => parseCpuset(text));

/** Limits of a container. */
export const resources = z.strictObject({
  memoryBytes: integer(0).exactOptional(),
  memorySwapBytes: integer(-1).exactOptional(),
  memoryReservationBytes: integer(0).exactOptional(),
  nanoCpus: integer(0).exactOptional(),
  cpuShares: integer(0, 262_144).exactOptional(),
  cpuPeriodUs: integer(1000, 1_000_000).exactOptional(),
  cpuQuotaUs: integer(-1).exactOptional(),
  cpusetCpus: cpuset.exactOptional(),
  cpusetMems: cpuset.exactOptional(),
  pidsLimit: integer(-1).exactOptional(),
  blkioWeight: integer(10, 1000).exactOptional(),
  oomScoreAdj: integer(-1000, 1000).exactOptional(),
  oomKillDisable: z.boolean().exactOptional(),
}).meta({ id: "Resources" }) satisfies z.ZodType<Resources>;

const ulimit = z.strictObject({
  name: z.enum(ULIMIT_NAMES as [string, ...string[]]),
  soft: integer(-1),
  hard: integer(-1),
}).refine(({ soft, hard }) => hard === -1 || (soft !== -1 && soft <= hard), {
  error: "the soft limit cannot exceed the hard one",
  path: ["soft"],
});

const attachment = z.strictObject({
  network: parsed((text) => parseName(text)),
  ip: parsed((text) => parseIp(text, "ip", 4)).exactOptional(),
  ip6: parsed((text) => parseIp(text, "ip6", 6)).exactOptional(),
  mac: parsed((text) => parseMac(text)).exactOptional(),
  aliases: z.array(parsed((text) => parseHostname(text))).exactOptional(),
  gatewayPriority: integer(-1_000_000, 1_000_000).exactOptional(),
});

const hook = z.strictObject({
  argv: z.array(z.string().max(128 * 1024)).min(1).max(4096),
  user: parsed((text) => parseUser(text)).exactOptional(),
  workingDir: parsed((text) => parseWorkdir(text)).exactOptional(),
  env: variables.exactOptional(),
  privileged: z.boolean().exactOptional(),
}) satisfies z.ZodType<ContainerHook>;

const networkMode = parsed((text): string => {
  const choice = parseNetwork(text);
  return choice.kind === "mode" ? choice.mode : choice.attachment.network;
});

const sysctls = z.record(z.string(), z.string().max(4096)).transform((given, context): Record<string, string> => {
  try {
    return Object.fromEntries(Object.entries(given).map(([key, value]) => parseSysctl(`${key}=${value}`)));
  } catch (e) {
    context.addIssue({ code: "custom", message: e instanceof Error ? e.message : String(e) });
    return z.NEVER;
  }
});

const capabilities = z.array(parsed((text) => parseCapability(text))).max(100);
const absolutePath = z.string().max(4096).regex(/^\/[^\0]*$/, "the path must be absolute (start with /)");
const mode = (kind: "pid" | "ipc" | "uts" | "cgroupns") =>
  parsed((text) => parseNamespaceMode(text, kind) ?? "private");

/** Fields of the request, for {@linkcode z.strictObject}. Turn the outcome into a config by {@linkcode toConfig}. */
export const containerShape = {
  name: parsed((text) => parseName(text)).exactOptional(),
  id: parsed((text) => parseName(text)).exactOptional().meta({
    description: "Older name of `name`.",
    deprecated: true,
  }),
  image: imageRef,
  platform: parsed((text) => parsePlatform(text)).exactOptional(),
  entrypoint: argumentList.exactOptional(),
  args: argumentList.exactOptional(),
  env: variables.exactOptional(),
  workingDir: parsed((text) => parseWorkdir(text)).exactOptional(),
  user: parsed((text) => parseUser(text)).exactOptional(),
  groupAdd: z.array(parsed((text) => parseUser(text))).exactOptional(),
  hostname: parsed((text) => parseHostname(text)).exactOptional(),
  domainname: parsed((text) => parseHostname(text)).exactOptional(),
  tty: z.boolean().exactOptional(),
  openStdin: z.boolean().exactOptional(),
  labels: textMap.exactOptional(),
  annotations: textMap.exactOptional(),
  restart: restart.exactOptional(),
  onUnhealthy: z.enum(["none", "restart", "stop"]).exactOptional(),
  autoRemove: z.boolean().exactOptional(),
  stopSignal: signalName.exactOptional(),
  stopTimeoutS: graceSeconds.exactOptional(),
  healthcheck: healthcheck.exactOptional(),
  postStart: z.array(hook).max(64).exactOptional(),
  preStop: z.array(hook).max(64).exactOptional(),
  networkMode: networkMode.exactOptional(),
  networks: z.array(attachment).max(256).exactOptional(),
  publish: publishedPorts.exactOptional(),
  ports: z.array(portObject).max(4096).exactOptional().meta({
    description: "Older form of `publish`; both add up.",
    deprecated: true,
  }),
  publishAll: z.boolean().exactOptional(),
  expose: z.array(parsed((text) => parseExpose(text))).max(4096).exactOptional(),
  dns: z.array(parsed((text) => parseIp(text, "dns"))).max(64).exactOptional(),
  dnsSearch: z.array(parsed((text) => parseSearchDomain(text))).max(64).exactOptional(),
  dnsOptions: z.array(z.string().regex(/^[a-zA-Z0-9_:-]{1,64}$/, "give an option such as ndots:1")).max(64)
    .exactOptional(),
  extraHosts: z.array(parsed((text) => parseExtraHost(text))).max(4096).exactOptional(),
  mounts: z.array(mount).max(4096).exactOptional(),
  readOnly: z.boolean().exactOptional(),
  shmSizeBytes: integer(0).exactOptional(),
  privileged: z.boolean().exactOptional(),
  capAdd: capabilities.exactOptional(),
  capDrop: capabilities.exactOptional(),
  seccomp: z.string().exactOptional(),
  apparmor: line(256).exactOptional(),
  noNewPrivileges: z.boolean().exactOptional(),
  maskedPaths: z.array(absolutePath).exactOptional(),
  readonlyPaths: z.array(absolutePath).exactOptional(),
  devices: z.array(z.strictObject({
    source: absolutePath,
    target: absolutePath,
    permissions: z.string().regex(/^(?!.*(.).*\1)[rwm]{1,3}$/, "permissions are some of r, w and m"),
  })).max(4096).exactOptional(),
  deviceCgroupRules: z.array(parsed((text) => parseDeviceCgroupRule(text))).exactOptional(),
  ulimits: z.array(ulimit).max(64).exactOptional(),
  sysctls: sysctls.exactOptional(),
  init: z.boolean().exactOptional(),
  pidMode: mode("pid").exactOptional(),
  ipcMode: mode("ipc").exactOptional(),
  utsMode: mode("uts").exactOptional(),
  cgroupnsMode: mode("cgroupns").exactOptional(),
  cgroupParent: parsed((text) => parseCgroupParent(text, "cgroupParent")).exactOptional(),
  resources: resources.exactOptional(),
  log: z.strictObject({
    driver: z.enum(["json", "none"]).exactOptional(),
    maxSizeBytes: integer(0).exactOptional(),
    maxFile: integer(1, 100_000).exactOptional(),
    maxAgeMs: integer(0).exactOptional(),
    compress: z.boolean().exactOptional(),
    mode: z.enum(["block", "drop"]).exactOptional(),
  }).exactOptional(),
};

const containerObject = z.strictObject(containerShape);

/** What {@linkcode containerShape} gives. */
export type ContainerInput = z.output<typeof containerObject>;

/** Brings older forms into the config: `id` is the name, `ports` add to `publish`, a mode `private` is the default. */
export function toConfig(input: ContainerInput): ContainerConfig {
  const { id, ports, pidMode, utsMode, ...config } = input;
  const out: ContainerConfig = config;
  if (id !== undefined && out.name === undefined) out.name = id;
  if (ports !== undefined) out.publish = [...(out.publish ?? []), ...ports];
  if (pidMode !== undefined && pidMode !== "private") out.pidMode = pidMode;
  if (utsMode !== undefined && utsMode !== "private") out.utsMode = utsMode;
  return out;
}

/** A refinement for objects with `id` and `name`. */
export const oneName: { error: string; path: string[] } = {
  error: "id is the older name of name: give one of them",
  path: ["id"],
};

/** Body of POST /v1/containers. */
export const createBody = containerObject.refine(
  ({ id, name }) => id === undefined || name === undefined || id === name,
  oneName,
).transform(toConfig);

/** `variables` for others that take an environment. */
export { variables };

/** A container as a client may ask for it. */
export const CONTAINER_EXAMPLE = {
  image: "busybox:latest",
  name: "web",
  args: ["httpd", "-f", "-p", "80"],
  env: ["TZ=UTC"],
  restart: "unless-stopped",
  publish: ["127.0.0.1:8080:80"],
  mounts: [{ type: "volume", source: "data", target: "/srv" }],
  healthcheck: { type: "tcp", address: "127.0.0.1:80", interval: "30s" },
  resources: { memoryBytes: 268_435_456 },
};
