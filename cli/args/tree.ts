/** Finding commands in their tree. */

import type { CommandNode, CommandTable, FlagSpecs } from "./definition.ts";
import { parseArgs } from "./parse.ts";

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

function asWords(specs: FlagSpecs, flags: ReturnType<typeof parseArgs>["flags"]): string[] {
  return Object.keys(specs).flatMap((name) => {
    const value = flags[name];
    if (value === undefined) return [];
    if (typeof value === "boolean") return [value ? `--${name}` : `--${name}=false`];
    return [value].flat().map((one) => `--${name}=${one}`);
  });
}

/**
 * Moves options between a group and its command behind the command, by their long names: `compose -f a.yaml logs -f web` becomes
 * `compose logs --file=a.yaml -f web`.
 *
 * @throws UsageError as parseArgs does
 */
export function hoistGroupFlags(table: CommandTable, words: readonly string[]): readonly string[] {
  const found = words[0] === undefined ? undefined : findNode(table, words[0]);
  const specs = found?.[1].flags;
  if (specs === undefined || words[1]?.startsWith("-") !== true) return words;
  if (words[1] === "--help" || words[1] === "-h") return words;
  const { flags, operands } = parseArgs(specs, words.slice(1), { optionsFirst: true });
  const [command, ...rest] = operands;
  return command === undefined ? words.slice(0, 1) : [words[0] ?? "", command, ...asWords(specs, flags), ...rest];
}
