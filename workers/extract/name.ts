/** Names of archive members, made safe as far as words can: the kernel's RESOLVE_IN_ROOT does the rest. */

import { refused } from "./tar/errors.ts";

/** PATH_MAX and NAME_MAX (linux/limits.h), the first with its NUL. */
const PATH_MAX = 4096;
const NAME_MAX = 255;

/** Prefix of a whiteout (OCI image-spec, layer.md) and of AUFS's own metadata. */
export const WHITEOUT = ".wh.";
const AUFS_META = ".wh..wh.";
/** Base name of an opaque mark. */
export const OPAQUE = ".wh..wh..opq";

/**
 * The name as a path below the layer's root: no leading slash, no empty, . or .. components; "" is the root itself. As in
 * Docker, a leading slash means the root of the layer, and a/../b is b.
 *
 * @param name byte string as stored
 * @param entry name for the error, when `name` is a link's target
 * @throws NyxError invalid_argument when .. leaves the root, or the name is longer than the kernel takes
 */
export function cleanName(name: string, entry: string = name): string {
  if (name.includes("\0")) throw refused(entry, "its name holds a NUL");
  const out: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      if (out.pop() === undefined) throw refused(entry, "its path leaves the layer's root by ..");
      continue;
    }
    if (part.length > NAME_MAX) {
      throw refused(entry, `a part of its path is ${part.length} bytes long; file systems take ${NAME_MAX}`);
    }
    out.push(part);
  }
  const path = out.join("/");
  if (path.length >= PATH_MAX) {
    throw refused(entry, `its path is ${path.length} bytes long; the kernel takes ${PATH_MAX - 1}`);
  }
  return path;
}

/** Parent ("" for the root) and last component of a clean, non-empty path. */
export function splitName(path: string): { parent: string; base: string } {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? { parent: "", base: path } : { parent: path.slice(0, slash), base: path.slice(slash + 1) };
}

/** Path of a name below a clean parent. */
export function joinName(parent: string, base: string): string {
  return parent === "" ? base : `${parent}/${base}`;
}

/** What a clean path means for an overlay. */
export type Meaning =
  | { kind: "entry" }
  /** Hides `base` of the lower layers. */
  | { kind: "whiteout"; base: string }
  /** Hides everything lower layers have in the parent directory. */
  | { kind: "opaque" }
  /** AUFS bookkeeping, to be left out. */
  | { kind: "metadata" };

/**
 * Reads whiteout names.
 *
 * @param path clean path
 * @param base its last component
 * @throws NyxError invalid_argument for a whiteout of nothing, of ., of .., or one used as a directory
 */
export function meaningOf(path: string, base: string): Meaning {
  if (!path.includes(WHITEOUT)) return { kind: "entry" };
  const directories = path.split("/").slice(0, -1);
  if (directories.some((d) => d.startsWith(AUFS_META))) return { kind: "metadata" };
  if (directories.some((d) => d.startsWith(WHITEOUT))) {
    throw refused(path, "a whiteout stands in the middle of its path");
  }
  if (base === OPAQUE) return { kind: "opaque" };
  if (base.startsWith(AUFS_META)) return { kind: "metadata" };
  if (!base.startsWith(WHITEOUT)) return { kind: "entry" };
  const target = base.slice(WHITEOUT.length);
  if (target === "" || target === "." || target === "..") {
    throw refused(path, `it is a whiteout of ${target === "" ? "nothing" : JSON.stringify(target)}`);
  }
  return { kind: "whiteout", base: target };
}
