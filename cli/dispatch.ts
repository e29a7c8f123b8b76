/** Finds the command, reads its arguments, runs it, and turns what it throws into an exit code. */

import type { Command, CommandTable } from "./args/definition.ts";
import { GLOBAL_FLAGS, UsageError } from "./args/definition.ts";
import { checkOperands, parseArgs } from "./args/parse.ts";
import { hoistGroupFlags, resolveCommand, type Resolved } from "./args/tree.ts";
import { COMMANDS } from "./commands/table.ts";
import { type Context, processContext } from "./context.ts";
import { OutputClosed } from "./terminal/output.ts";

interface Globals {
  socket?: string | undefined;
  debug: boolean;
}

/** Runs one command line. @returns exit code */
export async function dispatch(argv: readonly string[]): Promise<number> {
  let globals: Globals = { debug: false };
  let usageExit = 2;
  let helpFor = "nyx help";
  try {
    const parsed = parseArgs({ ...GLOBAL_FLAGS, version: { type: "bool", short: "v", help: "" } }, argv, {
      optionsFirst: true,
    });
    globals = { socket: text(parsed.flags.socket), debug: parsed.flags.debug === true };
    if (parsed.flags.version === true) return printVersion();
    const [word, ...after] = parsed.operands;
    if (word === undefined || parsed.flags.help === true || (word === "help" && after.length === 0)) {
      return await rootHelp(globals);
    }
    if (word === "help") return await showHelp(after, globals);
    const resolved = resolveCommand(COMMANDS, hoistGroupFlags(COMMANDS, parsed.operands));
    if (resolved === undefined) throw await unknownCommand(word, COMMANDS, []);
    helpFor = `nyx ${resolved.path.join(" ")} --help`;
    if (resolved.node.load === undefined) return await runGroup(resolved, globals);
    const { command } = await resolved.node.load();
    usageExit = command.usageExit ?? 2;
    return await runCommand(command, resolved, globals);
  } catch (e) {
    return await failed(e, globals, usageExit, helpFor);
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

async function printVersion(): Promise<number> {
  const { versionText } = await import("../daemon/spec/version.ts");
  processContext({ debug: false }).out.text(`nyx version ${versionText()}\n`);
  return 0;
}

async function rootHelp(globals: Globals): Promise<number> {
  const help = await import("./args/help.ts");
  const context = processContext(globals);
  context.out.text(help.rootHelp(COMMANDS, context.width()));
  return 0;
}

async function unknownCommand(word: string, table: CommandTable, path: readonly string[]): Promise<UsageError> {
  const { didYouMean } = await import("./args/suggest.ts");
  const names = Object.entries(table).flatMap(([name, node]) =>
    node.hidden === true ? [] : [name, ...node.aliases ?? []]
  );
  const full = ["nyx", ...path, word].join(" ");
  const hint = didYouMean(word, names, ["nyx", ...path, ""].join(" "));
  return new UsageError(`"${full}" is not a nyx command${hint}`);
}

/** Help of a command named by words, as `nyx help run` and `nyx run --help` give it. */
async function showHelp(words: readonly string[], globals: Globals): Promise<number> {
  const resolved = resolveCommand(COMMANDS, words);
  if (resolved === undefined || resolved.path.length < words.length) {
    throw await unknownCommand(
      words[resolved?.path.length ?? 0] ?? "",
      resolved?.node.children ?? COMMANDS,
      resolved?.path ?? [],
    );
  }
  return await nodeHelp(resolved, globals);
}

async function nodeHelp(resolved: Resolved, globals: Globals): Promise<number> {
  const help = await import("./args/help.ts");
  const context = processContext(globals);
  const { path, node } = resolved;
  if (node.load === undefined) {
    context.out.text(help.groupHelp(path, node, context.width()));
    return 0;
  }
  const { command } = await node.load();
  const aliases = (node.aliases ?? []).map((alias) => [...path.slice(0, -1), alias].join(" "));
  context.out.text(help.commandHelp(path, command, aliases, context.width()));
  return 0;
}

async function runGroup(resolved: Resolved, globals: Globals): Promise<number> {
  const [word] = resolved.rest;
  if (word === undefined || word === "--help" || word === "-h") return await nodeHelp(resolved, globals);
  if (word.startsWith("-")) {
    throw new UsageError(`Option ${word} stands before the command: nyx ${resolved.path.join(" ")} COMMAND ${word}`);
  }
  throw await unknownCommand(word, resolved.node.children ?? {}, resolved.path);
}

async function runCommand(command: Command, resolved: Resolved, globals: Globals): Promise<number> {
  const shortHelp = Object.values(command.flags).some((spec) => spec.short === "h") ? {} : { short: "h" };
  const specs = { ...GLOBAL_FLAGS, help: { ...GLOBAL_FLAGS.help, ...shortHelp }, ...command.flags };
  const parsed = parseArgs(specs, resolved.rest, { optionsFirst: command.optionsFirst ?? false });
  if (parsed.flags.help === true) return await nodeHelp(resolved, globals);
  checkOperands(command.operands, parsed.operands);
  globals.socket = text(parsed.flags.socket) ?? globals.socket;
  globals.debug = parsed.flags.debug === true || globals.debug;
  // The definition that parsed the flags is the one that typed them.
  return await command.run(processContext(globals), parsed.flags as Parameters<Command["run"]>[1], parsed.operands);
}

async function failed(e: unknown, globals: Globals, usageExit: number, helpFor: string): Promise<number> {
  if (e instanceof OutputClosed) return 141;
  const context: Context = processContext(globals);
  try {
    if (e instanceof UsageError) {
      context.err.text(`${context.paintErr.red("nyx:")} ${e.message}\nSee '${helpFor}'.\n`);
      return usageExit;
    }
    const { EXIT, ExitError, reportFailure } = await import("./failure.ts");
    reportFailure(context, e);
    if (e instanceof ExitError) return e.exitCode;
    return usageExit === EXIT.engine ? EXIT.engine : EXIT.failure;
  } catch (nested) {
    if (nested instanceof OutputClosed) return usageExit;
    throw nested;
  }
}
