/**
 * What a Dockerfile needs from outside: the images of the stages that lead to its target. Read from the text alone, so that the
 * client can look for credentials, and the daemon can have the images ready before the build begins.
 *
 * Follows the Dockerfile reference (docs.docker.com): parser directives, continued lines, heredocs, global ARG, FROM, COPY --from and
 * RUN --mount=from.
 */

import { NyxError } from "./errors.ts";

/** One instruction. */
export interface Instruction {
  /** Upper case, such as FROM. */
  name: string;
  /** The rest, continued lines joined. */
  rest: string;
  /** From 1. */
  line: number;
  /** Its last line, here-documents included. */
  endLine: number;
  /** Its here-documents, in order. */
  documents: HereDocument[];
}

/** A here-document. */
export interface HereDocument {
  /** Word that ends it. */
  word: string;
  /** Text, with leading tabs removed where `<<-` asks for it. */
  body: string;
  /** The word is quoted, so that nothing in it is replaced. */
  quoted: boolean;
}

/** What decides which images are needed. */
export interface DockerfileOptions {
  /** Build arguments; undefined where the value is not known. */
  args?: Readonly<Record<string, string>>;
  /** Name or number of the last stage wanted; default is the last. */
  target?: string;
  /** Architecture, as Go names it, of what is built: for TARGETARCH and its like. */
  platform?: { os: string; architecture: string; variant?: string };
  /** Names that stand for something else than an image. */
  contexts?: readonly string[];
}

/** An image that a build starts from, or copies from. */
export interface BaseImage {
  /** With variables replaced. */
  ref: string;
  /** As the file has it. */
  written: string;
  /** It is a stage's own base, and no source of COPY or RUN --mount. */
  from: boolean;
  /** Of FROM --platform. */
  platform?: string;
  /** From 1. */
  line: number;
}

const MAX_LINES = 100_000;

function escapeCharacter(lines: readonly string[]): string {
  for (const line of lines) {
    const directive = /^#\s*([a-zA-Z]+)\s*=\s*(\S+)\s*$/.exec(line);
    if (directive === null) return "\\";
    if (directive[1]?.toLowerCase() === "escape") return directive[2] === "`" ? "`" : "\\";
  }
  return "\\";
}

/** How here-documents of an instruction begin, in order. */
function heredocs(name: string, rest: string): { word: string; tabs: boolean; quoted: boolean }[] {
  if (!["RUN", "COPY", "ADD", "ONBUILD"].includes(name)) return [];
  const found = rest.matchAll(/(?:^|\s)(?:\d)?<<(-?)(["']?)([a-zA-Z_][a-zA-Z0-9_]*)\2(?=\s|$)/g);
  return [...found].map((m) => ({ word: m[3] ?? "", tabs: m[1] === "-", quoted: m[2] !== "" }));
}

/** The instructions of a Dockerfile, without comments. */
export function parseDockerfile(text: string): Instruction[] {
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/);
  if (lines.length > MAX_LINES) {
    throw new NyxError("invalid_argument", `The Dockerfile has ${lines.length} lines; at most ${MAX_LINES} are read`);
  }
  const escape = escapeCharacter(lines);
  const out: Instruction[] = [];
  for (let i = 0; i < lines.length; i++) {
    const first = lines[i] ?? "";
    if (/^\s*(#|$)/.test(first)) continue;
    const line = i + 1;
    let whole = first;
    while (whole.trimEnd().endsWith(escape) && i + 1 < lines.length) {
      whole = whole.trimEnd().slice(0, -1);
      do i++; while (i < lines.length && /^\s*#/.test(lines[i] ?? ""));
      // An empty line between continued ones is left out, as Docker does with a warning.
      while (i < lines.length - 1 && (lines[i] ?? "").trim() === "") i++;
      whole += lines[i] ?? "";
    }
    const match = /^\s*([A-Za-z]+)(?:\s+([^]*))?$/.exec(whole);
    if (match === null) continue;
    const name = (match[1] ?? "").toUpperCase();
    const rest = (match[2] ?? "").trim();
    const documents = heredocs(name, rest).map(({ word, tabs, quoted }) => {
      const body: string[] = [];
      for (i++; i < lines.length; i++) {
        const text = tabs ? (lines[i] ?? "").replace(/^\t+/, "") : lines[i] ?? "";
        if (text === word) break;
        body.push(`${text}\n`);
      }
      return { word, body: body.join(""), quoted };
    });
    out.push({ name, rest, line, endLine: Math.min(i + 1, lines.length), documents });
  }
  return out;
}

/** Replaces `$A`, `${A}`, `${A:-d}` and `${A:+r}`. */
export function expandArguments(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(
    /\\?\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+])([^}]*))?\})/g,
    (whole, bare?: string, braced?: string, operator?: string, argument = "") => {
      if (whole.startsWith("\\")) return whole.slice(1);
      const value = lookup(bare ?? braced ?? "");
      const present = value !== undefined && (value !== "" || operator?.startsWith(":") !== true);
      if (operator?.endsWith("-")) return present ? value : argument;
      if (operator?.endsWith("+")) return present ? argument : "";
      return value ?? "";
    },
  );
}

function unquoted(text: string): string {
  return text.replace(/^(["'])(.*)\1$/, "$2");
}

interface Stage {
  base: BaseImage;
  name?: string;
  /** Stages, or images, that it copies from. */
  from: { text: string; line: number }[];
}

/** Variables of the platform that every FROM may use. */
function platformArguments(options: DockerfileOptions): Record<string, string> {
  const { os, architecture, variant } = options.platform ?? { os: "linux", architecture: "" };
  const whole = [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");
  const all = (prefix: string) => ({
    [`${prefix}PLATFORM`]: whole,
    [`${prefix}OS`]: os,
    [`${prefix}ARCH`]: architecture,
    [`${prefix}VARIANT`]: variant ?? "",
  });
  return { ...all("TARGET"), ...all("BUILD") };
}

function readStages(instructions: readonly Instruction[], options: DockerfileOptions): Stage[] {
  const known: Record<string, string> = platformArguments(options);
  const given = options.args ?? {};
  const lookup = (name: string) => Object.hasOwn(known, name) ? known[name] : undefined;
  const stages: Stage[] = [];
  for (const { name, rest, line } of instructions) {
    const stage = stages.at(-1);
    if (name === "ARG" && stage === undefined) {
      for (const part of rest.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/g) ?? []) {
        const [key = "", ...value] = part.split("=");
        if (Object.hasOwn(given, key)) known[key] = given[key] ?? "";
        else if (value.length > 0) known[key] = expandArguments(unquoted(value.join("=")), lookup);
      }
    } else if (name === "FROM") {
      const match = /^(?:--platform=(\S+)\s+)?(\S+)(?:\s+as\s+(\S+))?\s*$/i.exec(rest);
      if (match === null) {
        throw new NyxError("invalid_argument", `Line ${line} of the Dockerfile is no FROM: ${JSON.stringify(rest)}`);
      }
      const written = match[2] ?? "";
      const platform = match[1] === undefined ? "" : expandArguments(match[1], lookup);
      const ref = expandArguments(unquoted(written), lookup);
      if (ref === "") {
        throw new NyxError(
          "invalid_argument",
          `Line ${line} of the Dockerfile names no image: ${
            JSON.stringify(written)
          } is empty without its build argument`,
        );
      }
      const base = { ref, written, from: true, line, ...(platform === "" ? {} : { platform }) };
      stages.push({ base, from: [], ...(match[3] === undefined ? {} : { name: match[3].toLowerCase() }) });
    } else if (name === "COPY" || name === "ADD" || name === "RUN") {
      stage?.from.push(...sources(name, rest).map((text) => ({ text, line })));
    }
  }
  return stages;
}

/** Splits the flags of an instruction from what follows them. */
export function splitFlags(rest: string): { flags: string[]; operand: string } {
  const flags: string[] = [];
  let operand = rest;
  for (let match; (match = /^--[a-z-]+(?:=\S*)?\s*/.exec(operand)) !== null;) {
    flags.push(match[0].trim());
    operand = operand.slice(match[0].length);
  }
  return { flags, operand };
}

/** Stages and images named by --from, or by from= of a --mount. */
function sources(name: string, rest: string): string[] {
  const { flags } = splitFlags(rest);
  if (name !== "RUN") return flags.flatMap((f) => f.startsWith("--from=") ? [unquoted(f.slice(7))] : []);
  return flags.filter((f) => f.startsWith("--mount=")).flatMap((f) =>
    f.slice(8).split(",").flatMap((field) => /^from=/.test(field) ? [unquoted(field.slice(5))] : [])
  );
}

function targetIndex(stages: readonly Stage[], target: string | undefined): number {
  if (target === undefined || target === "") return stages.length - 1;
  const named = stages.findIndex((s) => s.name === target.toLowerCase());
  if (named >= 0) return named;
  if (/^\d+$/.test(target) && Number(target) < stages.length) return Number(target);
  const names = stages.flatMap((s) => s.name ?? []);
  throw new NyxError(
    "invalid_argument",
    `The Dockerfile has no stage ${JSON.stringify(target)}; ${
      names.length === 0 ? "none of its stages has a name" : `it has ${names.join(", ")}`
    }`,
    { context: { target } },
  );
}

/**
 * The file with images of FROM replaced; lines keep their numbers.
 *
 * @param images what to write, by the line of the instruction
 */
export function replaceBases(text: string, images: ReadonlyMap<number, string>): string {
  const lines = text.split("\n");
  for (const { name, rest, line, endLine } of parseDockerfile(text)) {
    const image = images.get(line);
    if (name !== "FROM" || image === undefined) continue;
    const { flags, operand } = splitFlags(rest);
    const alias = /^\S+(\s+as\s+\S+)?\s*$/i.exec(operand)?.[1] ?? "";
    lines[line - 1] = ["FROM", ...flags, image].join(" ") + alias;
    for (let at = line; at < endLine; at++) lines[at] = "";
  }
  return lines.join("\n");
}

/**
 * Images that a build needs, in the order of the file: one for each stage that starts from one, and one for each that is copied from. Stages that the target does not lead to need nothing.
 *
 * @throws NyxError invalid_argument for a file without FROM, a target that is not there, or an empty image name
 */
export function baseImages(text: string, options: DockerfileOptions = {}): BaseImage[] {
  const stages = readStages(parseDockerfile(text), options);
  if (stages.length === 0) {
    throw new NyxError("invalid_argument", "The Dockerfile has no FROM: begin it with FROM IMAGE, or FROM scratch");
  }
  const contexts = new Set(options.contexts ?? []);
  const found = new Map<string, BaseImage>();
  const seen = new Set<number>();
  const stageOf = (name: string, before: number): number => {
    const at = stages.findLastIndex((s, i) => i < before && s.name === name.toLowerCase());
    return at < 0 && /^\d+$/.test(name) && Number(name) < before ? Number(name) : at;
  };
  const need = (image: BaseImage, before: number) => {
    if (contexts.has(image.ref) || contexts.has(image.written)) return;
    const stage = stageOf(image.ref, before);
    if (stage >= 0) visit(stage);
    else if (image.ref !== "scratch") {
      const key = image.from ? `${image.line}` : `--from=${image.ref}`;
      if (!found.has(key)) found.set(key, image);
    }
  };
  const visit = (index: number): void => {
    const stage = stages[index];
    if (stage === undefined || seen.has(index)) return;
    seen.add(index);
    need(stage.base, index);
    for (const { text: from, line } of stage.from) need({ ref: from, written: from, from: false, line }, index);
  };
  visit(targetIndex(stages, options.target));
  return [...found.values()].sort((a, b) => a.line - b.line);
}
