/** `nyx compose run`. */

import type { ComposeRunRequest } from "../../mod.ts";
import { CAPABILITIES, parseCapability } from "../../daemon/spec/parse/capability.ts";
import { parseEnv, parseEnvFile } from "../../daemon/spec/parse/env_file.ts";
import { parseVolume } from "../../daemon/spec/parse/mounts.ts";
import { parsePublish } from "../../daemon/spec/parse/ports.ts";
import { parseKeyValue } from "../compose/key_value.ts";
import { defineCommand, type FlagSpecs, type FlagValues } from "../args/definition.ts";
import { LONG_PROJECT_FLAGS } from "../compose/flags.ts";
import { Project } from "../compose/source.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import { runSession } from "../session.ts";
import { DEFAULT_DETACH_KEYS } from "../terminal/detach_keys.ts";
import { terminalSize } from "../terminal/output.ts";

const FLAGS = {
  ...LONG_PROJECT_FLAGS,
  build: { type: "bool", help: "Build the service's image anew" },
  "cap-add": { type: "list", value: "CAPABILITY", help: "Add a capability", complete: CAPABILITIES },
  "cap-drop": { type: "list", value: "CAPABILITY", help: "Take a capability away", complete: CAPABILITIES },
  detach: { type: "bool", short: "d", help: "Leave the container in the background, and print its name" },
  entrypoint: { type: "value", value: "PROGRAM", help: "Instead of the service's entrypoint" },
  env: { type: "list", short: "e", value: "NAME=VALUE", help: "Set a variable" },
  "env-from-file": { type: "list", value: "FILE", help: "File with variables", complete: "files" },
  interactive: { type: "bool", short: "i", help: "Keep standard input open (default true)" },
  label: { type: "list", short: "l", value: "NAME=VALUE", help: "Set a label" },
  name: { type: "value", value: "NAME", help: "Name of the container" },
  "no-TTY": { type: "bool", short: "T", aliases: ["no-tty"], help: "Give the command no terminal" },
  "no-deps": { type: "bool", help: "Do not start what the service depends on" },
  publish: { type: "list", short: "p", value: "PORT", help: "Publish a port: [HOST-IP:][HOST-PORT:]PORT[/udp]" },
  quiet: { type: "bool", short: "q", help: "Print nothing but the command's output" },
  "quiet-pull": { type: "bool", help: "", hidden: true },
  rm: { type: "bool", help: "Remove the container when it has exited" },
  "service-ports": { type: "bool", short: "P", help: "Publish the service's ports" },
  "use-aliases": { type: "bool", help: "The service's names count for this container, too" },
  user: { type: "value", short: "u", value: "USER[:GROUP]", help: "User (and group) to run as" },
  volume: { type: "list", short: "v", value: "VOLUME", help: "Mount a directory or volume: [SOURCE:]TARGET[:ro]" },
  workdir: { type: "value", short: "w", value: "PATH", help: "Working directory in the container" },
} as const satisfies FlagSpecs;

/** What the options ask for beside the service's own settings. */
function requestOf(
  context: Context,
  flags: FlagValues<typeof FLAGS>,
  argv: readonly string[],
): Omit<ComposeRunRequest, "files" | "service"> {
  const options: Omit<ComposeRunRequest, "files" | "service"> = {};
  const environment = [
    ...flags["env-from-file"].flatMap((path) => parseEnvFile(Deno.readFileSync(path), path, context.env)),
    ...flags.env.map((text) => parseEnv(text, context.env)),
  ];
  if (argv.length > 0) options.command = [...argv];
  if (flags.entrypoint !== undefined) options.entrypoint = flags.entrypoint === "" ? [] : [flags.entrypoint];
  if (environment.length > 0) options.environment = environment;
  if (flags.publish.length > 0) options.publish = flags.publish.map((text) => parsePublish(text));
  if (flags.volume.length > 0) options.mounts = flags.volume.map((text) => parseVolume(text, { cwd: Deno.cwd() }));
  if (flags["cap-add"].length > 0) options.cap_add = flags["cap-add"].map((text) => parseCapability(text));
  if (flags["cap-drop"].length > 0) options.cap_drop = flags["cap-drop"].map((text) => parseCapability(text));
  if (flags.label.length > 0) options.labels = Object.fromEntries(flags.label.map((text) => parseKeyValue(text)));
  if (flags.user !== undefined) options.user = flags.user;
  if (flags.workdir !== undefined) options.workdir = flags.workdir;
  if (flags.name !== undefined) options.name = flags.name;
  for (const name of ["build", "service-ports", "use-aliases", "rm", "no-deps"] as const) {
    if (flags[name] === true) Object.assign(options, { [name.replaceAll("-", "_")]: true });
  }
  return options;
}

/** `nyx compose run`. */
export const command = defineCommand({
  summary: "Run a command in a new container of a service",
  flags: FLAGS,
  operands: [{ name: "SERVICE" }, { name: "COMMAND", optional: true }, { name: "ARG", optional: true, variadic: true }],
  optionsFirst: true,
  usageExit: EXIT.engine,
  async run(context, flags, [service = "", ...argv]) {
    const project = await Project.find(context, flags, true);
    const detach = flags.detach === true;
    const stdin = flags.interactive !== false && !detach;
    const tty = flags["no-TTY"] !== true && Deno.stdin.isTerminal() && context.out.isTerminal && !detach;
    const options = { ...requestOf(context, flags, argv), service, tty, interactive: stdin };
    const client = await context.client();
    const made = await project.request((source) => client.compose.run({ ...source, ...options }));
    if (flags.quiet !== true) project.warn(made.warnings);
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
