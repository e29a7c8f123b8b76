/** `nyx run`: one request makes, starts and attaches. */

import type { AttachedRun, ContainerConfig, RunOptions, StreamEvent } from "../../mod.ts";
import { invalid, NyxError } from "../../mod.ts";
import { defineCommand, type FlagSpecs, type FlagValues } from "../args/definition.ts";
import { CONTAINER_FLAGS } from "../container_flags.ts";
import { parsePullPolicy } from "../container_config.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import { pullProgress } from "../pull_progress.ts";
import {
  credentialsFor,
  imageIsPresent,
  mayHaveLogins,
  prepareCidfile,
  requestedContainer,
  showWarnings,
} from "../run_request.ts";
import { requireTerminal, runSession } from "../session.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "../terminal/detach_keys.ts";
import { terminalSize } from "../terminal/output.ts";
import { safeJson } from "../render/escape.ts";

const FLAGS = {
  ...CONTAINER_FLAGS,
  detach: { type: "bool", short: "d", help: "Run in the background and print the container's id" },
  "detach-keys": { type: "value", value: "KEYS", help: "Keys that leave the terminal (default ctrl-p,ctrl-q)" },
  json: { type: "bool", help: "With -d: print events of the pull and the run as JSON lines" },
  "sig-proxy": { type: "bool", help: "Pass signals on to the process (default true)" },
} as const satisfies FlagSpecs;

type Flags = FlagValues<typeof FLAGS>;

async function runOptions(context: Context, flags: Flags, image: string): Promise<RunOptions> {
  const pull = parsePullPolicy(flags.pull);
  const options: RunOptions = { pull };
  if (pull === "never" || !mayHaveLogins(context)) return options;
  // No registry is asked for an image that is there: no helper runs, and a broken config file is no obstacle.
  if (pull === "missing" && await imageIsPresent(context, image)) return options;
  const credentials = await credentialsFor(image);
  if (credentials === undefined) return options;
  if (credentials.username !== undefined) options.registry_username = credentials.username;
  if (credentials.password !== undefined) options.registry_password = credentials.password;
  if (credentials.identityToken !== undefined) options.registry_identity_token = credentials.identityToken;
  return options;
}

async function runDetached(
  context: Context,
  flags: Flags,
  config: ContainerConfig,
  options: RunOptions,
): Promise<number> {
  const writeCid = prepareCidfile(flags.cidfile);
  const progress = pullProgress(context, flags.quiet === true || flags.json === true);
  const client = await context.client();
  try {
    const result = await client.containers.run({ ...config, ...options }, {
      onEvent: (event) => {
        progress.event(event);
        if (flags.json === true) context.out.text(`${safeJson(event)}\n`);
      },
    });
    progress.end();
    writeCid(result.id);
    showWarnings(context, result.warnings);
    const line = flags.json === true
      ? JSON.stringify({ phase: "run", ok: true, container_id: result.id, ref: result.image })
      : result.id;
    context.out.text(`${line}\n`);
    return EXIT.ok;
  } finally {
    progress.end();
  }
}

/** Streams to attach: what `-a` names, else both outputs, and the input with `-i`. */
function attachments(flags: Flags): { stdin: boolean; stdout: boolean; stderr: boolean } {
  const named = flags.attach.map((text) => text.toLowerCase());
  const unknown = named.find((text) => !["stdin", "stdout", "stderr"].includes(text));
  if (unknown !== undefined) throw invalid("attach", unknown, "use stdin, stdout or stderr");
  if (named.length === 0) return { stdin: flags.interactive === true, stdout: true, stderr: true };
  return { stdin: named.includes("stdin"), stdout: named.includes("stdout"), stderr: named.includes("stderr") };
}

async function runAttached(
  context: Context,
  flags: Flags,
  config: ContainerConfig,
  options: RunOptions,
): Promise<number> {
  const attach = attachments(flags);
  const tty = flags.tty === true;
  requireTerminal(attach.stdin, tty, EXIT.failure);
  const detachKeys = flags["detach-keys"] ?? DEFAULT_DETACH_KEYS;
  parseDetachKeys(detachKeys);
  const writeCid = prepareCidfile(flags.cidfile);
  const request: AttachedRun = { ...config, ...options, attach: { ...attach, ...(tty ? terminalSize() : undefined) } };
  if (attach.stdin) request.openStdin = true;
  const progress = pullProgress(context, flags.quiet === true);
  const client = await context.client();
  let id: string | undefined;
  const stream = await client.containers.attachRun(request);
  try {
    const result = await runSession(context, stream, {
      stdin: attach.stdin,
      tty,
      sigProxy: flags["sig-proxy"] ?? true,
      detachKeys,
      awaitStart: true,
      onEvent: (event: StreamEvent) => {
        if (event.event === "pull") return progress.event(event.pull);
        progress.end();
        if (event.event !== "created") return;
        id = event.id;
        writeCid(event.id);
        showWarnings(context, event.warnings);
      },
      beforeOutput: () => progress.end(),
      forceStop: async (kill) => {
        if (id !== undefined) await (kill ? client.containers.kill(id) : client.containers.stop(id));
      },
    });
    if (result.detached && id !== undefined) {
      context.err.text(`${tty ? "\n" : ""}nyx: detached; attach again with: nyx attach ${id.slice(0, 12)}\n`);
    }
    return result.exitCode;
  } finally {
    progress.end();
  }
}

/** `nyx run`. */
export const command = defineCommand({
  summary: "Create and run a new container from an image",
  flags: FLAGS,
  operands: [
    { name: "IMAGE", complete: "images" },
    { name: "COMMAND", optional: true },
    { name: "ARG", optional: true, variadic: true },
  ],
  optionsFirst: true,
  usageExit: EXIT.engine,
  notes: `Exit code: the program's, 128+N when signal N ended it, 125 when nyx failed, 126 when the program
cannot be executed, 127 when it does not exist.`,
  async run(context, flags, operands) {
    if (flags.detach === true && flags.attach.length > 0) {
      throw new NyxError("invalid_argument", "--attach conflicts with --detach: give one or the other");
    }
    if (flags.json === true && flags.detach !== true) {
      throw new NyxError("invalid_argument", "--json goes with -d: in the foreground the output is the program's own");
    }
    const config = requestedContainer(context, flags, operands);
    const options = await runOptions(context, flags, config.image);
    return flags.detach === true
      ? await runDetached(context, flags, config, options)
      : await runAttached(context, flags, config, options);
  },
});
