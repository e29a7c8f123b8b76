/**
 * crun cannot pivot_root for a daemon whose root is not the root of its mount namespace; it then falls back to chroot, and a
 * process that `exec` brings in later sees the host's root, not the container's. So nyxd does not work in a chroot.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { AT_FDCWD, type FileKernel, O } from "../../ffi/file.ts";
import { CLONE_FS, CLONE_NEWNS, type NamespaceKernel } from "../../ffi/namespace.ts";

/** What the check calls. */
export type ChrootKernel =
  & Pick<NamespaceKernel, "unshare" | "setns" | "openNamespace" | "closeNamespace">
  & Pick<FileKernel, "openat" | "close" | "readlinkat">;

/**
 * Enters this thread's own mount namespace anew, which takes its root back to the namespace's (setns(2)), and asks the kernel
 * where the old root lies as seen from there. Afterwards the thread has a current directory of its own, `/`.
 *
 * @throws NyxError failed_precondition when the root was another; the thread is then outside and must end
 */
export function refuseChroot(kernel: ChrootKernel): void {
  const root = kernel.openat(AT_FDCWD, "/", O.PATH | O.DIRECTORY | O.CLOEXEC);
  try {
    kernel.unshare(CLONE_FS);
    const namespace = kernel.openNamespace("/proc/thread-self/ns/mnt");
    try {
      kernel.setns(namespace, CLONE_NEWNS);
    } finally {
      kernel.closeNamespace(namespace);
    }
    const path = new TextDecoder().decode(kernel.readlinkat(AT_FDCWD, `/proc/thread-self/fd/${root}`));
    if (path === "/") return;
    throw new NyxError(
      "failed_precondition",
      `Could not start in a chroot (${path}): programs that exec brings into a container would see the host's root; ` +
        "boot the system, or enter its directory with pivot_root",
    );
  } finally {
    kernel.close(root);
  }
}
