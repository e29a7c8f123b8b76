/** The mount list of a container: what every container has, the files over /etc, and the user's, in an order that works. */

import { invalid } from "../../daemon/spec/errors.ts";
import type { ResolvedMount } from "../protocol.ts";
import type { NamespacePlan } from "./namespaces.ts";
import { INIT_TARGET } from "./process.ts";
import type { OciMount } from "./runtime_spec.ts";

/** /dev/shm when nothing is said. */
export const DEFAULT_SHM_BYTES = 64 * 1024 * 1024;

/** Files of nyx that go over /etc, by their path inside. */
export type EtcFiles = Readonly<Record<"/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf", string>>;

/** Input of {@linkcode resolveMounts}. */
export interface MountInput {
  user: readonly ResolvedMount[];
  etc: EtcFiles;
  shm: NamespacePlan["shm"];
  shmSizeBytes?: number;
  /** Whether the container has its own IPC namespace (else mqueue is the host's or the joined one's). */
  privileged: boolean;
  readOnlyRoot: boolean;
  /** Host path of the init binary when one is wanted. */
  initPath?: string;
}

/**
 * A target in its one spelling: absolute, no `.`, `..`, doubled or trailing slashes.
 *
 * @throws NyxError invalid_argument for a relative one, `..`, or the root itself
 */
export function cleanTarget(target: string): string {
  if (!target.startsWith("/") || target.includes("\0")) {
    throw invalid("mount target", target, "the path inside the container is absolute");
  }
  const parts: string[] = [];
  for (const part of target.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") throw invalid("mount target", target, "the path inside the container has no ..");
    parts.push(part);
  }
  if (parts.length === 0) throw invalid("mount target", target, "the root itself cannot be mounted over");
  return `/${parts.join("/")}`;
}

function shmMount(shm: NamespacePlan["shm"], size: number): OciMount[] {
  const destination = "/dev/shm";
  switch (shm.kind) {
    case "none":
      return [];
    case "host":
      return [{ destination, type: "bind", source: "/dev/shm", options: ["rbind", "nosuid", "noexec", "nodev"] }];
    case "shared":
      return [{ destination, type: "bind", source: shm.path, options: ["bind", "nosuid", "noexec", "nodev"] }];
    case "own":
      return [{
        destination,
        type: "tmpfs",
        source: "shm",
        options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${size}`],
      }];
  }
}

function systemMounts(input: MountInput): OciMount[] {
  const access = input.privileged ? "rw" : "ro";
  const size = input.shmSizeBytes ?? DEFAULT_SHM_BYTES;
  if (!Number.isSafeInteger(size) || size <= 0) throw invalid("shmSizeBytes", size, "use a positive number of bytes");
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", access] },
    {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: ["nosuid", "noexec", "nodev", "relatime", access],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    ...shmMount(input.shm, size),
  ];
}

function depth(path: string): number {
  return path.split("/").length;
}

/**
 * All mounts, parents before children. A mount of the user's takes the place of nyx's own at the same target, and one over /dev
 * drops what nyx would mount below it.
 *
 * @throws NyxError invalid_argument for a bad target or two mounts at one target
 */
export function resolveMounts(input: MountInput): OciMount[] {
  const user = new Map<string, OciMount>();
  for (const { type, source, target, options } of input.user) {
    const destination = cleanTarget(target);
    if (user.has(destination)) throw invalid("mounts", destination, "two mounts have this target; keep one");
    user.set(destination, { destination, type, source, options: [...options] });
  }
  const ours = systemMounts(input);
  for (const [destination, source] of Object.entries(input.etc)) {
    ours.push({
      destination,
      type: "bind",
      source,
      options: ["rbind", "rprivate", ...(input.readOnlyRoot ? ["ro"] : [])],
    });
  }
  if (input.initPath !== undefined) {
    ours.push({ destination: INIT_TARGET, type: "bind", source: input.initPath, options: ["bind", "rprivate", "ro"] });
  }
  const kept = ours.filter(({ destination }) =>
    !user.has(destination) && !(user.has("/dev") && destination.startsWith("/dev/"))
  );
  const all = [...kept, ...user.values()];
  return all.map((mount, index) => ({ mount, index }))
    .sort((a, b) => depth(a.mount.destination) - depth(b.mount.destination) || a.index - b.index)
    .map(({ mount }) => mount);
}

/** linux.rootfsPropagation that lets the user's shared and slave mounts work; undefined leaves the runtime's private default. */
export function rootPropagation(mounts: readonly OciMount[]): string | undefined {
  const all = mounts.flatMap((m) => m.options);
  if (all.some((o) => o === "shared" || o === "rshared")) return "shared";
  if (all.some((o) => o === "slave" || o === "rslave")) return "rslave";
  return undefined;
}
