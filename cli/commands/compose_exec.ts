/** `nyx compose exec`. */

import { defineCommand } from "../args/definition.ts";
import { LONG_PROJECT_FLAGS } from "../compose/flags.ts";
import { memberOf } from "../compose/members.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";
import { command as exec } from "./exec.ts";

/** `nyx compose exec`. */
export const command = defineCommand({
  summary: "Run a command in a running container of a service",
  flags: {
    ...LONG_PROJECT_FLAGS,
    detach: { type: "bool", short: "d", help: "Run in the background" },
    env: { type: "list", short: "e", value: "NAME[=VALUE]", help: "Set a variable" },
    index: { type: "value", value: "NUMBER", help: "Number of the container (default the first)" },
    interactive: { type: "bool", short: "i", help: "Keep standard input open (default true)" },
    "no-TTY": { type: "bool", short: "T", aliases: ["no-tty"], help: "Give the command no terminal" },
    privileged: { type: "bool", help: "Give the command all capabilities" },
    tty: { type: "bool", short: "t", help: "", hidden: true },
    user: { type: "value", short: "u", value: "USER[:GROUP]", help: "User (and group) to run as" },
    workdir: { type: "value", short: "w", value: "PATH", help: "Working directory in the container" },
  },
  operands: [{ name: "SERVICE" }, { name: "COMMAND" }, { name: "ARG", optional: true, variadic: true }],
  optionsFirst: true,
  usageExit: EXIT.engine,
  notes: "A terminal is given where standard input and output are one, as Docker Compose does; -T refuses it.",
  async run(context, flags, [service = "", ...argv]) {
    const project = await Project.find(context, flags, false);
    const { id } = await memberOf(context, project, service, flags.index);
    const detach = flags.detach === true;
    const tty = flags["no-TTY"] !== true && Deno.stdin.isTerminal() && context.out.isTerminal && !detach;
    return await exec.run(context, {
      detach,
      "detach-keys": undefined,
      env: flags.env,
      "env-file": [],
      interactive: flags.interactive !== false && !detach,
      privileged: flags.privileged,
      tty,
      user: flags.user,
      workdir: flags.workdir,
    }, [id, ...argv]);
  },
});
