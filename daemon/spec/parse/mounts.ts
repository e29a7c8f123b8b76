/** Mount flags with Docker's grammar: `-v [SOURCE:]TARGET[:OPTIONS]`, `--mount KEY=VALUE,…` and `--tmpfs TARGET[:OPTIONS]`. */

import type { BindOptions, MountSpec } from "../container.ts";
import { OBJECT_NAME } from "../container.ts";
import { invalid } from "../errors.ts";
import { parseBool, parseCsvLine } from "./csv.ts";
import { parseHostPath, parseTarget } from "./paths.ts";
import { parseSize } from "./size.ts";

/** What relative host paths are taken from. */
export interface MountParseOptions {
  /** Absolute directory; without it relative host paths are refused. */
  cwd?: string;
}

/** Values of mount propagation. */
export type Propagation = NonNullable<BindOptions["propagation"]>;

const PROPAGATIONS: readonly string[] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

function isPropagation(text: string): text is Propagation {
  return PROPAGATIONS.includes(text);
}

function volumeName(text: string, whole: string, field: string): string {
  if (!OBJECT_NAME.test(text)) {
    throw invalid(
      field,
      whole,
      `"${text}" is neither a path (start it with / or ./) nor a volume name ([a-zA-Z0-9][a-zA-Z0-9_.-]*)`,
    );
  }
  return text;
}

interface VolumeFlagOptions {
  readOnly?: boolean;
  propagation?: Propagation;
  noCopy?: boolean;
}

/** Options after the second colon of `-v`. z, Z (SELinux labels; nyx runs no SELinux policy) and the consistency words of macOS change nothing. */
function parseVolumeOptions(text: string, whole: string, field: string): VolumeFlagOptions {
  const out: VolumeFlagOptions = {};
  for (const option of text.split(",")) {
    if (option === "ro" || option === "rw") {
      if (out.readOnly !== undefined) throw invalid(field, whole, "give ro or rw once");
      out.readOnly = option === "ro";
    } else if (isPropagation(option)) {
      if (out.propagation !== undefined) throw invalid(field, whole, "give one propagation only");
      out.propagation = option;
    } else if (option === "nocopy") {
      out.noCopy = true;
    } else if (!["z", "Z", "cached", "delegated", "consistent", "default"].includes(option)) {
      throw invalid(
        field,
        whole,
        `unknown option "${option}"; known are ro, rw, nocopy, z, Z and ${PROPAGATIONS.join(", ")}`,
      );
    }
  }
  return out;
}

/**
 * One `-v` value. A source that starts with `/` or `.` is a host directory (made when missing); any other is a
 * volume's name; none is a new anonymous volume.
 *
 * @throws NyxError invalid_argument
 */
export function parseVolume(text: string, options: MountParseOptions = {}, field = "volume"): MountSpec {
  const parts = text.split(":");
  if (parts.length > 3 || parts.some((part) => part === "")) {
    throw invalid(field, text, "write [SOURCE:]TARGET[:OPTIONS]; paths with a colon need --mount");
  }
  if (parts.length === 1) return { type: "volume", target: parseTarget(text, field) };
  const [source = "", targetText = "", optionText] = parts;
  const target = parseTarget(targetText, field);
  const flags = optionText === undefined ? {} : parseVolumeOptions(optionText, text, field);
  if (source.startsWith("/") || source.startsWith(".")) {
    if (flags.noCopy) {
      throw invalid(field, text, "nocopy is for volumes; a host directory is never filled from the image");
    }
    const bind: BindOptions = { createSource: true };
    if (flags.propagation !== undefined) bind.propagation = flags.propagation;
    return withReadOnly(
      { type: "bind", source: parseHostPath(source, field, options.cwd), target, bind },
      flags.readOnly,
    );
  }
  if (flags.propagation !== undefined) {
    throw invalid(field, text, "propagation is for host directories, not for volumes");
  }
  const mount: MountSpec = { type: "volume", source: volumeName(source, text, field), target };
  if (flags.noCopy) mount.noCopy = true;
  return withReadOnly(mount, flags.readOnly);
}

function withReadOnly<M extends MountSpec>(mount: M, readOnly: boolean | undefined): M {
  if (readOnly === true) mount.readOnly = true;
  return mount;
}

/** Values of one `--mount`, key by key, with repeatable keys collected. */
interface MountFields {
  single: Map<string, string>;
  repeated: Map<string, [string, string][]>;
}

const ALIASES: Readonly<Record<string, string>> = {
  src: "source",
  dst: "target",
  destination: "target",
  ro: "readonly",
  "bind-create-src": "bind-create-source",
};
const FLAGS = new Set(["readonly", "volume-nocopy", "bind-nonrecursive", "bind-create-source"]);
const COMMON = ["type", "source", "target", "readonly", "consistency"];
const KEYS: Readonly<Record<MountSpec["type"], readonly string[]>> = {
  bind: ["bind-propagation", "bind-nonrecursive", "bind-recursive", "bind-create-source"],
  volume: ["volume-nocopy", "volume-subpath", "volume-driver", "volume-opt", "volume-label"],
  tmpfs: ["tmpfs-size", "tmpfs-mode"],
};

function readMountFields(text: string, field: string): MountFields {
  const single = new Map<string, string>();
  const repeated = new Map<string, [string, string][]>();
  for (const part of parseCsvLine(text, field)) {
    const equals = part.indexOf("=");
    const rawKey = (equals < 0 ? part : part.slice(0, equals)).trim().toLowerCase();
    const key = ALIASES[rawKey] ?? rawKey;
    if (equals < 0 && !FLAGS.has(key)) throw invalid(field, text, `"${part}" needs a value: ${part}=…`);
    const value = equals < 0 ? "true" : part.slice(equals + 1);
    if (key === "volume-opt" || key === "volume-label") {
      const at = value.indexOf("=");
      if (at === 0) throw invalid(field, text, `${key} takes KEY=VALUE`);
      const pair: [string, string] = at < 0 ? [value, ""] : [value.slice(0, at), value.slice(at + 1)];
      repeated.set(key, [...(repeated.get(key) ?? []), pair]);
    } else if (single.has(key)) {
      throw invalid(field, text, `"${key}" is given twice`);
    }
    single.set(key, value);
  }
  return { single, repeated };
}

function bindMount(
  fields: MountFields,
  target: string,
  text: string,
  options: MountParseOptions,
  field: string,
): MountSpec {
  const source = fields.single.get("source");
  if (source === undefined) throw invalid(field, text, "a bind mount needs source=/path/on/the/host");
  const bind: BindOptions = {};
  const propagation = fields.single.get("bind-propagation");
  if (propagation !== undefined) {
    if (!isPropagation(propagation)) {
      throw invalid(field, text, `bind-propagation is one of ${PROPAGATIONS.join(", ")}`);
    }
    bind.propagation = propagation;
  }
  const nonRecursive = fields.single.get("bind-nonrecursive");
  if (nonRecursive !== undefined && parseBool(nonRecursive, field)) bind.nonRecursive = true;
  const recursive = fields.single.get("bind-recursive");
  if (recursive === "disabled") bind.nonRecursive = true;
  else if (recursive !== undefined && recursive !== "enabled") {
    throw invalid(
      field,
      text,
      "bind-recursive is enabled or disabled; read-only submounts (writable, readonly) are not supported",
    );
  }
  const create = fields.single.get("bind-create-source");
  if (create !== undefined && parseBool(create, field)) bind.createSource = true;
  return { type: "bind", source: parseHostPath(source, field, options.cwd), target, bind };
}

function volumeMount(fields: MountFields, target: string, text: string, field: string): MountSpec {
  const mount: MountSpec = { type: "volume", target };
  const source = fields.single.get("source");
  if (source !== undefined && source !== "") mount.source = volumeName(source, text, field);
  const noCopy = fields.single.get("volume-nocopy");
  if (noCopy !== undefined && parseBool(noCopy, field)) mount.noCopy = true;
  const subpath = fields.single.get("volume-subpath");
  if (subpath !== undefined) {
    if (subpath === "" || subpath.startsWith("/") || subpath.split("/").includes("..")) {
      throw invalid(field, text, "volume-subpath is a relative path inside the volume, without ..");
    }
    mount.subpath = subpath;
  }
  const driver = fields.single.get("volume-driver");
  if (driver !== undefined) mount.driver = driver;
  const driverOptions = fields.repeated.get("volume-opt");
  if (driverOptions !== undefined) mount.driverOptions = Object.fromEntries(driverOptions);
  const labels = fields.repeated.get("volume-label");
  if (labels !== undefined) mount.labels = Object.fromEntries(labels);
  return mount;
}

function parseMode(text: string, whole: string, field: string): number {
  if (!/^0?[0-7]{1,4}$/.test(text)) throw invalid(field, whole, "a mode is octal, such as 1777 or 0755");
  return Number.parseInt(text, 8);
}

function tmpfsMount(fields: MountFields, target: string, text: string, field: string): MountSpec {
  if (fields.single.has("source")) throw invalid(field, text, "a tmpfs has no source");
  const mount: MountSpec = { type: "tmpfs", target };
  const size = fields.single.get("tmpfs-size");
  if (size !== undefined) mount.sizeBytes = parseSize(size, field);
  const mode = fields.single.get("tmpfs-mode");
  if (mode !== undefined) mount.mode = parseMode(mode, text, field);
  return mount;
}

/**
 * One `--mount` value. The type defaults to volume; a bind's source must exist unless `bind-create-src` is given.
 *
 * @throws NyxError invalid_argument: unknown or doubled keys, keys of another type, missing source or target
 */
export function parseMount(text: string, options: MountParseOptions = {}, field = "mount"): MountSpec {
  const fields = readMountFields(text, field);
  const type = fields.single.get("type") ?? "volume";
  if (type !== "bind" && type !== "volume" && type !== "tmpfs") {
    throw invalid(field, text, `type "${type}" is not supported; use bind, volume or tmpfs`);
  }
  for (const key of fields.single.keys()) {
    if (COMMON.includes(key) || KEYS[type].includes(key)) continue;
    throw invalid(
      field,
      text,
      `"${key}" is not an option of a ${type} mount (${[...COMMON, ...KEYS[type]].join(", ")})`,
    );
  }
  const targetText = fields.single.get("target");
  if (targetText === undefined) throw invalid(field, text, "target=/path/in/the/container is missing");
  const target = parseTarget(targetText, field);
  const mount = type === "bind"
    ? bindMount(fields, target, text, options, field)
    : type === "volume"
    ? volumeMount(fields, target, text, field)
    : tmpfsMount(fields, target, text, field);
  const readOnly = fields.single.get("readonly");
  return withReadOnly(mount, readOnly !== undefined && parseBool(readOnly, field));
}

/** tmpfs words that crun and the kernel take as they are (mount(8), tmpfs(5)). */
const TMPFS_WORDS = new Set(
  "ro rw exec noexec suid nosuid dev nodev sync async dirsync atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime mand nomand private rprivate shared rshared slave rslave"
    .split(" "),
);

/** One `--tmpfs TARGET[:OPTIONS]` value; options as of mount(8) for tmpfs. */
export function parseTmpfs(text: string, field = "tmpfs"): MountSpec {
  const colon = text.indexOf(":");
  const mount: MountSpec = { type: "tmpfs", target: parseTarget(colon < 0 ? text : text.slice(0, colon), field) };
  if (colon < 0 || colon === text.length - 1) return mount;
  const options: string[] = [];
  for (const option of text.slice(colon + 1).split(",")) {
    const [key = "", value] = option.split("=", 2);
    if (key === "size" && value !== undefined && !value.endsWith("%")) mount.sizeBytes = parseSize(value, field);
    else if (key === "mode" && value !== undefined) mount.mode = parseMode(value, text, field);
    else if (option === "ro") mount.readOnly = true;
    else if (TMPFS_WORDS.has(option)) options.push(option);
    else if (/^(size=\d{1,3}%|(uid|gid|nr_inodes|nr_blocks)=\d+[kmgKMG]?)$/.test(option)) options.push(option);
    else {throw invalid(
        field,
        text,
        `unknown tmpfs option "${option}"; such as size=64m, mode=1777, uid=1000, noexec, ro`,
      );}
  }
  if (options.length > 0) mount.options = options;
  return mount;
}
