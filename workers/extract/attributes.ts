/** Owner, mode, extended attributes and times of what a layer holds, in the order the kernel needs. */

import { isErrno } from "../../ffi/errno.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { AT, AT_FDCWD, type FileKernel, O, S, type Timespec } from "../../ffi/file.ts";
import { toPath } from "./byte_string.ts";
import type { TarEntry } from "./tar/entry.ts";

/** Marks a directory of a lower layer whose contents below it are hidden (kernel: overlayfs.rst, "whiteouts and opaque directories"). */
export const OPAQUE_XATTR = "trusted.overlay.opaque";

/**
 * Attributes that an archive must not set: overlayfs's own would redirect lookups or hide files, and security labels and
 * integrity records belong to the host that wrote them.
 */
const LEFT_OUT = /^(trusted\.overlay\.|user\.overlay\.|security\.(selinux|ima|evm|apparmor|SMACK64))/;

/** Where attributes are set: an open descriptor, or a name below a directory (links, devices and FIFOs are not opened). */
export type Target = { fd: number } | { dirFd: number; base: string };

/** Path that reaches `base` below a descriptor for calls that take no directory descriptor. */
export function procPath(dirFd: number, base: string): Uint8Array<ArrayBuffer> {
  return toPath(`/proc/self/fd/${dirFd}/${base}`);
}

/**
 * Sets the extended attributes, after the owner: chown(2) drops security.capability. Attributes that the file system or the type
 * of file cannot have (user.* on a link or device) are left out, as tar does; a capability that cannot be set is an error.
 */
export function setXattrs(k: FileKernel, target: Target, xattrs: TarEntry["xattrs"]): void {
  for (const [name, value] of xattrs) {
    if (LEFT_OUT.test(name)) continue;
    try {
      if ("fd" in target) k.fsetxattr(target.fd, name, value);
      else k.lsetxattr(procPath(target.dirFd, target.base), name, value);
    } catch (e) {
      if (name === "security.capability" || !isErrno(e, "EOPNOTSUPP", "EPERM")) throw e;
    }
  }
}

/**
 * Sets the mode of a device or FIFO. A running container could put a link in its place, which chmod(2) by name would follow to the
 * host: so it is held first, and changed only when it is no link.
 */
export function setNodeMode(k: FileKernel, dirFd: number, path: Uint8Array<ArrayBuffer>, mode: number): void {
  const fd = k.openat(dirFd, path, O.PATH | O.NOFOLLOW | O.CLOEXEC);
  try {
    if ((k.fstat(fd).mode & S.IFMT) === S.IFLNK) {
      throw new NyxError("failed_precondition", "A file was replaced by a link while it was made");
    }
    k.fchmodat(AT_FDCWD, `/proc/self/fd/${fd}`, mode);
  } finally {
    k.close(fd);
  }
}

/** Sets owner, mode (but of a link), extended attributes and times of a node that is never opened. */
export function setNodeAttributes(k: FileKernel, dirFd: number, base: string, entry: TarEntry): void {
  const path = toPath(base);
  k.fchownat(dirFd, path, entry.uid, entry.gid, AT.SYMLINK_NOFOLLOW);
  if (entry.type !== "symlink") setNodeMode(k, dirFd, path, entry.mode);
  if (entry.xattrs.length > 0) setXattrs(k, { dirFd, base }, entry.xattrs);
  k.utimensat(dirFd, path, accessTime(entry), entry.mtime, AT.SYMLINK_NOFOLLOW);
}

/** Access time to set: the archive's, else the modification time, so that equal layers come out equal. */
export function accessTime(entry: TarEntry): Timespec {
  return entry.atime ?? entry.mtime;
}
