/**
 * crun refuses hosts that have v1 controllers and a v2 hierarchy with controllers beside them. This worker's thread therefore gets a
 * mount namespace of its own without the v2 mount; crun, spawned from here, sees plain v1. nyxd's other threads keep theirs.
 *
 * Order: directories whose later mounts must be seen here (overlay/, run/) have to be shared mount points before this runs.
 */

import { isErrno } from "../../ffi/errno.ts";
import { type MountKernel, MS, UMOUNT } from "../../ffi/mount.ts";
import { CLONE_NEWNS, type NamespaceKernel } from "../../ffi/namespace.ts";

const UNIFIED = "/sys/fs/cgroup/unified";

/** Leaves the host's mount namespace and hides the v2 hierarchy. Once for each worker; it cannot be undone. */
export function hideUnifiedHierarchy(
  kernel: Pick<NamespaceKernel, "unshare"> & Pick<MountKernel, "mount" | "umount2">,
): void {
  kernel.unshare(CLONE_NEWNS);
  kernel.mount(undefined, "/", undefined, MS.REC | MS.SLAVE);
  try {
    kernel.umount2(UNIFIED, UMOUNT.DETACH);
  } catch (e) {
    if (!isErrno(e, "EINVAL", "ENOENT")) throw e;
  }
}
