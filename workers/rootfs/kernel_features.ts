/** What `nyx doctor` asks the kernel, beyond what nyxd needs to know to start: read when somebody asks. */

import { isErrno } from "../../ffi/errno.ts";
import { kernelDirectory, tryReadKernelFile } from "../../ffi/kernel_files.ts";
import type { FileKernel } from "../../ffi/file.ts";
import type { KernelFeatures } from "../protocol.ts";

/** Programs that manage a firewall or containers of their own, by the names of their processes. */
const MANAGERS = ["firewalld", "dockerd", "podman", "containerd", "kubelet", "tailscaled", "libvirtd"];

function words(text: string | undefined): string[] {
  return (text ?? "").split(/\s+/).filter((w) => w !== "");
}

function number(text: string | undefined): number | undefined {
  const value = Number(text?.trim() || "NaN");
  return Number.isFinite(value) ? value : undefined;
}

function managers(kernel: FileKernel): string[] {
  const found = new Set<string>();
  for (const { name } of kernelDirectory(kernel, "/proc")) {
    if (!/^[1-9]\d*$/.test(name)) continue;
    const command = tryRead(kernel, `/proc/${name}/comm`)?.trim() ?? "";
    if (MANAGERS.includes(command)) found.add(command);
  }
  if (/^ENABLED=yes/m.test(tryRead(kernel, "/etc/ufw/ufw.conf") ?? "")) found.add("ufw");
  return [...found].sort();
}

/** A process may end, and a file be refused, while it is read. */
function tryRead(kernel: FileKernel, path: string): string | undefined {
  try {
    return tryReadKernelFile(kernel, path);
  } catch (e) {
    if (isErrno(e, "ESRCH", "EACCES", "EPERM", "ENOENT", "EINVAL")) return undefined;
    throw e;
  }
}

/** Reads them. */
export function readKernelFeatures(kernel: FileKernel): KernelFeatures {
  const read = (path: string) => tryRead(kernel, path);
  const limits = {
    inotifyInstances: number(read("/proc/sys/fs/inotify/max_user_instances")),
    pidMax: number(read("/proc/sys/kernel/pid_max")),
    keys: number(read("/proc/sys/kernel/keys/root_maxkeys")),
  };
  return {
    fileSystems: words(read("/proc/filesystems")).filter((w) => w !== "nodev"),
    namespaces: kernelDirectory(kernel, "/proc/self/ns").map((e) => e.name),
    seccomp: words(read("/proc/sys/kernel/seccomp/actions_avail")),
    limits: Object.fromEntries(Object.entries(limits).filter((e): e is [string, number] => e[1] !== undefined)),
    managers: managers(kernel),
  };
}
