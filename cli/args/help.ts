/** Help texts from definitions, laid out as Docker's. */

import type { Command, CommandNode, CommandTable, FlagSpec, FlagSpecs, OperandSpec } from "./definition.ts";
import { GLOBAL_FLAGS } from "./definition.ts";

/** Breaks text at blanks into lines of at most `width` characters; words that are longer stand alone. Newlines are kept. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines;
}

/** Two columns, the right one wrapped. A left entry too wide for its column pushes the right text to the next line. */
export function columns(rows: readonly (readonly [string, string])[], width: number, indent = "  "): string {
  const widest = Math.max(0, ...rows.map(([left]) => left.length));
  const leftWidth = Math.min(widest, Math.max(20, Math.floor(width * 0.45)));
  const rightWidth = Math.max(20, width - indent.length - leftWidth - 3);
  const out: string[] = [];
  for (const [left, right] of rows) {
    const [first = "", ...more] = wrap(right, rightWidth);
    if (left.length > leftWidth) out.push(`${indent}${left}`, `${indent}${" ".repeat(leftWidth)}   ${first}`);
    else out.push(`${indent}${left.padEnd(leftWidth)}   ${first}`.trimEnd());
    for (const line of more) out.push(`${indent}${" ".repeat(leftWidth)}   ${line}`);
  }
  return out.join("\n");
}

function flagLeft(name: string, spec: FlagSpec): string {
  const short = spec.short === undefined ? "    " : `-${spec.short}, `;
  return `${short}--${name}${spec.type === "bool" ? "" : ` ${(spec.value ?? "VALUE").toLowerCase()}`}`;
}

/** The options' block. */
export function flagsHelp(specs: FlagSpecs, width: number): string {
  const rows = Object.entries(specs)
    .filter(([, spec]) => spec.hidden !== true && spec.refuse === undefined)
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, spec]): [string, string] => [flagLeft(name, spec), spec.help]);
  return columns(rows, width);
}

function operandText(spec: OperandSpec): string {
  const dots = spec.variadic === true ? "..." : "";
  return spec.optional === true ? `[${spec.name}${dots}]` : `${spec.name}${dots === "" ? "" : ` [${spec.name}...]`}`;
}

/** `nyx run [OPTIONS] IMAGE [COMMAND] [ARG...]`. */
export function usageLine(path: readonly string[], command: Command): string {
  const options = Object.keys(command.flags).length > 0 ? ["[OPTIONS]"] : [];
  return ["nyx", ...path, ...options, ...command.operands.map(operandText)].join(" ");
}

/** Help of one command. */
export function commandHelp(
  path: readonly string[],
  command: Command,
  aliases: readonly string[],
  width: number,
): string {
  const parts = [`Usage:  ${usageLine(path, command)}`, wrap(command.summary, width).join("\n")];
  if (aliases.length > 0) parts.push(`Aliases:\n  ${aliases.map((alias) => `nyx ${alias}`).join(", ")}`);
  if (Object.keys(command.flags).length > 0) parts.push(`Options:\n${flagsHelp(command.flags, width)}`);
  if (command.notes !== undefined) parts.push(command.notes.trim());
  return `${parts.join("\n\n")}\n`;
}

function visible(table: CommandTable): [string, CommandNode][] {
  return Object.entries(table).filter(([, node]) => node.hidden !== true);
}

/** Help of a group of commands such as `image`. */
export function groupHelp(path: readonly string[], node: CommandNode, width: number): string {
  const rows = visible(node.children ?? {}).map(([name, child]): [string, string] => [name, child.summary]);
  const full = ["nyx", ...path].join(" ");
  return `Usage:  ${full} COMMAND\n\n${node.summary}\n\nCommands:\n${columns(rows, width)}\n\n` +
    `Run '${full} COMMAND --help' for more information on a command.\n`;
}

/** Help of `nyx` itself. */
export function rootHelp(table: CommandTable, width: number): string {
  const rows = (group: string) =>
    visible(table).filter(([, node]) => (node.group ?? "other") === group)
      .map(([name, node]): [string, string] => [name, node.summary]);
  return `Usage:  nyx [OPTIONS] COMMAND\n\nRun containers on this host\n\n` +
    `Common commands:\n${columns(rows("common"), width)}\n\n` +
    `Management commands:\n${columns(rows("management"), width)}\n\n` +
    `Commands:\n${columns(rows("other"), width)}\n\n` +
    `Global options:\n${
      flagsHelp({ ...GLOBAL_FLAGS, version: { type: "bool", help: "Print the version and quit" } }, width)
    }\n\n` +
    `Run 'nyx COMMAND --help' for more information on a command.\n`;
}
