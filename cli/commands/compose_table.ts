/** The commands below `nyx compose`. */

import type { CommandNode, CommandTable } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";

const children: CommandTable = {
  down: { summary: "Stop and remove a project's containers and networks", load: () => import("./compose_down.ts") },
  logs: { summary: "Show the output of a project's containers", load: () => import("./compose_logs.ts") },
  ps: { summary: "List a project's containers", load: () => import("./compose_ps.ts") },
  up: { summary: "Create and start what the compose files ask for", load: () => import("./compose_up.ts") },
};

/** `nyx compose`. */
export const compose: CommandNode = {
  summary: "Run applications from compose files",
  group: "management",
  flags: PROJECT_FLAGS,
  children,
};
