/**
 * Positioned trees: what a compose file holds, with the place of every key and value. Trees are never changed in place, so that
 * aliases can share them.
 */

import type { Origin } from "./diagnostics.ts";

/** Merge tags of the Compose Specification: `!reset` removes, `!override` replaces without merging. */
export type MergeTag = "reset" | "override";

interface NodeBase {
  origin: Origin;
  tag?: MergeTag;
}

/** A single value. */
export interface ScalarNode extends NodeBase {
  kind: "scalar";
  value: string | number | boolean | null;
  /** Variables in it that had no value. */
  unset?: string[];
}

/** A key's place, and its value. */
export interface MapEntry {
  key: Origin;
  value: Node;
}

/** Keys in the order of the file. */
export interface MapNode extends NodeBase {
  kind: "map";
  entries: ReadonlyMap<string, MapEntry>;
}

/** Values in order. */
export interface ListNode extends NodeBase {
  kind: "list";
  items: readonly Node[];
}

/** Any value. */
export type Node = ScalarNode | MapNode | ListNode;

/** A value as JSON has it. */
export type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain };

/** A scalar at the place of another node. */
export function scalarAt(origin: Origin, value: ScalarNode["value"]): ScalarNode {
  return { kind: "scalar", value, origin };
}

/** A map at the place of another node; undefined values are left out. */
export function mapAt(origin: Origin, fields: Record<string, Node | ScalarNode["value"] | undefined>): MapNode {
  const entries = new Map<string, MapEntry>();
  for (const [name, field] of Object.entries(fields)) {
    if (field === undefined) continue;
    const value = typeof field === "object" && field !== null ? field : scalarAt(origin, field);
    entries.set(name, { key: origin, value });
  }
  return { kind: "map", entries, origin };
}

/** A list at the place of another node. */
export function listAt(origin: Origin, items: readonly Node[]): ListNode {
  return { kind: "list", items, origin };
}

/** A copy of a node with the merge tag of another (or none). */
export function withTag<N extends Node>(node: N, tag: MergeTag | undefined): N {
  if (node.tag === tag) return node;
  const { tag: _, ...rest } = node;
  return (tag === undefined ? rest : { ...rest, tag }) as N;
}

/** The value of a key. */
export function child(node: Node | undefined, key: string): Node | undefined {
  return node?.kind === "map" ? node.entries.get(key)?.value : undefined;
}

/** Text of a scalar as Go prints it, or undefined for anything else and for null. */
export function scalarText(node: Node | undefined): string | undefined {
  return node?.kind === "scalar" && node.value !== null ? String(node.value) : undefined;
}

/** What a person calls a node's type. */
export function describe(node: Node): string {
  if (node.kind !== "scalar") return node.kind === "map" ? "a mapping" : "a list";
  if (node.value === null) return "nothing";
  if (typeof node.value === "string") {
    const text = node.value.length > 60 ? `${node.value.slice(0, 60)}…` : node.value;
    return `the text ${JSON.stringify(text)}`;
  }
  return `${typeof node.value === "number" ? "the number" : "the truth value"} ${node.value}`;
}

/** Plain data of a tree. Names such as `__proto__` stay ordinary keys; tags are dropped. */
export function toPlain(node: Node): Plain {
  switch (node.kind) {
    case "scalar":
      return node.value;
    case "list":
      return node.items.map(toPlain);
    case "map":
      // fromEntries defines properties; it never runs a setter.
      return Object.fromEntries([...node.entries].map(([key, entry]) => [key, toPlain(entry.value)]));
  }
}

/** Replaces, adds or (with undefined) removes one key. */
export function withEntry(node: MapNode, key: string, value: Node | undefined, at?: Origin): MapNode {
  const entries = new Map(node.entries);
  if (value === undefined) entries.delete(key);
  else entries.set(key, { key: at ?? entries.get(key)?.key ?? value.origin, value });
  return { ...node, entries };
}

/** Joins a model path: `a`, `a.b`, `a[0]`. */
export function pathOf(base: string, step: string | number): string {
  if (typeof step === "number") return `${base}[${step}]`;
  return base === "" ? step : `${base}.${step}`;
}
