/** Finding commands in their tree. */

import type { CommandNode, CommandTable } from "./definition.ts";

/** A command in the tree. */
export interface Resolved {
  /** Words that named it, aliases resolved. */
  path: string[];
  node: CommandNode;
  /** Arguments behind the name. */
  rest: string[];
}

/** Entry by name or alias. */
export function findNode(table: CommandTable, word: string): [string, CommandNode] | undefined {
  if (Object.hasOwn(table, word)) {
    const node = table[word];
    if (node !== undefined) return [word, node];
  }
  return Object.entries(table).find(([, node]) => node.aliases?.includes(word) === true);
}

/** Walks the tree as far as the words go; the last word that is no command stays in `rest`. */
export function resolveCommand(table: CommandTable, words: readonly string[]): Resolved | undefined {
  let children: CommandTable | undefined = table;
  let resolved: Resolved | undefined;
  for (let at = 0; at < words.length && children !== undefined; at++) {
    const found = findNode(children, words[at] ?? "");
    if (found === undefined) break;
    const [name, node] = found;
    resolved = { path: [...resolved?.path ?? [], name], node, rest: words.slice(at + 1) };
    children = node.children;
  }
  return resolved;
}
