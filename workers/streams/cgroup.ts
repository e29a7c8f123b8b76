/** The container's cgroup: where it is, who is in it, and whether the kernel killed for memory in it (cgroup-v1, -v2 docs). */

import { AT, AT_FDCWD, type FileKernel, O } from "../../ffi/file.ts";
import type { ProcessKernel } from "../../ffi/process.ts";
import { CONTAINER_ID } from "../../daemon/spec/container.ts";
import { EPOLL } from "../../ffi/poll.ts";
import { isErrno } from "../../ffi/errno.ts";
import { directory, tryReadText, writeText } from "./proc.ts";
import type { StreamsContext } from "./context.ts";

const ROOT = "/sys/fs/cgroup";
const SIGKILL = 9;
/** Tries, 20 ms apart, to remove a cgroup whose processes were killed. */
const REMOVAL_TRIES = 100;

/** Paths of a process's cgroups by controller; the v2 one under the name "". */
export function parseProcCgroup(content: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of content.split("\n")) {
    const m = /^\d+:([^:]*):(.*)$/.exec(line);
    if (m === null) continue;
    for (const controller of (m[1] ?? "").split(",")) paths.set(controller, m[2] ?? "/");
  }
  return paths;
}

/** Directory of a process's cgroup for memory and membership; undefined when the process is gone or is in the root. */
export function cgroupDir(pid: number, layout: StreamsContext["cgroup"]): string | undefined {
  const content = tryReadText(`/proc/${pid}/cgroup`);
  if (content === undefined) return undefined;
  const paths = parseProcCgroup(content);
  const path = layout === "v2" ? paths.get("") : paths.get("memory") ?? paths.get("pids");
  if (path === undefined || path === "/") return undefined;
  if (layout === "v2") return ROOT + path;
  return `${ROOT}/${paths.has("memory") ? "memory" : "pids"}${path}`;
}

/** Value of a key in a flat-keyed cgroup file. */
export function flatValue(content: string | undefined, key: string): number | undefined {
  const m = new RegExp(`^${key} (\\d+)$`, "m").exec(content ?? "");
  return m === null ? undefined : Number(m[1]);
}

/** Pids in a cgroup and those below it. */
export function cgroupPids(dir: string): number[] {
  const pids: number[] = [];
  for (const line of (tryReadText(`${dir}/cgroup.procs`) ?? "").split("\n")) if (line !== "") pids.push(Number(line));
  for (const entry of directory(dir)) if (entry.isDirectory) pids.push(...cgroupPids(`${dir}/${entry.name}`));
  return pids;
}

/** Removes a cgroup with those below it, where no process is in them; whether it is gone. */
function removeEmptyCgroup(kernel: Pick<FileKernel, "unlinkat">, path: string): boolean {
  for (const { name, isDirectory } of directory(path)) if (isDirectory) removeEmptyCgroup(kernel, `${path}/${name}`);
  try {
    kernel.unlinkat(AT_FDCWD, path, AT.REMOVEDIR);
    return true;
  } catch (e) {
    if (isErrno(e, "ENOENT", "ENOTDIR", "EBUSY", "ENOTEMPTY", "EPERM", "EROFS")) return false;
    throw e;
  }
}

/** Tries, 20 ms apart, to remove parents: the kernel may still be taking down what was below. */
const PARENT_TRIES = 10;
/** The same where no container is alive, and processes in them can only be on their way out. */
const PARENT_TRIES_UNUSED = 150;

/**
 * Removes the parent cgroup of all containers, and parents that containers asked for below it, from every hierarchy where they
 * are empty; crun makes them and leaves them. Ancestors of a parent with several components go as well while they are empty.
 *
 * @param used containers are alive below it, so that it is no use to wait for processes to go
 */
export async function removeCgroupParent(
  kernel: Pick<FileKernel, "unlinkat">,
  parent: string,
  used: boolean,
): Promise<void> {
  if (parent === "" || parent === "/") return;
  const roots = hierarchies();
  for (let tries = 1;; tries++) {
    for (const hierarchy of roots) {
      for (let path = parent; path !== "" && path !== "/"; path = path.slice(0, path.lastIndexOf("/"))) {
        if (!removeEmptyCgroup(kernel, `${hierarchy}${path}`)) break;
      }
    }
    const left = roots.map((root) => `${root}${parent}`).filter((dir) =>
      tryReadText(`${dir}/cgroup.procs`) !== undefined
    );
    if (left.length === 0 || tries >= (used ? PARENT_TRIES : PARENT_TRIES_UNUSED)) return;
    if (used && left.some((dir) => cgroupPids(dir).length > 0)) return;
    await new Promise((r) => setTimeout(r, 20));
  }
}

/** Roots of the hierarchies that this worker sees. */
function hierarchies(): string[] {
  const all = [ROOT, ...directory(ROOT).filter((e) => e.isDirectory).map((e) => `${ROOT}/${e.name}`)];
  return all.filter((root) => tryReadText(`${root}/cgroup.procs`) !== undefined);
}

/** Ids of containers that have a cgroup below one of the parents, in any hierarchy. */
export function containerCgroups(parents: readonly string[]): Set<string> {
  const dirs = hierarchies().flatMap((h) => parents.map((p) => `${h}${p}`));
  return new Set(dirs.flatMap((dir) => directory(dir)).map((e) => e.name).filter((n) => CONTAINER_ID.test(n)));
}

/** A cgroup and those below it, deepest first. */
function withDescendants(dir: string): string[] {
  return [...directory(dir).filter((e) => e.isDirectory).flatMap((e) => withDescendants(`${dir}/${e.name}`)), dir];
}

/**
 * Kills what is in the cgroups of a container that nobody knows any more, and removes them.
 *
 * @throws SyscallError EBUSY when a process does not end
 */
export async function removeContainerCgroups(
  { files, process }: Pick<StreamsContext, "files" | "process">,
  { id, parents }: { id: string; parents: readonly string[] },
): Promise<void> {
  const roots = hierarchies().flatMap((h) => parents.map((p) => `${h}${p}`))
    .filter((dir) => directory(dir).some((e) => e.name === id));
  for (const dir of roots.flatMap((root) => withDescendants(`${root}/${id}`))) {
    for (let tries = 0;; tries++) {
      for (const pid of cgroupPids(dir)) signalIfThere(process, pid);
      try {
        files.unlinkat(AT_FDCWD, dir, AT.REMOVEDIR);
        break;
      } catch (e) {
        if (isErrno(e, "ENOENT")) break;
        if (!isErrno(e, "EBUSY") || tries >= REMOVAL_TRIES) throw e;
        await new Promise((r) => setTimeout(r, 20));
      }
    }
  }
}

function signalIfThere(process: Pick<ProcessKernel, "kill">, pid: number): void {
  try {
    process.kill(pid, SIGKILL);
  } catch (e) {
    if (!isErrno(e, "ESRCH")) throw e;
  }
}

/** Watches one cgroup for kills by the out-of-memory killer. */
export interface OomWatch {
  /**
   * Whether a kill has happened, also right after the cgroup is gone.
   *
   * @param code what the container ended with
   * @param killed nyxd sent it a KILL, so that code 137 says nothing about memory
   */
  seen(code: number, killed: boolean): boolean;
  /** Ends the watch. */
  close(): void;
}

/** What a program ends with that a KILL ended. */
const KILLED = 137;
/** Limits from here on are none: the kernel gives the largest multiple of a page below 2^63. */
const V1_UNLIMITED = 2 ** 62;

const NO_WATCH: OomWatch = { seen: () => false, close: () => {} };

/**
 * Starts a watch; `onOom` is called once. A cgroup without a memory controller, or one that is already gone, is never seen
 * to run out of memory.
 */
export function watchOom(context: StreamsContext, dir: string | undefined, onOom: () => void): OomWatch {
  if (dir === undefined) return NO_WATCH;
  try {
    return context.cgroup === "v2" ? watchEvents(context, dir, onOom) : watchControl(context, dir, onOom);
  } catch (e) {
    if (isErrno(e, "ENOENT", "ENODEV", "EINVAL")) return NO_WATCH;
    throw e;
  }
}

/**
 * v2: memory.events is modified whenever one of its counters changes. When the group went away before it could be read after a
 * change, and the container was killed, memory is taken to be the reason.
 */
function watchEvents(context: StreamsContext, dir: string, onOom: () => void): OomWatch {
  const path = `${dir}/memory.events`;
  let seen = false;
  let unread = false;
  const look = () => {
    const content = tryReadText(path);
    if (content !== undefined) unread = false;
    if (seen || (flatValue(content, "oom_kill") ?? 0) === 0) return;
    seen = true;
    onOom();
  };
  const stop = context.watcher.watchFile(path, () => {
    unread = true;
    look();
  });
  look();
  return {
    seen: (code, killed) => {
      look();
      if (!seen && unread && code === KILLED && !killed) {
        seen = true;
        onOom();
      }
      return seen;
    },
    close: stop,
  };
}

/**
 * v1: an eventfd counts each time the group runs out of memory, and once some time after the group was removed. So a removed group that
 * counted twice ran out of memory before; and one that counted once, where it had a limit and was killed by nobody else.
 */
function watchControl(context: StreamsContext, dir: string, onOom: () => void): OomWatch {
  const { files, poll, loop } = context;
  const path = `${dir}/memory.oom_control`;
  let count = 0;
  let seen = false;
  const controlFd = files.openat(AT_FDCWD, path, O.RDONLY | O.CLOEXEC);
  const eventFd = poll.eventfd(0);
  try {
    writeText(`${dir}/cgroup.event_control`, `${eventFd} ${controlFd}`);
  } catch (e) {
    files.close(eventFd);
    throw e;
  } finally {
    files.close(controlFd);
  }
  let limited = false;
  const look = () => {
    count += poll.eventfdTake(eventFd);
    if (seen) return;
    const control = tryReadText(path);
    if (control !== undefined) limited = Number(tryReadText(`${dir}/memory.limit_in_bytes`)) < V1_UNLIMITED;
    const kills = flatValue(control, "oom_kill");
    seen = kills === undefined ? count >= 2 : kills > 0 || count > 0;
    if (seen) onOom();
  };
  const token = loop.add(eventFd, EPOLL.IN, look);
  look();
  let open = true;
  return {
    seen: (code, killed) => {
      if (open) look();
      if (!seen && limited && count > 0 && code === KILLED && !killed) {
        seen = true;
        onOom();
      }
      return seen;
    },
    close: () => {
      if (!open) return;
      open = false;
      loop.remove(token);
      files.close(eventFd);
    },
  };
}
