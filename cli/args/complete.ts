/** What can stand at the end of an unfinished command line, from the same definitions that parse it. Pure but for loading commands. */

import type { Command, CommandNode, CommandTable, Completion, FlagSpec, FlagSpecs } from "./definition.ts";
import { GLOBAL_FLAGS } from "./definition.ts";
import { findNode } from "./tree.ts";

/** What to offer: words with descriptions, and a kind of live names or files. */
export interface Offer {
  words: (readonly [string, string])[];
  kind?: Exclude<Completion, readonly string[]>;
}

interface Position {
  command: Command;
  operands: string[];
  /** The value of this option is being typed. */
  pending?: FlagSpec;
  /** Options are over. */
  closed: boolean;
}

function specOf(specs: FlagSpecs, long: string): FlagSpec | undefined {
  return Object.hasOwn(specs, long)
    ? specs[long]
    : Object.values(specs).find((spec) => spec.aliases?.includes(long) === true);
}

/** The option whose value the next word is, if `word` is an option without its value. */
function expectsValue(specs: FlagSpecs, word: string): FlagSpec | undefined {
  if (word.startsWith("--")) {
    if (word.includes("=")) return undefined;
    const spec = specOf(specs, word.slice(2));
    return spec !== undefined && spec.type !== "bool" ? spec : undefined;
  }
  if (!word.startsWith("-") || word === "-") return undefined;
  for (let at = 1; at < word.length; at++) {
    const spec = Object.values(specs).find((one) => one.short === word[at]);
    if (spec === undefined) return undefined;
    if (spec.type !== "bool") return at === word.length - 1 ? spec : undefined;
  }
  return undefined;
}

function locate(command: Command, words: readonly string[]): Position {
  const specs = { ...GLOBAL_FLAGS, ...command.flags };
  const position: Position = { command, operands: [], closed: false };
  for (const word of words) {
    if (position.pending !== undefined) delete position.pending;
    else if (!position.closed && word === "--") position.closed = true;
    else if (!position.closed && word.startsWith("-") && word !== "-") {
      const spec = expectsValue(specs, word);
      if (spec !== undefined) position.pending = spec;
    } else {
      position.operands.push(word);
      if (command.optionsFirst === true) position.closed = true;
    }
  }
  return position;
}

function fromCompletion(completion: Completion | undefined, prefix = ""): Offer {
  if (completion === undefined) return { words: [] };
  if (typeof completion !== "string") return { words: completion.map((word): [string, string] => [prefix + word, ""]) };
  return { words: [], kind: completion };
}

function flagWords(specs: FlagSpecs): [string, string][] {
  return Object.entries(specs)
    .filter(([, spec]) => spec.hidden !== true && spec.refuse === undefined)
    .map(([name, spec]) => [`--${name}`, spec.help]);
}

function commandWords(table: CommandTable): [string, string][] {
  return Object.entries(table).filter(([, node]) => node.hidden !== true).map(([name, node]) => [name, node.summary]);
}

/** Offers inside one command. */
export function offerForCommand(command: Command, words: readonly string[], current: string): Offer {
  const { operands, pending, closed } = locate(command, words);
  if (pending !== undefined) return fromCompletion(pending.complete);
  if (!closed && current.startsWith("--") && current.includes("=")) {
    const name = current.slice(2, current.indexOf("="));
    const offer = fromCompletion(specOf(command.flags, name)?.complete, `--${name}=`);
    return offer.kind === undefined ? offer : { words: [] };
  }
  if (!closed && current.startsWith("-")) return { words: flagWords({ ...GLOBAL_FLAGS, ...command.flags }) };
  const operand = command.operands[operands.length] ??
    (command.operands.at(-1)?.variadic === true ? command.operands.at(-1) : undefined);
  return fromCompletion(operand?.complete);
}

/**
 * Offers for a command line.
 *
 * @param words finished words behind `nyx`
 * @param current the word being typed, maybe empty
 */
export async function completeLine(table: CommandTable, words: readonly string[], current: string): Promise<Offer> {
  let at = 0;
  let children: CommandTable | undefined = table;
  let specs: FlagSpecs = GLOBAL_FLAGS;
  while (children !== undefined) {
    const word: string | undefined = words[at];
    if (word === undefined) {
      if (current.startsWith("-")) {
        return { words: flagWords({ ...specs, version: { type: "bool", help: "Print the version" } }) };
      }
      return { words: commandWords(children) };
    }
    at++;
    if (at === 1 || word.startsWith("-")) {
      const pending = expectsValue(specs, word);
      if (pending !== undefined) {
        if (words[at] === undefined) return fromCompletion(pending.complete);
        at++;
        continue;
      }
      if (word.startsWith("-")) continue;
    }
    const found = findNode(children, word);
    if (found === undefined) return { words: [] };
    const node: CommandNode = found[1];
    if (node.load !== undefined) return offerForCommand((await node.load()).command, words.slice(at), current);
    children = node.children;
    specs = { ...GLOBAL_FLAGS, ...node.flags };
  }
  return { words: [] };
}
