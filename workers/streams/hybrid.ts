/**
 * crun refuses hosts that have v1 controllers and a v2 hierarchy with controllers beside them. This worker's thread therefore gets a
 * mount namespace of its own without the v2 mount; crun, spawned from here, sees plain v1. nyxd's other threads keep theirs.
 *
 * crun then takes the empty directory for a hierarchy all the same and makes files there, which are nobody's: they go into a tmpfs of
 * this worker alone, and with the container that they were made for.
 *
 * Order: directories whose later mounts must be seen here (overlay/, run/) have to be shared mount points before this runs.
 */

import { AT, AT_FDCWD, type FileKernel } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import { type MountKernel, MS, UMOUNT } from "../../ffi/mount.ts";
import { CLONE_NEWNS, type NamespaceKernel } from "../../ffi/namespace.ts";
import { directory } from "./proc.ts";

const CGROUPS = "/sys/fs/cgroup";
const UNIFIED = `${CGROUPS}/unified`;
/** Room for the files of some thousand containers at a time. */
const TMPFS_OPTIONS = "size=16m,mode=0755";
/** Directories between the top and a container's that are looked through for it. */
const MAX_DEPTH = 5;

/** Leaves the host's mount namespace and hides the v2 hierarchy. Once for each worker; it cannot be undone. */
export function hideUnifiedHierarchy(
  kernel: Pick<NamespaceKernel, "unshare"> & Pick<MountKernel, "mount" | "umount2">,
): void {
  kernel.unshare(CLONE_NEWNS);
  kernel.mount(undefined, "/", undefined, MS.REC | MS.SLAVE);
  try {
    kernel.umount2(UNIFIED, UMOUNT.DETACH);
  } catch (e) {
    if (isErrno(e, "EINVAL", "ENOENT")) return;
    throw e;
  }
  kernel.mount("tmpfs", UNIFIED, "tmpfs", 0, TMPFS_OPTIONS);
}

/**
 * Removes what crun made for a container in the place of the hidden hierarchy.
 *
 * @param cgroup the container's directory in one of the real hierarchies; of a container that ended before anybody could look it is
 * not known, and looked for by the id
 */
export function removeHiddenCgroup(files: Pick<FileKernel, "unlinkat">, id: string, cgroup?: string): void {
  const path = /^\/sys\/fs\/cgroup\/[^/]+(\/.+)$/.exec(cgroup ?? "")?.[1];
  const dir = path === undefined ? findHidden(UNIFIED, id, MAX_DEPTH) : `${UNIFIED}${path}`;
  if (dir === undefined) return;
  for (const [name, flags] of [[`${dir}/cgroup.procs`, 0], [dir, AT.REMOVEDIR]] as const) {
    try {
      files.unlinkat(AT_FDCWD, name, flags);
    } catch (e) {
      if (!isErrno(e, "ENOENT", "ENOTDIR", "EBUSY", "ENOTEMPTY", "EPERM")) throw e;
    }
  }
}

function findHidden(dir: string, id: string, depth: number): string | undefined {
  const below = directory(dir).filter((e) => e.isDirectory);
  if (below.some((e) => e.name === id)) return `${dir}/${id}`;
  if (depth === 0) return undefined;
  for (const { name } of below) {
    const found = findHidden(`${dir}/${name}`, id, depth - 1);
    if (found !== undefined) return found;
  }
  return undefined;
}
