/**
 * What nyxd may do, as Deno's flags: the one list that the task, the launchers and the tests use, with the reason of each.
 *
 * Workers get these or less: `pull` and `bundle` hold only their directories (and `pull` the network).
 */

/** Where a daemon works. */
export interface PermissionPaths {
  baseDir: string;
  /** API socket. */
  socket: string;
  crun: string;
  /** Directory of nyx's own modules; missing in a compiled binary. */
  sourceDir?: string;
  /** Other files that settings name, such as --init-path and --resolv-conf. */
  extraRead?: string[];
  /** Programs that only some settings need, such as CNI plugins. */
  extraRun?: string[];
}

/** One flag and why nyxd needs it. */
export interface PermissionFlag {
  flag: string;
  reason: string;
}

const TRIPLES = ["x86_64-linux-gnu", "aarch64-linux-gnu"];

/** Shared libraries: libc for the kernel, nftables for rules, seccomp to compile its filter once,
 * isal and zstd for fast unpacking. */
export const LIBRARIES: readonly string[] = [
  ...[...TRIPLES.map((t) => `/lib/${t}`), "/lib64"].flatMap((dir) => [`${dir}/libc.so.6`, `${dir}/libseccomp.so.2`]),
  ...[...TRIPLES.map((t) => `/usr/lib/${t}`), "/usr/lib64"].flatMap((dir) => [
    `${dir}/libnftables.so.1`,
    `${dir}/libseccomp.so.2`,
    `${dir}/libzstd.so.1`,
    ...[30, 31].map((minor) => `${dir}/libisal.so.2.0.${minor}`),
  ]),
];

/** Files of the host that are read and never written. */
const HOST_FILES = [
  "/etc/resolv.conf",
  "/etc/hostname",
  "/etc/group",
  "/usr/bin/catatonit",
  "/usr/libexec/podman/catatonit",
  "/usr/bin/tini-static",
  "/usr/bin/tini",
  "/usr/bin/setsid",
  "/usr/sbin/nft",
  "/sbin/nft",
];

/** systemd's notify socket: sending to a socket file counts as writing. */
const NOTIFY = "/run/systemd/notify";
/** Where nft is; looked for before it is run. */
const NFT = ["/usr/sbin/nft", "/sbin/nft"];

/** Programs: crun runs containers, sh and setsid are their monitors, nft stands in where libnftables is missing. */
const PROGRAMS = ["/bin/sh", "/usr/bin/setsid", ...NFT];

/** Environment variables that are read. */
const ENVIRONMENT = [
  "NOTIFY_SOCKET",
  "NYXD_CONTAINER_SUBNET",
  "NYXD_GATEWAY_IP",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  // The YAML parser asks whether it shall trace its work.
  "LOG_STREAM",
  "LOG_TOKENS",
];

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** The permission flags of one daemon, each with its reason. */
export function nyxdPermissions(paths: PermissionPaths): PermissionFlag[] {
  const own = [paths.baseDir, directoryOf(paths.socket)];
  const source = paths.sourceDir === undefined ? [] : [paths.sourceDir];
  return [
    {
      flag: `--allow-read=${[...own, ...source, NOTIFY, ...HOST_FILES, ...(paths.extraRead ?? [])].join(",")}`,
      reason:
        "its state and socket, its own modules (workers are loaded by path), the host's resolvers, name and groups",
    },
    { flag: `--allow-write=${[...own, NOTIFY].join(",")}`, reason: "its state and socket; systemd's notify socket" },
    {
      flag: "--allow-net",
      reason:
        "registries, whose hosts the user names; its own unix socket; DNS on the gateways, and the host's resolvers",
    },
    { flag: `--allow-ffi=${LIBRARIES.join(",")}`, reason: "system calls that Deno has no function for; libnftables" },
    {
      flag: `--allow-run=${[paths.crun, ...PROGRAMS, ...(paths.extraRun ?? [])].join(",")}`,
      reason: "crun, the monitors' shell, nft as a fallback; CNI plugins with --net-driver cni",
    },
    { flag: "--allow-sys=statfs,systemMemoryInfo", reason: "how full the disk is, how much memory there is" },
    {
      flag: `--allow-env=${ENVIRONMENT.join(",")}`,
      reason: "systemd's notify socket, the subnet's settings, proxies, two names that the YAML parser asks for",
    },
  ];
}
