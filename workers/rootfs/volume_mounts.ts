/** Host sides of mounts: bind sources, volumes with driver options, directories inside volumes. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT, AT_FDCWD, type FileKernel, type FileStat, O, OwnedFd, RESOLVE, S } from "../../ffi/file.ts";
import { type MountKernel, MOVE_MOUNT, MS, OPEN_TREE, SETATTR, UMOUNT } from "../../ffi/mount.ts";
import type { MountInfo } from "../../ffi/mountinfo.ts";
import { mountAt, readMounts } from "./mount_table.ts";
import { checkAbsolute, overlayPaths } from "./paths.ts";

/** Directory below overlay/<id> for mounts that belong to one container. */
export const CONTAINER_MOUNTS = "mounts";

function tryStat(kernel: FileKernel, path: string): FileStat | undefined {
  try {
    return kernel.statx(AT_FDCWD, path, 0);
  } catch (e) {
    if (isErrno(e, "ENOENT", "ENOTDIR")) return undefined;
    throw e;
  }
}

/**
 * Looks at the host side of a bind mount.
 *
 * @param create makes a missing directory, parents included, owned by root with mode 0755
 * @throws NyxError not_found when it is missing and not to be made
 */
export function bindSource(
  kernel: FileKernel,
  source: string,
  create: boolean,
): { kind: "dir" | "file"; created: boolean } {
  const path = checkAbsolute("bind source", source);
  const stat = tryStat(kernel, path);
  if (stat !== undefined) return { kind: (stat.mode & S.IFMT) === S.IFDIR ? "dir" : "file", created: false };
  if (!create) {
    throw new NyxError("not_found", `Could not bind ${path}: the host has no such path; make it or use a volume`, {
      context: { field: "mounts", value: path },
    });
  }
  let made = "";
  for (const part of path.split("/").slice(1)) {
    made += `/${part}`;
    try {
      kernel.mkdirat(AT_FDCWD, made, 0o755);
      // By descriptor: whoever owns its parent could put a link in its place, which chmod(2) by name would follow.
      using dir = new OwnedFd(kernel, kernel.openat(AT_FDCWD, made, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC));
      kernel.fchmod(dir.fd, 0o755);
    } catch (e) {
      if (!isErrno(e, "EEXIST", "EROFS") || tryStat(kernel, made) === undefined) throw e;
    }
  }
  return { kind: "dir", created: true };
}

/** Mounts from the one that a path lies on up to the root's. */
function mountsUnder(mounts: readonly MountInfo[], path: string): MountInfo[] {
  const covers = (point: string) => point === "/" || path === point || path.startsWith(`${point}/`);
  let at: MountInfo | undefined;
  for (const mount of mounts) {
    if (covers(mount.mountPoint) && mount.mountPoint.length >= (at?.mountPoint.length ?? 0)) at = mount;
  }
  const chain: MountInfo[] = [];
  while (at !== undefined && !chain.includes(at)) {
    chain.push(at);
    const { parentId } = at;
    at = mounts.find((mount) => mount.id === parentId);
  }
  return chain;
}

const isShared = (mount: MountInfo | undefined) => mount?.optional.some((o) => o.startsWith("shared:")) === true;

/** Whether crun runs in a mount namespace of its own, as the streams worker does where both cgroup versions have controllers. */
function isHybrid(kernel: FileKernel): boolean {
  return tryStat(kernel, "/sys/fs/cgroup/unified/cgroup.procs") !== undefined;
}

/**
 * Where a bind's source lies (mount_namespaces(7)). Mounts are passed on from shared ones, and received from shared and slave
 * ones; the kernel would accept another propagation and do nothing.
 *
 * @returns whether it lies on a mount that crun may not see: made later, on a parent that is not shared
 * @throws NyxError failed_precondition for a propagation that cannot be given, with the reason and the fix
 */
export function checkPropagation(kernel: FileKernel, source: string, propagation = "rprivate"): { unseen: boolean } {
  const mode = propagation.replace(/^r/, "");
  const hybrid = isHybrid(kernel);
  if (mode === "private" && !hybrid) return { unseen: false };
  using found = new OwnedFd(kernel, kernel.openat(AT_FDCWD, source, O.PATH | O.CLOEXEC));
  const path = new TextDecoder().decode(kernel.readlinkat(AT_FDCWD, `/proc/self/fd/${found.fd}`));
  const [under, ...above] = mountsUnder(readMounts(kernel), path);
  const quiet = above.find((parent) => !isShared(parent));
  const unseen = hybrid && quiet !== undefined;
  if (mode === "private") return { unseen };
  const slave = under?.optional.some((o) => o.startsWith("master:")) === true;
  const point = under?.mountPoint ?? "/";
  const refuse = (reason: string) =>
    new NyxError("failed_precondition", `Could not bind ${source} with propagation ${propagation}: ${reason}`, {
      context: { field: "mounts", value: propagation },
    });
  if (!isShared(under) && !(mode === "slave" && slave)) {
    throw refuse(
      `it lies on the mount ${point}, which is ${slave ? "a slave" : "private"}; ` +
        `share that with "mount --make-shared ${point}", or leave ${propagation} out`,
    );
  }
  if (hybrid && mode === "shared") {
    throw refuse(
      "on hosts with both cgroup versions crun has a mount namespace of its own, from which no mount comes back; use rslave",
    );
  }
  if (unseen) {
    throw refuse(
      `the mount ${quiet?.mountPoint} above it is private, so that crun may not see it; ` +
        `share that with "mount --make-rshared ${quiet?.mountPoint}" and start nyxd again`,
    );
  }
  return { unseen };
}

/**
 * Binds a path of the host to overlay/<id>/mounts/<index>, which every namespace of nyx sees.
 *
 * @returns where it is bound
 */
export function bindSeen(
  kernel: FileKernel & MountKernel,
  request: { id: string; baseDir: string; index: number; source: string },
): string {
  const { dir } = overlayPaths(request.baseDir, request.id);
  using found = new OwnedFd(kernel, kernel.openat(AT_FDCWD, request.source, O.PATH | O.CLOEXEC));
  return bindOpened(kernel, dir, request.index, found.fd).source;
}

/** Binds what is open to overlay/<id>/mounts/<index>, with what is mounted below it. */
function bindOpened(
  kernel: FileKernel & MountKernel,
  dir: string,
  index: number,
  fd: number,
): { source: string; kind: "dir" | "file" } {
  const isDir = (kernel.fstat(fd).mode & S.IFMT) === S.IFDIR;
  const point = `${dir}/${CONTAINER_MOUNTS}/${index}`;
  if (mountAt(kernel, point) !== undefined) kernel.umount2(point, UMOUNT.DETACH | UMOUNT.NOFOLLOW);
  makePoint(kernel, dir, point, isDir);
  using tree = new OwnedFd(
    kernel,
    kernel.openTree(fd, "", OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | OPEN_TREE.EMPTY_PATH | OPEN_TREE.RECURSIVE),
  );
  // Else unmounting the copy would, through shared mounts, unmount what is below the original as well.
  kernel.mountSetattr(tree.fd, "", SETATTR.EMPTY_PATH | SETATTR.RECURSIVE, {
    set: 0,
    clear: 0,
    propagation: MS.PRIVATE,
  });
  kernel.moveMount(tree.fd, "", AT_FDCWD, point, MOVE_MOUNT.F_EMPTY_PATH);
  return { source: point, kind: isDir ? "dir" : "file" };
}

const FLAG_OPTIONS: Readonly<Record<string, { set: number } | { clear: number }>> = {
  ro: { set: MS.RDONLY },
  rw: { clear: MS.RDONLY },
  nosuid: { set: MS.NOSUID },
  suid: { clear: MS.NOSUID },
  nodev: { set: MS.NODEV },
  dev: { clear: MS.NODEV },
  noexec: { set: MS.NOEXEC },
  exec: { clear: MS.NOEXEC },
  bind: { set: MS.BIND },
  rbind: { set: MS.BIND | MS.REC },
  defaults: { clear: 0 },
};

/** Splits mount options into flags of mount(2) and data for the file system. */
export function parseMountOptions(text: string): { flags: number; data: string } {
  let flags = 0;
  const data: string[] = [];
  for (const option of text.split(",").filter((o) => o !== "")) {
    const known = Object.hasOwn(FLAG_OPTIONS, option) ? FLAG_OPTIONS[option] : undefined;
    if (known === undefined) data.push(option);
    else if ("set" in known) flags |= known.set;
    else flags &= ~known.clear;
  }
  return { flags, data: data.join(",") };
}

/**
 * Mounts a volume with driver options over its directory; one that is mounted already is kept.
 *
 * @throws NyxError failed_precondition with the kernel's reason
 */
export function mountVolume(
  kernel: FileKernel & MountKernel,
  request: { target: string; type: string; device: string; options: string },
): boolean {
  const target = checkAbsolute("volume", request.target);
  if (mountAt(kernel, target) !== undefined) return false;
  const { flags, data } = parseMountOptions(request.options);
  const bind = (flags & MS.BIND) !== 0;
  try {
    kernel.mount(request.device, target, bind ? undefined : request.type, flags & ~(bind ? MS.RDONLY : 0), data);
    // A bind takes its attributes only when mounted anew.
    if (bind && (flags & MS.RDONLY) !== 0) kernel.mount(undefined, target, undefined, MS.REMOUNT | MS.BIND | MS.RDONLY);
  } catch (e) {
    const what = `type=${request.type},device=${request.device},o=${request.options}`;
    throw new NyxError(
      "failed_precondition",
      `Could not mount the volume at ${target} (${what}): ${
        e instanceof Error ? e.message : String(e)
      }; check its driver options`,
      { cause: e, context: { field: "driverOptions", value: what } },
    );
  }
  return true;
}

/**
 * Binds a path inside a volume to overlay/<id>/mounts/<index>. The path is opened beneath the volume without following any link,
 * and the bind is made from that descriptor: what another container does to the volume afterwards changes nothing.
 *
 * @returns where it is bound, and what it is
 * @throws NyxError invalid_argument for a subpath that leaves the volume or holds a link; not_found for a missing one
 */
export function bindSubpath(
  kernel: FileKernel & MountKernel,
  request: { id: string; baseDir: string; index: number; volumeDir: string; subpath: string },
): { source: string; kind: "dir" | "file" } {
  const { dir } = overlayPaths(request.baseDir, request.id);
  const volumeDir = checkAbsolute("volumeDir", request.volumeDir);
  if (!Number.isInteger(request.index) || request.index < 0) throw invalid("index", request.index, "use a count");
  using volume = new OwnedFd(kernel, kernel.openat(AT_FDCWD, volumeDir, O.PATH | O.DIRECTORY | O.CLOEXEC));
  using found = openBeneath(kernel, volume.fd, request.subpath);
  return bindOpened(kernel, dir, request.index, found.fd);
}

/**
 * Mounts a tmpfs that containers can share as /dev/shm; one that is there is kept.
 *
 * @param dir overlay/<id>
 * @returns where it is
 */
export function mountShm(kernel: FileKernel & MountKernel, dir: string, sizeBytes: number): string {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) {
    throw invalid("shmSizeBytes", sizeBytes, "use a number of bytes");
  }
  const point = `${dir}/${CONTAINER_MOUNTS}/shm`;
  makePoint(kernel, dir, point, true);
  if (mountAt(kernel, point) === undefined) {
    kernel.mount("shm", point, "tmpfs", MS.NOSUID | MS.NODEV | MS.NOEXEC, `mode=1777,size=${sizeBytes}`);
  }
  return point;
}

function openBeneath(kernel: FileKernel, volumeFd: number, subpath: string): OwnedFd {
  if (subpath.startsWith("/") || subpath.includes("\0")) {
    throw invalid("subpath", subpath, "use a path relative to the volume");
  }
  try {
    const rules = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS;
    return new OwnedFd(kernel, kernel.openat2(volumeFd, subpath, O.PATH | O.CLOEXEC, rules));
  } catch (e) {
    if (isErrno(e, "ENOENT", "ENOTDIR")) {
      throw new NyxError(
        "not_found",
        `Could not mount subpath ${JSON.stringify(subpath)}: the volume has none; make it first`,
        {
          cause: e,
          context: { field: "subpath", value: subpath },
        },
      );
    }
    if (isErrno(e, "EXDEV", "ELOOP")) {
      throw invalid("subpath", subpath, "it must stay inside the volume and pass through no symbolic link");
    }
    throw e;
  }
}

function makePoint(kernel: FileKernel, dir: string, point: string, isDir: boolean): void {
  Deno.mkdirSync(`${dir}/${CONTAINER_MOUNTS}`, { recursive: true, mode: 0o700 });
  const there = tryStat(kernel, point);
  const isThere = there !== undefined && (there.mode & S.IFMT) === S.IFDIR;
  if (there !== undefined && isThere === isDir) return;
  if (there !== undefined) kernel.unlinkat(AT_FDCWD, point, isThere ? AT.REMOVEDIR : 0);
  if (isDir) kernel.mkdirat(AT_FDCWD, point, 0o700);
  else kernel.close(kernel.openat(AT_FDCWD, point, O.WRONLY | O.CREAT | O.CLOEXEC, 0o600));
}
