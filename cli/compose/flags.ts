/** Options that say which project is meant. They stand before or behind the name of a compose command. */

import type { FlagSpecs, FlagValues } from "../args/definition.ts";

/** All of them, by their long names and one letter. */
export const PROJECT_FLAGS = {
  file: {
    type: "list",
    short: "f",
    value: "FILE",
    help: "Compose file, or - for standard input (default COMPOSE_FILE, else the first that is found)",
    complete: "files",
  },
  "project-name": { type: "value", short: "p", value: "NAME", aliases: ["project"], help: "Name of the project" },
  profile: { type: "list", value: "NAME", help: "Enable a profile" },
  "env-file": { type: "list", value: "FILE", help: "File with variables (default .env)", complete: "files" },
  "project-directory": {
    type: "value",
    value: "DIR",
    help: "Directory that relative paths start from",
    complete: "dirs",
  },
} as const satisfies FlagSpecs;

const { short: _f, ...file } = PROJECT_FLAGS.file;
const { short: _p, ...name } = PROJECT_FLAGS["project-name"];

/** The same without letters, for commands that have their own -f or -p. */
export const LONG_PROJECT_FLAGS = { ...PROJECT_FLAGS, file, "project-name": name } as const satisfies FlagSpecs;

/** What these options come to. */
export type ProjectFlags = FlagValues<typeof PROJECT_FLAGS>;
