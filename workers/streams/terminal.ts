/**
 * Terminals of containers and execs: crun hands the master over on a console socket.
 *
 * A container's terminal must outlive nyxd, because the kernel hangs it up with its last open master. So a second process,
 * `sh -c 'read x'`, holds the master too, until a line arrives in the monitor's `hold` FIFO; a restarted nyxd finds it there
 * with pidfd_getfd.
 */

import { AT_FDCWD, F, O } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import { EPOLL } from "../../ffi/poll.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { removeFile } from "./monitor.ts";
import { tryReadLink, tryReadText } from "./proc.ts";
import { spawnSession } from "./spawn.ts";
import type { StreamsContext } from "./context.ts";

const MAX_SOCKET_PATH = 107;

/** A socket waiting for crun to hand over a terminal. */
export interface ConsoleSocket {
  path: string;
  /** The master, non-blocking, owned by the caller; never settles when crun fails before it sends. */
  master: Promise<number>;
  /** Closes and removes the socket. Idempotent. */
  close(): void;
}

/** Listens for one terminal on run/console/<name>.sock. */
export function listenConsole(context: StreamsContext, name: string): ConsoleSocket {
  const { tty, files, loop } = context;
  const path = `${context.baseDir}/run/console/${name.slice(0, 24)}.sock`;
  if (new TextEncoder().encode(path).length > MAX_SOCKET_PATH) {
    throw new NyxError(
      "failed_precondition",
      `Could not make the console socket ${
        JSON.stringify(path)
      }: it is longer than ${MAX_SOCKET_PATH} bytes; use a shorter --base-dir`,
    );
  }
  removeFile(files, path);
  const listenFd = tty.listenUnix(path);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  promise.catch(() => {});
  const open = new Map<number, number>();
  const drop = (fd: number) => {
    const token = open.get(fd);
    if (token === undefined) return;
    open.delete(fd);
    loop.remove(token);
    files.close(fd);
  };
  const onConnection = () => {
    const fd = tty.acceptUnix(listenFd);
    if (fd === undefined) return;
    const receive = () => {
      try {
        const master = tty.receiveDescriptor(fd);
        if (master === undefined) return;
        files.fcntl(master, F.SETFL, O.RDWR | O.NONBLOCK);
        resolve(master);
      } catch (e) {
        reject(e);
      }
      drop(fd);
    };
    open.set(fd, loop.add(fd, EPOLL.IN, receive));
  };
  open.set(listenFd, loop.add(listenFd, EPOLL.IN, onConnection));
  return {
    path,
    master: promise,
    close: () => {
      for (const fd of [...open.keys()]) drop(fd);
      removeFile(files, path);
    },
  };
}

/** Starts the process that holds a terminal's master until {@linkcode releaseTerminal}. */
export function holdTerminal(context: StreamsContext, dir: string, masterFd: number): void {
  const { files } = context;
  // Inherited by the one child that is spawned while the flag is off: spawning is synchronous on this thread.
  files.fcntl(masterFd, F.SETFD, 0);
  try {
    const child = spawnSession("exec 7<>hold; read -r x <&7", [], dir);
    Deno.writeTextFileSync(`${dir}/holder`, `${child.pid} ${masterFd}\n`, { mode: 0o600 });
    child.unref();
  } finally {
    files.fcntl(masterFd, F.SETFD, F.FD_CLOEXEC);
  }
}

/** Gets the master back from its holder; undefined when that is gone. */
export function reclaimTerminal(context: StreamsContext, dir: string): number | undefined {
  const { process, files } = context;
  const m = /^(\d+) (\d+)\n/.exec(tryReadText(`${dir}/holder`) ?? "");
  if (m === null) return undefined;
  const [pid, fd] = [Number(m[1]), Number(m[2])];
  let pidFd: number;
  try {
    pidFd = process.pidfdOpen(pid);
  } catch (e) {
    if (isErrno(e, "ESRCH", "EINVAL")) return undefined;
    throw e;
  }
  try {
    // The pid may have become somebody else's: only a terminal master of a holder in this directory counts.
    const link = tryReadLink(`/proc/${pid}/fd/${fd}`) ?? "";
    if (!/ptmx/.test(link) || tryReadLink(`/proc/${pid}/cwd`) !== Deno.realPathSync(dir)) return undefined;
    return process.pidfdGetfd(pidFd, fd);
  } catch (e) {
    if (e instanceof Deno.errors.NotFound || isErrno(e, "ESRCH", "EBADF")) return undefined;
    throw e;
  } finally {
    files.close(pidFd);
  }
}

/** Lets the holder go; no error when it is gone. */
export function releaseTerminal(context: StreamsContext, dir: string): void {
  writeLine(context, `${dir}/hold`);
}

/** Writes a line into a FIFO that somebody reads; false when nobody does. */
export function writeLine({ files }: StreamsContext, path: string): boolean {
  let fd: number;
  try {
    fd = files.openat(AT_FDCWD, path, O.WRONLY | O.NONBLOCK | O.CLOEXEC);
  } catch (e) {
    if (isErrno(e, "ENXIO", "ENOENT")) return false;
    throw e;
  }
  try {
    files.write(fd, LINE);
    return true;
  } finally {
    files.close(fd);
  }
}

const LINE = new TextEncoder().encode("\n");
