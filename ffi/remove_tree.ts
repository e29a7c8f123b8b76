/**
 * Removal of whole trees by descriptor: never follows a link, and takes trees deeper than PATH_MAX or the descriptor limit, which
 * a path-based removal cannot.
 */

import { isErrno } from "./errno.ts";
import { AT, type DirectoryEntry, type FileKernel, type FileStat, O, type PathArg, S, SEEK } from "./file.ts";

/** The calls that removal needs. */
export type RemovalKernel = Pick<
  FileKernel,
  "openat" | "close" | "lseek" | "readDirectory" | "statx" | "unlinkat" | "renameat2"
>;

/** Options of a removal. */
export interface RemoveTreeOptions {
  /** Told the attributes of everything but directories just before it goes; costs a statx each. */
  onRemove?: (stat: FileStat) => void;
}

/** Descriptors held at most; deeper directories are moved up to the top and dealt with there. */
const MAX_DEPTH = 64;
/** Entries between two yields. */
const SLICE = 512;
/** Tries at a directory that someone fills meanwhile. */
const MAX_PASSES = 16;

interface Level {
  fd: number;
  name: PathArg;
  entries: DirectoryEntry[];
  passes: number;
}

/**
 * Removes `name` below `dirFd`, in slices: iterate to the end, pausing where wanted. A missing name is no error.
 *
 * @param k kernel
 * @param dirFd directory that holds the tree, {@linkcode AT_FDCWD} for an absolute `name`
 * @param name tree, or single file
 * @param options see {@linkcode RemoveTreeOptions}
 * @returns whether anything was there
 * @throws SyscallError of the first removal that fails
 */
export function* removeTreeSlices(
  k: RemovalKernel,
  dirFd: number,
  name: PathArg,
  options: RemoveTreeOptions = {},
): Generator<void, boolean, void> {
  const root = tryOpen(k, dirFd, name);
  if (root === "missing") return false;
  if (root === "file") {
    removeFile(k, dirFd, name, options);
    return true;
  }
  const stack: Level[] = [{ fd: root, name, entries: k.readDirectory(root), passes: 0 }];
  let removed = 0;
  try {
    for (let level = stack.at(-1); level !== undefined; level = stack.at(-1)) {
      const entry = level.entries.pop();
      if (entry === undefined) {
        if (!removeEmptied(k, stack, dirFd)) continue;
      } else if (entry.type !== S.IFDIR && entry.type !== 0) {
        removeFile(k, level.fd, entry.bytes, options);
      } else if (stack.length < MAX_DEPTH) {
        descend(k, stack, level, entry, options);
      } else {
        k.renameat2(level.fd, entry.bytes, root, `.removed-${crypto.randomUUID()}`, 0);
        if (stack[0] !== undefined) stack[0].passes = 0;
      }
      if (++removed % SLICE === 0) yield;
    }
  } finally {
    for (const { fd } of stack) k.close(fd);
  }
  return true;
}

/** Removes a tree in one go; see {@linkcode removeTreeSlices}. */
export function removeTree(k: RemovalKernel, dirFd: number, name: PathArg, options?: RemoveTreeOptions): boolean {
  const slices = removeTreeSlices(k, dirFd, name, options);
  for (let step = slices.next();; step = slices.next()) if (step.done === true) return step.value;
}

function tryOpen(k: RemovalKernel, dirFd: number, name: PathArg): number | "missing" | "file" {
  try {
    return k.openat(dirFd, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.CLOEXEC);
  } catch (e) {
    if (isErrno(e, "ENOENT")) return "missing";
    if (isErrno(e, "ENOTDIR", "ELOOP")) return "file";
    throw e;
  }
}

function removeFile(k: RemovalKernel, dirFd: number, name: PathArg, options: RemoveTreeOptions): void {
  if (options.onRemove !== undefined) options.onRemove(k.statx(dirFd, name, AT.SYMLINK_NOFOLLOW));
  try {
    k.unlinkat(dirFd, name, 0);
  } catch (e) {
    if (!isErrno(e, "ENOENT")) throw e;
  }
}

function descend(
  k: RemovalKernel,
  stack: Level[],
  level: Level,
  entry: DirectoryEntry,
  options: RemoveTreeOptions,
): void {
  const fd = tryOpen(k, level.fd, entry.bytes);
  if (fd === "missing") return;
  if (fd === "file") removeFile(k, level.fd, entry.bytes, options);
  else stack.push({ fd, name: entry.bytes, entries: k.readDirectory(fd), passes: 0 });
}

/** Removes the emptied directory on top of the stack; false when it got new entries, which are then listed. */
function removeEmptied(k: RemovalKernel, stack: Level[], dirFd: number): boolean {
  const level = stack[stack.length - 1];
  if (level === undefined) return true;
  const parent = stack.length > 1 ? stack[stack.length - 2]?.fd ?? dirFd : dirFd;
  try {
    k.unlinkat(parent, level.name, AT.REMOVEDIR);
  } catch (e) {
    if (!isErrno(e, "ENOTEMPTY", "EEXIST") || ++level.passes > MAX_PASSES) {
      if (!isErrno(e, "ENOENT")) throw e;
    } else {
      k.lseek(level.fd, 0, SEEK.SET);
      level.entries = k.readDirectory(level.fd);
      return false;
    }
  }
  stack.pop();
  k.close(level.fd);
  return true;
}
