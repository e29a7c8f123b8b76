/** Looks up device nodes of the host for `--device` and `--privileged`. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { DeviceSpec } from "../../daemon/spec/container.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT, AT_FDCWD, type FileKernel, type FileStat, O, OwnedFd, S } from "../../ffi/file.ts";
import type { HostDevice } from "../protocol.ts";
import { checkAbsolute } from "./paths.ts";

/** Names in /dev that every container has its own of, or that are no device trees. */
const SKIPPED = new Set(["pts", "shm", "fd", "mqueue", "console", "ptmx", ".udev", ".lxc", ".lxd-mounts"]);
/** Deepest directory searched below a device path. */
const MAX_DEPTH = 8;

function toDevice(stat: FileStat, path: string, permissions: string): HostDevice | undefined {
  const type = stat.mode & S.IFMT;
  if (type !== S.IFCHR && type !== S.IFBLK) return undefined;
  return {
    path,
    type: type === S.IFCHR ? "c" : "b",
    major: stat.rdevMajor,
    minor: stat.rdevMinor,
    mode: stat.mode & 0o777,
    uid: stat.uid,
    gid: stat.gid,
    permissions,
  };
}

function search(
  kernel: FileKernel,
  dir: string,
  target: string,
  permissions: string,
  skip: ReadonlySet<string>,
  depth = 0,
): HostDevice[] {
  if (depth > MAX_DEPTH) return [];
  const found: HostDevice[] = [];
  using fd = new OwnedFd(kernel, kernel.openat(AT_FDCWD, dir, O.RDONLY | O.DIRECTORY | O.CLOEXEC));
  for (const { name, bytes } of kernel.readDirectory(fd.fd)) {
    if (skip.has(name)) continue;
    let stat: FileStat;
    try {
      stat = kernel.statx(fd.fd, bytes, AT.SYMLINK_NOFOLLOW);
    } catch (e) {
      if (isErrno(e, "ENOENT")) continue;
      throw e;
    }
    if ((stat.mode & S.IFMT) === S.IFDIR) {
      found.push(...search(kernel, `${dir}/${name}`, `${target}/${name}`, permissions, new Set(), depth + 1));
      continue;
    }
    const device = toDevice(stat, `${target}/${name}`, permissions);
    if (device !== undefined) found.push(device);
  }
  return found;
}

function lookUp(kernel: FileKernel, spec: DeviceSpec): HostDevice[] {
  const source = checkAbsolute("device", spec.source);
  const target = checkAbsolute("device", spec.target === "" ? spec.source : spec.target);
  const permissions = spec.permissions === "" ? "rwm" : spec.permissions;
  if (!/^[rwm]{1,3}$/.test(permissions)) throw invalid("device permissions", permissions, "use letters of rwm");
  let stat: FileStat;
  try {
    stat = kernel.statx(AT_FDCWD, source, 0);
  } catch (e) {
    if (!isErrno(e, "ENOENT", "ENOTDIR")) throw e;
    throw new NyxError("not_found", `Could not add device ${source}: the host has no such file`, {
      cause: e,
      context: { field: "devices", value: source },
    });
  }
  if ((stat.mode & S.IFMT) === S.IFDIR) {
    const found = search(kernel, source, target, permissions, new Set());
    if (found.length > 0) return found;
    throw invalid("device", source, "the directory holds no device");
  }
  const device = toDevice(stat, target, permissions);
  if (device === undefined) throw invalid("device", source, "it is neither a device nor a directory of devices");
  return [device];
}

/**
 * Device nodes for what was asked; links are followed, directories searched.
 *
 * @param all also every node below the host's /dev that is not a container's own
 * @throws NyxError not_found for a missing path; invalid_argument for one that is no device
 */
export function hostDevices(kernel: FileKernel, specs: readonly DeviceSpec[], all: boolean): HostDevice[] {
  const found = specs.flatMap((spec) => lookUp(kernel, spec));
  if (all) found.push(...search(kernel, "/dev", "/dev", "rwm", SKIPPED));
  return found;
}
