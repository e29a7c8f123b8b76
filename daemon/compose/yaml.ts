/**
 * YAML to positioned trees. Syntax by the yaml package; scalars are typed as Go's YAML library types them, since compose
 * files are written for it; anchors, `<<`, duplicate keys, depth and size are handled here.
 */

import {
  type Alias,
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  Parser,
  type Scalar,
  type YAMLMap,
} from "yaml";
import { type Diagnostics, type Origin, SourceFile } from "./diagnostics.ts";
import type { MapEntry, MergeTag, Node, ScalarNode } from "./node.ts";

/** Largest file accepted, in UTF-16 units; the largest public compose files have about 100,000. */
export const MAX_FILE_LENGTH = 512 * 1024;
/** Deepest nesting. */
export const MAX_DEPTH = 100;
/** Most tokens of one file: what bounds the time that a hostile one takes. */
export const MAX_TOKENS = 200_000;
/** Most nodes after expansion of aliases. */
export const MAX_NODES = 200_000;

/** Most syntax errors told of one document: what follows the first few mostly follows from them. */
const MAX_SYNTAX_ERRORS = 3;

const NULLS = new Set(["", "~", "null", "Null", "NULL"]);
const TRUES = new Set(["true", "True", "TRUE"]);
const FALSES = new Set(["false", "False", "FALSE"]);
const FLOAT = /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/;

function parseInteger(plain: string): number | undefined {
  const match = /^([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]+|[1-9][0-9]*|0)$/.exec(plain);
  if (match === null) return undefined;
  const digits = match[2] ?? "";
  const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  return match[1] === "-" ? -value : value;
}

/** The typed value of a plain (unquoted) scalar. Integers beyond 2^53 stay text, so that no digit is lost. */
export function resolvePlain(text: string): ScalarNode["value"] {
  if (NULLS.has(text)) return null;
  if (TRUES.has(text)) return true;
  if (FALSES.has(text)) return false;
  const first = text.charCodeAt(0);
  // Anything numeric begins with a digit, a sign or a point.
  if (!(first >= 48 && first <= 57) && first !== 43 && first !== 45 && first !== 46) return text;
  const plain = text.replaceAll("_", "");
  const integer = parseInteger(plain);
  if (integer !== undefined) return Number.isSafeInteger(integer) ? integer : text;
  return FLOAT.test(plain) ? Number(plain) : text;
}

interface Built {
  node: Node;
  /** Nodes when aliases are written out. */
  size: number;
}

class TreeBuilder {
  readonly #file: SourceFile;
  readonly #diagnostics: Diagnostics;
  readonly #anchors = new Map<string, Built | "open">();
  #stopped = false;

  constructor(file: SourceFile, diagnostics: Diagnostics) {
    this.#file = file;
    this.#diagnostics = diagnostics;
  }

  build(content: unknown): Node | undefined {
    const built = this.#any(content, 0, "");
    return this.#stopped ? undefined : built.node;
  }

  #origin(node: { range?: [number, number, number] | null | undefined } | null | undefined, fallback = 0): Origin {
    return { file: this.#file, offset: node?.range?.[0] ?? fallback };
  }

  #stop(origin: Origin, path: string, message: string, fix: string): Built {
    if (!this.#stopped) this.#diagnostics.error(origin, { code: "yaml-bound", path, message, fix });
    this.#stopped = true;
    return { node: { kind: "scalar", value: null, origin }, size: 1 };
  }

  #any(content: unknown, depth: number, path: string, at?: Origin): Built {
    if (content === null || content === undefined) {
      const origin = at ?? this.#origin(undefined);
      return { node: { kind: "scalar", value: null, origin }, size: 1 };
    }
    const origin = this.#origin(content as { range?: [number, number, number] });
    if (depth > MAX_DEPTH) {
      return this.#stop(origin, path, `it is nested more than ${MAX_DEPTH} levels deep`, "flatten it");
    }
    if (isAlias(content)) return this.#alias(content, origin, path);
    const anchor = (content as { anchor?: string }).anchor;
    if (anchor !== undefined) this.#anchors.set(anchor, "open");
    const built = this.#content(content, depth, path, origin);
    if (built.size > MAX_NODES) {
      return this.#stop(origin, path, `it has more than ${MAX_NODES} values once aliases are written out`, "use fewer");
    }
    const tag = this.#mergeTag((content as { tag?: string }).tag, origin, path);
    const tagged = tag === undefined ? built : { ...built, node: { ...built.node, tag } };
    if (anchor !== undefined) this.#anchors.set(anchor, built);
    return tagged;
  }

  #content(content: unknown, depth: number, path: string, origin: Origin): Built {
    if (isScalar(content)) return { node: this.#scalar(content, origin), size: 1 };
    if (isMap(content)) return this.#map(content, depth, path, origin);
    if (isSeq(content)) {
      let size = 1;
      const items: Node[] = [];
      for (const [index, item] of content.items.entries()) {
        const built = this.#any(item, depth + 1, `${path}[${index}]`, origin);
        size += built.size;
        items.push(built.node);
        if (this.#stopped) break;
      }
      return { node: { kind: "list", items, origin }, size };
    }
    return { node: { kind: "scalar", value: null, origin }, size: 1 };
  }

  #scalar(scalar: Scalar, origin: Origin): ScalarNode {
    const text = String(scalar.value ?? "");
    const quoted = scalar.type !== "PLAIN" && scalar.type !== undefined;
    const tag = scalar.tag ?? "";
    if (tag.endsWith(":str") || tag === "!") return { kind: "scalar", value: text, origin };
    if (tag.endsWith(":int") || tag.endsWith(":float") || tag.endsWith(":bool") || tag.endsWith(":null")) {
      return { kind: "scalar", value: resolvePlain(text), origin };
    }
    return { kind: "scalar", value: quoted ? text : resolvePlain(text), origin };
  }

  #mergeTag(tag: string | undefined, origin: Origin, path: string): MergeTag | undefined {
    if (tag === "!reset") return "reset";
    if (tag === "!override") return "override";
    if (tag !== undefined && tag !== "!" && !tag.startsWith("tag:yaml.org,2002:")) {
      this.#diagnostics.warn(origin, {
        code: "unknown-tag",
        path,
        message: `the tag ${tag} has no meaning here and is ignored`,
        rule: "the Compose Specification knows !reset and !override",
      });
    }
    return undefined;
  }

  #alias(alias: Alias, origin: Origin, path: string): Built {
    const found = this.#anchors.get(alias.source);
    if (found === "open") {
      return this.#stop(origin, path, `the alias *${alias.source} contains itself`, "break the circle");
    }
    if (found === undefined) {
      return this.#stop(
        origin,
        path,
        `the alias *${alias.source} names no anchor above it`,
        `define &${alias.source} first`,
      );
    }
    return found;
  }

  #map(map: YAMLMap, depth: number, path: string, origin: Origin): Built {
    const entries = new Map<string, MapEntry>();
    const merged: Built[] = [];
    let size = 1;
    for (const pair of map.items) {
      const keyNode = pair.key as Scalar | null;
      const keyOrigin = this.#origin(keyNode, origin.offset);
      if (keyNode !== null && !isScalar(keyNode)) {
        this.#diagnostics.error(keyOrigin, {
          code: "complex-key",
          path,
          message: "a key is a mapping, a list or an alias",
          rule: "keys of a compose file are plain words",
        });
        continue;
      }
      const key = String(keyNode?.value ?? "null");
      const keyPath = path === "" ? key : `${path}.${key}`;
      const built = this.#any(pair.value, depth + 1, keyPath, keyOrigin);
      size += built.size;
      if (this.#stopped) break;
      if (key === "<<" && keyNode?.type === "PLAIN") merged.push(built);
      else if (entries.has(key)) this.#duplicate(entries.get(key)?.key, keyOrigin, keyPath, key);
      else entries.set(key, { key: keyOrigin, value: built.node });
    }
    for (const source of merged) this.#mergeInto(entries, source.node, path);
    return { node: { kind: "map", entries, origin }, size };
  }

  #duplicate(first: Origin | undefined, origin: Origin, path: string, key: string): void {
    const line = first === undefined ? "" : ` (first on line ${first.file.position(first.offset).line})`;
    this.#diagnostics.error(origin, {
      code: "duplicate-key",
      path,
      message: `the key "${key}" is given twice${line}`,
      rule: "each key of a mapping is written once (YAML 1.2, section 3.2.1.3)",
      fix: "remove one of them, or join their contents",
    });
  }

  /** `<<`: keys that the map doesn't have itself; of several sources the first wins. */
  #mergeInto(entries: Map<string, MapEntry>, source: Node, path: string): void {
    const sources = source.kind === "list" ? source.items : [source];
    for (const item of sources) {
      if (item.kind === "map") {
        for (const [key, entry] of item.entries) if (!entries.has(key)) entries.set(key, entry);
      } else if (item.kind !== "scalar" || item.value !== null) {
        this.#diagnostics.error(item.origin, {
          code: "merge-key",
          path: `${path}.<<`,
          message: "a merge key holds something other than a mapping",
          rule: "<< takes an alias of a mapping, or a list of them",
        });
      }
    }
  }
}

/**
 * The documents of a YAML text. Problems go to `diagnostics`; what could be read is returned.
 *
 * @param path shown in diagnostics
 */
export function parseYaml(text: string, path: string, diagnostics: Diagnostics): Node[] {
  const file = new SourceFile(path, text.startsWith("\ufeff") ? text.slice(1) : text);
  const start = { file, offset: 0 };
  if (file.text.length > MAX_FILE_LENGTH) {
    diagnostics.error(start, {
      code: "yaml-bound",
      path: "",
      message: `the file has ${file.text.length} characters`,
      rule: `at most ${MAX_FILE_LENGTH} are read`,
      fix: "move large contents into files of their own, named by file:",
    });
    return [];
  }
  try {
    return readDocuments(file, diagnostics);
  } catch (e) {
    // The composer recurses; a text that nests without end exhausts the stack.
    const message = e instanceof BoundError ? e.message : "it is nested too deeply to be read";
    if (!(e instanceof RangeError || e instanceof BoundError)) throw e;
    diagnostics.error(start, { code: "yaml-bound", path: "", message, fix: "split it, or flatten it" });
    return [];
  }
}

/** Thrown to stop reading; what is wrong is in its message. */
class BoundError extends Error {}

/** Documents of a text. Depth and tokens are counted while reading: a hostile text is left early. */
function composeDocuments(text: string): Document.Parsed[] {
  const parser = new Parser();
  const composer = new Composer({ schema: "failsafe", uniqueKeys: false, logLevel: "silent", prettyErrors: false });
  const documents: Document.Parsed[] = [];
  let tokens = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (++tokens > MAX_TOKENS) throw new BoundError(`it has more than ${MAX_TOKENS} tokens`);
    for (const token of parser.next(lexeme)) documents.push(...composer.next(token));
    // A level takes a collection, its item and a value.
    if (parser.stack.length > 3 * MAX_DEPTH) throw new BoundError("it is nested too deeply to be read");
  }
  for (const token of parser.end()) documents.push(...composer.next(token));
  documents.push(...composer.end());
  return documents;
}

function readDocuments(file: SourceFile, diagnostics: Diagnostics): Node[] {
  const documents = composeDocuments(file.text);
  const nodes: Node[] = [];
  for (const document of documents) {
    for (const error of document.errors.slice(0, MAX_SYNTAX_ERRORS)) {
      // The parser reports its own exhausted stack as a fault of the text.
      const deep = error.message.includes("call stack");
      const tab = error.code === "TAB_AS_INDENT";
      diagnostics.error({ file, offset: Math.min(error.pos[0], file.text.length) }, {
        code: "yaml-syntax",
        path: "",
        message: deep ? "it is nested too deeply to be read" : `it is not valid YAML: ${error.message}`,
        ...(tab ? { fix: "indent with spaces" } : {}),
      });
    }
    if (document.errors.length > 0 || document.contents === null) continue;
    const node = new TreeBuilder(file, diagnostics).build(document.contents);
    if (node !== undefined) nodes.push(node);
  }
  return nodes;
}
