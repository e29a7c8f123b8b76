/** The parts of the OCI runtime specification's config.json (v1.0.2) that nyx writes; names as on the wire. */

/** process.user */
export interface OciUser {
  uid: number;
  gid: number;
  umask?: number;
  additionalGids?: number[];
}

/** process.capabilities: five sets of names such as CAP_CHOWN. */
export interface OciCapabilities {
  bounding: string[];
  effective: string[];
  permitted: string[];
  inheritable: string[];
  ambient: string[];
}

/** process */
export interface OciProcess {
  terminal: boolean;
  consoleSize?: { height: number; width: number };
  user: OciUser;
  args: string[];
  env: string[];
  cwd: string;
  capabilities: OciCapabilities;
  /** Unlimited is 2^64-1, which only a bigint holds. */
  rlimits?: { type: string; soft: number | bigint; hard: number | bigint }[];
  apparmorProfile?: string;
  noNewPrivileges: boolean;
  oomScoreAdj?: number;
}

/** One element of mounts. */
export interface OciMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

/** One element of linux.devices. */
export interface OciDevice {
  path: string;
  type: "c" | "b" | "p";
  major: number;
  minor: number;
  fileMode: number;
  uid: number;
  gid: number;
}

/** One element of linux.resources.devices; a missing number is a wildcard. */
export interface OciDeviceRule {
  allow: boolean;
  type?: "a" | "b" | "c";
  major?: number;
  minor?: number;
  access: string;
}

/** linux.resources */
export interface OciResources {
  devices: OciDeviceRule[];
  memory?: {
    limit?: number;
    swap?: number;
    reservation?: number;
    disableOOMKiller?: boolean;
  };
  cpu?: { shares?: number; quota?: number; period?: number; cpus?: string; mems?: string };
  pids?: { limit: number };
  blockIO?: { weight: number };
}

/** One element of linux.seccomp.syscalls. */
export interface OciSyscallRule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: { index: number; value: number; valueTwo?: number; op: string }[];
}

/** linux.seccomp */
export interface OciSeccomp {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls: OciSyscallRule[];
}

/** Kinds of Linux namespaces that nyx makes or joins. */
export type NamespaceType = "pid" | "network" | "ipc" | "uts" | "mount" | "cgroup";

/** config.json as a whole. */
export interface RuntimeSpec {
  ociVersion: string;
  process: OciProcess;
  root: { path: string; readonly: boolean };
  hostname?: string;
  domainname?: string;
  mounts: OciMount[];
  annotations?: Record<string, string>;
  linux: {
    cgroupsPath: string;
    namespaces: { type: NamespaceType; path?: string }[];
    devices: OciDevice[];
    resources: OciResources;
    sysctl?: Record<string, string>;
    seccomp?: OciSeccomp;
    rootfsPropagation?: string;
    maskedPaths: string[];
    readonlyPaths: string[];
  };
}

/** JSON with bigints as plain numbers, as the runtime reads them. */
export function encodeSpec(spec: unknown): string {
  return JSON.stringify(spec, (_key, value: unknown) => typeof value === "bigint" ? rawJson(value.toString()) : value);
}

/** ECMAScript's JSON.rawJSON, which TypeScript's library does not declare yet. */
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;
