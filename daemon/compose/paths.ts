/** Paths of compose files: relative to a project directory, `~` for the home directory, URLs left alone. */

import { cleanAbsolute } from "../spec/parse/paths.ts";

/** What relative paths start from. */
export interface PathBase {
  /** Absolute directory. */
  dir: string;
  /** What `~` means; missing leaves it as it is. */
  home?: string;
}

/** Whether a build context is a URL or a Git address instead of a directory. */
export function isRemoteContext(text: string): boolean {
  return /^(https?|git|ssh|github\.com|docker-image|target|oci-layout|service|git@)[:/@]/.test(text) ||
    /^git@[^:]+:/.test(text) || /^[a-z][a-z0-9+.-]*:\/\//.test(text);
}

/** Absolute, clean path. */
export function resolvePath(text: string, base: PathBase): string {
  if (base.home !== undefined && (text === "~" || text.startsWith("~/"))) {
    return cleanAbsolute(base.home + text.slice(1));
  }
  return text.startsWith("/") ? cleanAbsolute(text) : cleanAbsolute(`${base.dir}/${text}`);
}

/** Directory of an absolute path. */
export function dirname(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash <= 0 ? "/" : path.slice(0, slash);
}

/** Last part of a path. */
export function basename(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
