/**
 * Definitions of commands. One definition is the source of parsing, of `--help`, of shell completion and of the types that a command's
 * code sees, so the four cannot drift apart.
 *
 * Why own code: Docker's command line needs options that end at the first operand (`run`, `exec`), joined short options (`-it`, `-p80:80`),
 * repeatable options and negative values, and `nyx` must start in about the time of an empty Deno script; the parsers at hand take
 * two to four times that.
 */

import type { Context } from "../context.ts";

/** What completes a value: live names from the daemon, files, or fixed words. */
export type Completion =
  | "containers"
  | "running"
  | "images"
  | "volumes"
  | "networks"
  | "own-networks"
  | "signals"
  | "files"
  | "dirs"
  | "commands"
  | readonly string[];

/** One option. The key in the definition is its long name. */
export interface FlagSpec {
  /** `bool` takes no value; `value` the last given; `list` collects. */
  readonly type: "bool" | "value" | "list";
  /** One letter. */
  readonly short?: string;
  /** Placeholder of the value in help. */
  readonly value?: string;
  /** What it does, without a full stop. */
  readonly help: string;
  /** Other long names. */
  readonly aliases?: readonly string[];
  readonly complete?: Completion;
  /** Not in help and completion. */
  readonly hidden?: boolean;
  /** Known from Docker but not to be honoured here: using it fails with this reason. */
  readonly refuse?: string;
}

/** Options by long name. */
export type FlagSpecs = Readonly<Record<string, FlagSpec>>;

/** Value that one option has after parsing. */
export type FlagValue<F extends FlagSpec> = F["type"] extends "bool" ? boolean | undefined
  : F["type"] extends "list" ? string[]
  : string | undefined;

/** Values of all options. */
export type FlagValues<F extends FlagSpecs> = { [K in keyof F]: FlagValue<F[K]> };

/** One operand. */
export interface OperandSpec {
  /** As help shows it, such as CONTAINER. */
  readonly name: string;
  readonly optional?: boolean;
  /** Takes all that remain; the last operand only. */
  readonly variadic?: boolean;
  readonly complete?: Completion;
}

/** A command: what it takes and what it does. */
export interface Command<F extends FlagSpecs = FlagSpecs> {
  /** One line for lists of commands, and the head of its help. */
  readonly summary: string;
  readonly flags: F;
  readonly operands: readonly OperandSpec[];
  /** Options end at the first operand, so that what follows belongs to the container's command. */
  readonly optionsFirst?: boolean;
  /** Exit code of a usage error; 125 for what runs a user's command, else 2. */
  readonly usageExit?: number;
  /** More help below the options: examples, formats. */
  readonly notes?: string;
  /**
   * Does it.
   *
   * @returns the exit code
   */
  run(context: Context, flags: FlagValues<F>, operands: string[]): Promise<number>;
}

/** Gives a command's definition its inferred types. */
export function defineCommand<const F extends FlagSpecs>(command: Command<F>): Command<F> {
  return command;
}

/** A place in the tree of commands. */
export interface CommandNode {
  readonly summary: string;
  /** Module of the command; static specifiers, so that bundlers find them. */
  readonly load?: () => Promise<{ command: Command }>;
  /** For a group such as `image`. */
  readonly children?: CommandTable;
  /** Of a group: options that may stand before the command's name, and belong to every command below it. */
  readonly flags?: FlagSpecs;
  readonly aliases?: readonly string[];
  readonly hidden?: boolean;
  /** Heading of the top-level help. */
  readonly group?: "common" | "management" | "other";
}

/** Commands by name. */
export type CommandTable = Readonly<Record<string, CommandNode>>;

/** A mistake on the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Options that every command takes, before or after its name. */
export const GLOBAL_FLAGS = {
  socket: {
    type: "value",
    value: "PATH",
    help: "Socket of nyxd (default NYXD_SOCKET, else /run/nyxd/nyxd.sock)",
    complete: "files",
  },
  debug: { type: "bool", help: "Show details of errors" },
  help: { type: "bool", help: "Show help" },
} as const satisfies FlagSpecs;
