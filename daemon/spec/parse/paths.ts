/** Paths in text, without touching a file system: POSIX only. */

import { invalid } from "../errors.ts";

/** Absolute path without `.`, `..`, empty and trailing parts. */
export function cleanAbsolute(path: string): string {
  const out: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") out.pop();
    else out.push(part);
  }
  return `/${out.join("/")}`;
}

/** A path inside a container: absolute, cleaned, never the root itself. */
export function parseTarget(path: string, field: string): string {
  if (path.includes("\0")) throw invalid(field, path, "a path cannot hold a NUL byte");
  if (!path.startsWith("/")) throw invalid(field, path, "the path in the container must be absolute (start with /)");
  const clean = cleanAbsolute(path);
  if (clean === "/") throw invalid(field, path, "the container's / cannot be mounted over; name a directory below it");
  return clean;
}

/** A cgroup below the root of each hierarchy, such as `/web`: cleaned, never a way up. */
export function parseCgroupParent(path: string, field = "cgroup-parent"): string {
  if (path.includes("\0") || path.split("/").includes("..")) {
    throw invalid(field, path, "a cgroup path has no .. in it, such as /web");
  }
  const clean = cleanAbsolute(path);
  if (clean === "/") throw invalid(field, path, "name a cgroup below the root, such as /web");
  return clean;
}

/** A path on the host, cleaned; a relative one is taken from `cwd`, and refused without it. */
export function parseHostPath(path: string, field: string, cwd?: string): string {
  if (path.includes("\0")) throw invalid(field, path, "a path cannot hold a NUL byte");
  if (path.startsWith("/")) return cleanAbsolute(path);
  if (cwd === undefined || path === "") {
    throw invalid(field, path, "the path on the host must be absolute (start with /)");
  }
  return cleanAbsolute(`${cwd}/${path}`);
}
