/** `nyx compose run`. */

import type { ComposeRunRequest } from "../../mod.ts";
import { parseKeyValue } from "../compose/key_value.ts";
import { defineCommand } from "../args/definition.ts";
import { LONG_PROJECT_FLAGS } from "../compose/flags.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";
import { runSession } from "../session.ts";
import { DEFAULT_DETACH_KEYS } from "../terminal/detach_keys.ts";
import { terminalSize } from "../terminal/output.ts";

/** `nyx compose run`. */
export const command = defineCommand({
  summary: "Run a command in a new container of a service",
  flags: {
    ...LONG_PROJECT_FLAGS,
    build: { type: "bool", help: "", refuse: "nyx builds no images" },
    detach: { type: "bool", short: "d", help: "Leave the container in the background, and print its name" },
    entrypoint: { type: "value", value: "PROGRAM", help: "Instead of the service's entrypoint" },
    env: { type: "list", short: "e", value: "NAME=VALUE", help: "Set a variable" },
    interactive: { type: "bool", short: "i", help: "Keep standard input open (default true)" },
    label: { type: "list", short: "l", value: "NAME=VALUE", help: "Set a label" },
    name: { type: "value", value: "NAME", help: "Name of the container" },
    "no-TTY": { type: "bool", short: "T", aliases: ["no-tty"], help: "Give the command no terminal" },
    "no-deps": { type: "bool", help: "Do not start what the service depends on" },
    publish: { type: "list", short: "p", value: "PORTS", help: "", refuse: "use --service-ports, or nyx run -p" },
    rm: { type: "bool", help: "Remove the container when it has exited" },
    "service-ports": { type: "bool", short: "P", help: "Publish the service's ports" },
    "use-aliases": { type: "bool", help: "The service's names count for this container, too" },
    user: { type: "value", short: "u", value: "USER[:GROUP]", help: "User (and group) to run as" },
    volume: { type: "list", short: "v", value: "VOLUME", help: "", refuse: "write it in the compose file" },
    workdir: { type: "value", short: "w", value: "PATH", help: "Working directory in the container" },
  },
  operands: [{ name: "SERVICE" }, { name: "COMMAND", optional: true }, { name: "ARG", optional: true, variadic: true }],
  optionsFirst: true,
  usageExit: EXIT.engine,
  async run(context, flags, [service = "", ...argv]) {
    const project = await Project.find(context, flags, true);
    const detach = flags.detach === true;
    const stdin = flags.interactive !== false && !detach;
    const tty = flags["no-TTY"] !== true && Deno.stdin.isTerminal() && context.out.isTerminal && !detach;
    const options: Omit<ComposeRunRequest, "files"> = { service, tty, interactive: stdin };
    if (argv.length > 0) options.command = argv;
    if (flags.entrypoint !== undefined) options.entrypoint = flags.entrypoint === "" ? [] : [flags.entrypoint];
    if (flags.env.length > 0) options.environment = flags.env;
    if (flags.label.length > 0) options.labels = Object.fromEntries(flags.label.map((text) => parseKeyValue(text)));
    if (flags.user !== undefined) options.user = flags.user;
    if (flags.workdir !== undefined) options.workdir = flags.workdir;
    if (flags.name !== undefined) options.name = flags.name;
    for (const name of ["service-ports", "use-aliases", "rm", "no-deps"] as const) {
      if (flags[name] === true) Object.assign(options, { [name.replaceAll("-", "_")]: true });
    }
    const client = await context.client();
    const made = await project.request((source) => client.compose.run({ ...source, ...options }));
    project.warn(made.warnings);
    if (detach) {
      await client.containers.start(made.id);
      context.out.text(`${made.name}\n`);
      return EXIT.ok;
    }
    const size = tty ? terminalSize() : undefined;
    const stream = await client.containers.attachStart(made.id, { stdin, stdout: true, stderr: true, ...size });
    const result = await runSession(context, stream, {
      stdin,
      tty,
      sigProxy: true,
      detachKeys: DEFAULT_DETACH_KEYS,
      awaitStart: true,
      forceStop: async (kill) => {
        await (kill ? client.containers.kill(made.id) : client.containers.stop(made.id));
      },
    });
    return result.exitCode;
  },
});
