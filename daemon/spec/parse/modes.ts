/** Namespace modes (`--pid`, `--ipc`, `--uts`, `--cgroupns`), platforms, users and working directories. */

import { OBJECT_NAME } from "../container.ts";
import { invalid } from "../errors.ts";
import { cleanAbsolute } from "./paths.ts";

const MODES = {
  pid: { words: ["host", "private"], container: true },
  ipc: { words: ["host", "private", "shareable", "none"], container: true },
  uts: { words: ["host", "private"], container: false },
  cgroupns: { words: ["host", "private"], container: false },
} as const;

/** One namespace mode; `private` and the empty text are the default and give undefined, except for ipc. */
export function parseNamespaceMode(text: string, kind: keyof typeof MODES): string | undefined {
  const { words, container } = MODES[kind];
  if (text === "" || (text === "private" && kind !== "ipc" && kind !== "cgroupns")) return undefined;
  if ((words as readonly string[]).includes(text)) return text;
  const target = text.startsWith("container:") ? text.slice("container:".length) : undefined;
  if (container && target !== undefined && OBJECT_NAME.test(target)) return text;
  throw invalid(kind, text, `use ${words.join(", ")}${container ? " or container:NAME" : ""}`);
}

/** os[/arch[/variant]] in lower case, such as linux/arm64/v8. nyx runs Linux only. */
export function parsePlatform(text: string, field = "platform"): string {
  const lower = text.toLowerCase();
  if (!/^[a-z0-9_]+(\/[a-z0-9_]+){0,2}$/.test(lower)) {
    throw invalid(field, text, "write OS/ARCH[/VARIANT], such as linux/arm64");
  }
  const os = lower.split("/")[0];
  if (lower.includes("/") && os !== "linux") throw invalid(field, text, "nyx runs linux images only");
  return lower;
}

/** user, uid, user:group or uid:gid; which of them exist is known inside the image only. */
export function parseUser(text: string, field = "user"): string {
  if (!/^[^:\s\0]+(:[^:\s\0]+)?$/.test(text)) throw invalid(field, text, "write USER[:GROUP], by name or number");
  return text;
}

/** An absolute directory in the container. */
export function parseWorkdir(text: string, field = "workdir"): string {
  if (!text.startsWith("/") || text.includes("\0")) {
    throw invalid(field, text, "the working directory must be absolute (start with /)");
  }
  return cleanAbsolute(text);
}

/** A container, volume or network name. */
export function parseName(text: string, field = "name"): string {
  // Docker shows names with a leading slash, and takes them back with it.
  const name = text.startsWith("/") ? text.slice(1) : text;
  if (!OBJECT_NAME.test(name)) {
    throw invalid(field, text, "use 1 to 128 of [a-zA-Z0-9_.-], starting with a letter or digit");
  }
  return name;
}
