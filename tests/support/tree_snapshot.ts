/** Everything a file system tells about a tree, as comparable lines. */

import { createHash } from "node:crypto";
import {
  AT_FDCWD,
  type DirectoryEntry,
  type FileStat,
  O,
  OwnedFd,
  type PathArg,
  readToEnd,
  S,
} from "../../ffi/file.ts";
import { linuxFile } from "../../ffi/linux/file.ts";

/** What to leave out of a snapshot. */
export interface SnapshotOptions {
  /** Leave out modification times. */
  ignoreTimes?: boolean;
  /** Leave out times of directories alone: tools differ there. */
  ignoreDirectoryTimes?: boolean;
  /** Extended attributes to leave out. */
  ignoreXattrs?: RegExp;
}

const TYPES: Readonly<Record<number, string>> = {
  [S.IFREG]: "file",
  [S.IFDIR]: "dir",
  [S.IFLNK]: "link",
  [S.IFCHR]: "char",
  [S.IFBLK]: "block",
  [S.IFIFO]: "fifo",
  [S.IFSOCK]: "sock",
};
const MAX_FILE = 2 ** 31;

/** Name as text that keeps bytes which are not UTF-8 apart. */
function shown(entry: DirectoryEntry): string {
  return entry.name.includes("\ufffd")
    ? [...entry.bytes.subarray(0, -1)].map((b) => b.toString(16)).join("")
    : entry.name;
}

/**
 * One line for each entry below `root` and the root itself, sorted by path: type, mode, owner, size, time, device, link target, hard link
 * group, extended attributes, content hash.
 */
export function treeSnapshot(root: string, options: SnapshotOptions = {}): string[] {
  const k = linuxFile();
  const lines: string[] = [];
  const groups = new Map<string, string>();

  const describe = (path: string, s: FileStat, procPath: PathArg, fd: () => OwnedFd): string => {
    const type = TYPES[s.mode & S.IFMT] ?? "?";
    const parts = [path, type, (s.mode & 0o7777).toString(8), `${s.uid}:${s.gid}`];
    const dropTime = options.ignoreTimes || (type === "dir" && options.ignoreDirectoryTimes);
    if (!dropTime) parts.push(`t=${s.mtime.sec}.${String(s.mtime.nsec).padStart(9, "0")}`);
    if (type === "char" || type === "block") parts.push(`dev=${s.rdevMajor}:${s.rdevMinor}`);
    if (type === "link") parts.push(`-> ${new TextDecoder().decode(k.readlinkat(AT_FDCWD, procPath))}`);
    if (type !== "dir" && s.nlink > 1) {
      const key = `${s.devMajor}:${s.devMinor}:${s.ino}`;
      const first = groups.get(key) ?? path;
      groups.set(key, first);
      parts.push(`nlink=${s.nlink}`, `same as ${first}`);
    }
    if (type === "file") {
      using f = fd();
      const hash = createHash("sha256").update(readToEnd(k, f.fd, MAX_FILE)).digest("hex");
      parts.push(`size=${s.size}`, hash);
    }
    for (const name of k.llistxattr(procPath).sort()) {
      if (options.ignoreXattrs?.test(name)) continue;
      parts.push(`${name}=${[...k.lgetxattr(procPath, name) ?? []].map((b) => b.toString(16)).join(",")}`);
    }
    return parts.join(" ");
  };

  const walk = (dirFd: number, prefix: string): void => {
    const entries = k.readDirectory(dirFd).map((e) => ({ e, name: shown(e) }));
    entries.sort((a, b) => a.name < b.name ? -1 : 1);
    for (const { e, name } of entries) {
      const path = `${prefix}${name}`;
      const proc = new Uint8Array([...new TextEncoder().encode(`/proc/self/fd/${dirFd}/`), ...e.bytes]);
      const s = k.statx(dirFd, e.bytes, 0x100);
      const open = (flags: number) => new OwnedFd(k, k.openat(dirFd, e.bytes, flags | O.NOFOLLOW | O.CLOEXEC));
      lines.push(describe(path, s, proc, () => open(O.RDONLY)));
      if ((s.mode & S.IFMT) === S.IFDIR) {
        using sub = open(O.RDONLY | O.DIRECTORY);
        walk(sub.fd, `${path}/`);
      }
    }
  };

  using top = new OwnedFd(k, k.openat(AT_FDCWD, root, O.RDONLY | O.DIRECTORY | O.CLOEXEC));
  lines.push(describe(".", k.fstat(top.fd), root, () => top));
  walk(top.fd, "");
  return lines;
}

/** The first lines in which two snapshots differ, for a readable failure. */
export function snapshotDifference(a: string[], b: string[], limit = 10): string[] {
  const inB = new Set(b);
  const inA = new Set(a);
  return [...a.filter((l) => !inB.has(l)).map((l) => `- ${l}`), ...b.filter((l) => !inA.has(l)).map((l) => `+ ${l}`)]
    .sort((x, y) => x.slice(2) < y.slice(2) ? -1 : 1).slice(0, limit);
}
