/**
 * Shapes: one description of each part of a compose file that drives its checks, its canonical form and its merge rule.
 *
 * `canon` takes what a file holds to the canonical long form, reports what is wrong and goes on; `merge` joins two canonical
 * nodes, the second on top of the first (Compose Specification, "Merge").
 */

import type { Diagnostics, Finding } from "../diagnostics.ts";
import type { Lookup } from "../interpolate.ts";
import { describe, type MapEntry, type MapNode, type Node, pathOf, scalarAt, withTag } from "../node.ts";
import type { PathBase } from "../paths.ts";

/** What canonicalising needs to know of the file's surroundings. */
export interface ShapeContext {
  diagnostics: Diagnostics;
  /** What relative paths start from. */
  base: PathBase;
  /** The environment, for variables named without a value. */
  lookup: Lookup;
  /** False for `--no-interpolate`: texts with a `$` stay as they are. */
  interpolated: boolean;
  /** False for `--no-path-resolution`. */
  resolvePaths: boolean;
  /** False for `--no-env-resolution`. */
  resolveEnv: boolean;
}

/** One part of the specification. */
export interface Shape {
  /** The canonical node, or undefined when it was refused (and reported). */
  canon(node: Node, ctx: ShapeContext, path: string): Node | undefined;
  /** Joins two canonical nodes. */
  merge(base: Node, over: Node): Node;
  /** Keys of a mapping, for comparing with the official schema. */
  readonly fields?: ReadonlyMap<string, Shape>;
  /** Shape of a list's items, or of a dictionary's values. */
  readonly item?: Shape;
}

/** Whether a node still holds a variable, in a run without interpolation. */
export function isTemplate(node: Node, ctx: ShapeContext): boolean {
  return !ctx.interpolated && node.kind === "scalar" && typeof node.value === "string" && node.value.includes("$");
}

/** Reports a value that cannot be used. Where it is so for want of variables, the file is not at fault: the value is left out. */
export function reportBadNode(node: Node, ctx: ShapeContext, finding: Finding): void {
  const unset = node.kind === "scalar" ? node.unset ?? [] : [];
  if (unset.length === 0) return ctx.diagnostics.error(node.origin, finding);
  ctx.diagnostics.warn(node.origin, {
    ...finding,
    message: `${finding.message}, since ${unset.join(", ")} ${
      unset.length === 1 ? "is" : "are"
    } not set; it is left out`,
    blocks: true,
  });
}

/** Reports a value of the wrong type. */
export function wrongType(node: Node, ctx: ShapeContext, path: string, rule: string, fix?: string): undefined {
  reportBadNode(node, ctx, {
    code: "wrong-type",
    path,
    message: `it is ${describe(node)}`,
    rule,
    ...(fix === undefined ? {} : { fix }),
  });
  return undefined;
}

/** Canonical form with tags kept; what `!reset` marks is not looked at. */
export function canonical(shape: Shape, node: Node, ctx: ShapeContext, path: string): Node | undefined {
  if (node.tag === "reset") return node;
  if (isTemplate(node, ctx)) return node;
  const canon = shape.canon(node, ctx, path);
  return canon === undefined ? undefined : withTag(canon, node.tag);
}

/** Joins two nodes with regard to `!reset` and `!override`. Markers stay, so that they reach earlier files too. */
export function merged(shape: Shape, base: Node, over: Node): Node {
  if (over.tag !== undefined || base.tag === "reset") return over;
  return withTag(shape.merge(base, over), base.tag);
}

function isNull(node: Node): boolean {
  return node.kind === "scalar" && node.value === null;
}

/** Removes what `!reset` marks, and the tags. */
export function pruned(node: Node): Node {
  if (node.kind === "list") {
    return {
      ...withTag(node, undefined),
      items: node.items.filter((i) => i.tag !== "reset").map(pruned),
    };
  }
  if (node.kind !== "map") return withTag(node, undefined);
  const entries = new Map<string, MapEntry>();
  for (const [key, entry] of node.entries) {
    if (entry.value.tag !== "reset") entries.set(key, { key: entry.key, value: pruned(entry.value) });
  }
  return { ...withTag(node, undefined), entries };
}

/** Later wins. */
export function replace(_base: Node, over: Node): Node {
  return over;
}

/** A list under construction: `key` names an item's identity. */
export interface ListOptions {
  /** A single value stands for a list of one. */
  single?: boolean;
  /** Identity of an item; of two with the same one the later takes the earlier's place. */
  key?: (item: Node) => string | undefined;
  /** The later list replaces the earlier one. */
  replace?: boolean;
  /** Sentence for the error. */
  rule?: string;
}

function unique(items: readonly Node[], key: (item: Node) => string | undefined): Node[] {
  const out: Node[] = [];
  const places = new Map<string, number>();
  for (const item of items) {
    const name = key(item);
    const place = name === undefined ? undefined : places.get(name);
    if (place !== undefined) out[place] = item;
    else {
      if (name !== undefined) places.set(name, out.length);
      out.push(item);
    }
  }
  return out;
}

/** Identity of a scalar item: its text. */
export function byText(item: Node): string | undefined {
  return item.kind === "scalar" ? String(item.value) : undefined;
}

/** Identity of a mapping item: one of its keys. */
export function byField(name: string): (item: Node) => string | undefined {
  return (item) => {
    const value = item.kind === "map" ? item.entries.get(name)?.value : undefined;
    return value?.kind === "scalar" ? String(value.value) : byText(item);
  };
}

/** A list. `expand` shapes may turn one written item into several. */
export function list(item: Shape & { expand?: Expand }, options: ListOptions = {}): Shape {
  const join = (items: readonly Node[]) => options.key === undefined ? [...items] : unique(items, options.key);
  return {
    item,
    canon(node, ctx, path) {
      if (isNull(node)) return undefined;
      let written: readonly Node[];
      if (node.kind === "list") written = node.items;
      else if (options.single === true && node.kind === "scalar") written = [withTag(node, undefined)];
      else return wrongType(node, ctx, path, options.rule ?? "it must be a list", "start each item with a dash");
      const items = written.flatMap((one, index) => {
        const at = pathOf(path, index);
        if (item.expand !== undefined && !isTemplate(one, ctx)) return item.expand(one, ctx, at);
        const canon = canonical(item, one, ctx, at);
        return canon === undefined ? [] : [canon];
      });
      return { kind: "list", items: join(items), origin: node.origin };
    },
    merge(base, over) {
      if (isNull(over)) return base;
      if (options.replace === true || base.kind !== "list" || over.kind !== "list") return over;
      return { ...over, items: join([...base.items, ...over.items]) };
    },
  };
}

/** Several canonical items from one written item. */
export type Expand = (node: Node, ctx: ShapeContext, path: string) => Node[];

/** Options of a mapping with known keys. */
export interface MapOptions {
  /** What a scalar (or list) means instead of the mapping. */
  short?: (node: Node, ctx: ShapeContext, path: string) => Node | undefined;
  /** Keys that must be there. */
  required?: string[];
  /** null is a value of its own. */
  nullable?: boolean;
  /** Nothing written means an empty mapping. */
  empty?: boolean;
  /** Shape of keys that are not in the table; missing means they are unknown and warned about. */
  open?: Shape;
  /** Last check and completion of the canonical mapping. */
  finish?: (node: MapNode, ctx: ShapeContext, path: string) => MapNode | undefined;
  /** Merge rule in place of key by key. */
  merge?: (base: MapNode, over: MapNode, byKey: (base: MapNode, over: MapNode) => MapNode) => MapNode;
  /** Sentence for the error. */
  rule?: string;
}

function closest(word: string, known: Iterable<string>): string | undefined {
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(word, name);
    if (distance <= Math.max(1, Math.floor(word.length / 4)) && (best === undefined || distance < best.distance)) {
      best = { name, distance };
    }
  }
  return best?.name;
}

/** Edits between two words: letters inserted, removed, replaced, or swapped with their neighbour. */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 4 || a.length > 64) return 99;
  const rows = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  const at = (i: number, j: number) => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    rows.push([i]);
    for (let j = 1; j <= b.length; j++) {
      const edits = [at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)];
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) edits.push(at(i - 2, j - 2) + 1);
      rows[i]?.push(Math.min(...edits));
    }
  }
  return at(a.length, b.length);
}

function unknownKey(key: string, entry: MapEntry, known: Iterable<string>, ctx: ShapeContext, path: string): void {
  if (key.startsWith("x-")) {
    ctx.diagnostics.note(entry.key, {
      code: "extension-key",
      path,
      message: `the extension "${key}" has no meaning for nyx and is ignored`,
    });
    return;
  }
  const near = closest(key, known);
  ctx.diagnostics.warn(entry.key, {
    code: "unknown-key",
    path,
    message: `the key "${key}" is unknown and ignored`,
    rule: "keys are those of the Compose Specification; own ones begin with x-",
    ...(near === undefined ? {} : { fix: `did you mean "${near}"?` }),
  });
}

/** A mapping with known keys. */
export function map(table: Record<string, Shape>, options: MapOptions = {}): Shape {
  const fields: ReadonlyMap<string, Shape> = new Map(Object.entries(table));
  const byKey = (base: MapNode, over: MapNode) => mergeEntries(base, over, (key) => fields.get(key) ?? options.open);
  return {
    fields,
    ...(options.open === undefined ? {} : { item: options.open }),
    canon(node, ctx, path) {
      if (isNull(node)) {
        if (options.nullable === true) return node;
        if (options.empty !== true) return undefined;
      }
      let whole: Node | undefined = isNull(node) ? { kind: "map", entries: new Map(), origin: node.origin } : node;
      if (whole.kind !== "map" && options.short !== undefined) whole = options.short(node, ctx, path);
      if (whole === undefined) return undefined;
      if (whole.kind !== "map") {
        return wrongType(node, ctx, path, options.rule ?? "it must be a mapping", "write KEY: VALUE lines");
      }
      const entries = canonEntries(whole, fields, options.open, ctx, path);
      for (const key of options.required ?? []) {
        if (whole.entries.has(key)) continue;
        ctx.diagnostics.error(node.origin, { code: "missing-key", path, message: `the key "${key}" is missing` });
        return undefined;
      }
      const canon: MapNode = { kind: "map", entries, origin: node.origin };
      return options.finish === undefined ? canon : options.finish(canon, ctx, path);
    },
    merge(base, over) {
      if (isNull(over)) return base;
      if (base.kind !== "map" || over.kind !== "map") return over;
      return options.merge === undefined ? byKey(base, over) : options.merge(base, over, byKey);
    },
  };
}

function canonEntries(
  node: MapNode,
  fields: ReadonlyMap<string, Shape>,
  open: Shape | undefined,
  ctx: ShapeContext,
  path: string,
): Map<string, MapEntry> {
  const entries = new Map<string, MapEntry>();
  for (const [key, entry] of node.entries) {
    const shape = fields.get(key) ?? (key.startsWith("x-") ? undefined : open);
    if (shape === undefined) {
      unknownKey(key, entry, fields.keys(), ctx, pathOf(path, key));
      continue;
    }
    const value = canonical(shape, entry.value, ctx, pathOf(path, key));
    if (value !== undefined) entries.set(key, { key: entry.key, value });
  }
  return entries;
}

/** Joins two mappings key by key. */
export function mergeEntries(base: MapNode, over: MapNode, shapeOf: (key: string) => Shape | undefined): MapNode {
  const entries = new Map(base.entries);
  for (const [key, entry] of over.entries) {
    const before = entries.get(key);
    const shape = shapeOf(key);
    const value = before === undefined || shape === undefined ? entry.value : merged(shape, before.value, entry.value);
    entries.set(key, { key: entry.key, value });
  }
  return { kind: "map", entries, origin: over.origin };
}

/** Options of a dictionary: a mapping whose keys are free. */
export interface DictOptions {
  /** What keys must look like, with the sentence for the error. */
  keys?: { pattern: RegExp; rule: string };
  /** Reads one item of the list form. */
  fromItem?: (text: string) => { key: string; value: string | null };
  /** Canonical value of a name in a plain list, such as `depends_on: [db]`. */
  fromName?: (origin: Node["origin"]) => Node;
  /** A single text stands for a list of one. */
  single?: boolean;
  /** Nothing written means an empty dictionary. */
  empty?: boolean;
}

function listEntries(node: Node & { kind: "list" }, options: DictOptions, ctx: ShapeContext, path: string): MapNode {
  const entries = new Map<string, MapEntry>();
  for (const [index, item] of node.items.entries()) {
    if (item.tag === "reset") continue;
    if (item.kind !== "scalar" || item.value === null) {
      if (item.kind !== "scalar") wrongType(item, ctx, pathOf(path, index), "items of this list are texts");
      continue;
    }
    const text = String(item.value);
    if (text === "" && item.unset !== undefined) {
      reportBadNode(item, ctx, { code: "bad-value", path: pathOf(path, index), message: "the name is empty" });
      continue;
    }
    if (options.fromName !== undefined) entries.set(text, { key: item.origin, value: options.fromName(item.origin) });
    else if (options.fromItem !== undefined) {
      const { key, value } = options.fromItem(text);
      entries.set(key, { key: item.origin, value: scalarAt(item.origin, value) });
    }
  }
  return { kind: "map", entries, origin: node.origin };
}

/** A dictionary. */
export function dict(value: Shape, options: DictOptions = {}): Shape {
  const listed = options.fromItem !== undefined || options.fromName !== undefined;
  return {
    item: value,
    canon(node, ctx, path) {
      if (isNull(node)) {
        return options.empty === true ? { kind: "map", entries: new Map(), origin: node.origin } : undefined;
      }
      let whole: Node = node;
      if (options.single === true && whole.kind === "scalar") {
        whole = { kind: "list", items: [whole], origin: whole.origin };
      }
      if (whole.kind === "list" && listed) whole = listEntries(whole, options, ctx, path);
      if (whole.kind !== "map") {
        return wrongType(
          node,
          ctx,
          path,
          listed ? "it must be a mapping or a list" : "it must be a mapping",
          "write KEY: VALUE lines",
        );
      }
      const entries = new Map<string, MapEntry>();
      for (const [key, entry] of whole.entries) {
        const at = pathOf(path, key);
        if (options.keys !== undefined && !options.keys.pattern.test(key)) {
          if (key.startsWith("x-")) unknownKey(key, entry, [], ctx, at);
          else {ctx.diagnostics.error(entry.key, {
              code: "bad-name",
              path: at,
              message: `"${key}" is no valid name`,
              rule: options.keys.rule,
            });}
          continue;
        }
        const canon = canonical(value, entry.value, ctx, at);
        if (canon !== undefined) entries.set(key, { key: entry.key, value: canon });
      }
      return { kind: "map", entries, origin: node.origin };
    },
    merge(base, over) {
      if (isNull(over)) return base;
      if (base.kind !== "map" || over.kind !== "map") return over;
      return mergeEntries(base, over, () => value);
    },
  };
}
