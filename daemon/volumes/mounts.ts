/** Mount options of config.json for each kind of mount, checked. Pure. */

import type { MountSpec } from "../spec/container.ts";
import { invalid } from "../spec/errors.ts";

type BindSpec = Extract<MountSpec, { type: "bind" }>;
type TmpfsSpec = Extract<MountSpec, { type: "tmpfs" }>;

const PROPAGATIONS = new Set(["private", "rprivate", "shared", "rshared", "slave", "rslave"]);

/** Pairs of options where the later one wins. */
const OPPOSITES: readonly [string, string][] = [
  ["exec", "noexec"],
  ["suid", "nosuid"],
  ["dev", "nodev"],
  ["ro", "rw"],
  ["atime", "noatime"],
  ["diratime", "nodiratime"],
];

const TMPFS_FLAGS = new Set([...OPPOSITES.flat(), "relatime", "strictatime", "sync", "async"]);
const TMPFS_KEYS = /^(size|mode|uid|gid|nr_inodes|nr_blocks|huge|mpol)=[A-Za-z0-9_%:,.-]+$/;

/**
 * Checks a target and gives it in one spelling.
 *
 * @throws NyxError invalid_argument for a relative target, one with `..`, or the root
 */
export function cleanTarget(target: string): string {
  const parts = target.split("/").filter((p) => p !== "" && p !== ".");
  if (!target.startsWith("/") || parts.includes("..") || parts.length === 0 || target.includes("\0")) {
    throw invalid("mount target", target, "use an absolute path below the root, without ..");
  }
  return `/${parts.join("/")}`;
}

/**
 * Options of a bind mount. A read-only directory is so for what is mounted below it, too.
 *
 * @param kind what the source is; a file has nothing below it, and crun refuses `rro` for one
 */
export function bindOptions(spec: Pick<BindSpec, "readOnly" | "bind">, kind: "dir" | "file"): string[] {
  const propagation = spec.bind?.propagation ?? "rprivate";
  if (!PROPAGATIONS.has(propagation)) {
    throw invalid("bind propagation", propagation, `use one of ${[...PROPAGATIONS].join(", ")}`);
  }
  const recursive = kind === "dir" && spec.bind?.nonRecursive !== true;
  const access = spec.readOnly !== true ? ["rw"] : recursive ? ["ro", "rro"] : ["ro"];
  return [recursive ? "rbind" : "bind", propagation, ...access];
}

/**
 * Options of a tmpfs: noexec, nosuid and nodev unless undone by name; unknown options are refused.
 *
 * @throws NyxError invalid_argument
 */
export function tmpfsOptions(spec: TmpfsSpec): string[] {
  const options = new Map(["nosuid", "nodev", "noexec"].map((o) => [o, o]));
  const set = (option: string) => {
    const pair = OPPOSITES.find((p) => p.includes(option));
    for (const other of pair ?? []) options.delete(other);
    options.set(option.includes("=") ? option.slice(0, option.indexOf("=")) : option, option);
  };
  for (const option of spec.options ?? []) {
    if (!TMPFS_FLAGS.has(option) && !TMPFS_KEYS.test(option)) {
      throw invalid("tmpfs option", option, "tmpfs knows size=, mode=, uid=, gid=, nr_inodes=, exec, suid, dev, ro");
    }
    set(option);
  }
  if (spec.sizeBytes !== undefined && spec.sizeBytes > 0) {
    if (!Number.isSafeInteger(spec.sizeBytes)) throw invalid("tmpfs size", spec.sizeBytes, "use a number of bytes");
    set(`size=${spec.sizeBytes}`);
  }
  if (spec.mode !== undefined) {
    if (!Number.isInteger(spec.mode) || spec.mode < 0 || spec.mode > 0o7777) {
      throw invalid("tmpfs mode", spec.mode, "use an octal mode such as 1777");
    }
    set(`mode=${spec.mode.toString(8)}`);
  }
  if (spec.readOnly === true) set("ro");
  return [...options.values()];
}
