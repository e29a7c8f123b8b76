/** `nyx exec`. */

import type { ExecRequest } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT, exitCodeOf, ExitError } from "../failure.ts";
import { processSources } from "../run_request.ts";
import { requireTerminal, runSession } from "../session.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "../terminal/detach_keys.ts";
import { terminalSize } from "../terminal/output.ts";
import { parseEnv, parseEnvFile } from "../../daemon/spec/parse/env_file.ts";
import { parseUser, parseWorkdir } from "../../daemon/spec/parse/modes.ts";
import { toErrorData } from "../../mod.ts";

/** `nyx exec`. */
export const command = defineCommand({
  summary: "Run a command in a running container",
  flags: {
    detach: { type: "bool", short: "d", help: "Run in the background" },
    "detach-keys": { type: "value", value: "KEYS", help: "Keys that leave the terminal (default ctrl-p,ctrl-q)" },
    env: { type: "list", short: "e", value: "NAME[=VALUE]", help: "Set a variable" },
    "env-file": { type: "list", value: "FILE", help: "Read variables from a file", complete: "files" },
    interactive: { type: "bool", short: "i", help: "Keep standard input open" },
    privileged: { type: "bool", help: "Give the command all capabilities" },
    tty: { type: "bool", short: "t", help: "Give the command a terminal" },
    user: { type: "value", short: "u", value: "USER[:GROUP]", help: "User (and group) to run as" },
    workdir: { type: "value", short: "w", value: "PATH", help: "Working directory in the container" },
  },
  operands: [
    { name: "CONTAINER", complete: "running" },
    { name: "COMMAND" },
    { name: "ARG", optional: true, variadic: true },
  ],
  optionsFirst: true,
  usageExit: EXIT.engine,
  notes: `Exit code: the command's, 125 when nyx failed, 126 when it cannot be executed, 127 when it does not exist.`,
  async run(context, flags, [ref = "", ...argv]) {
    const [stdin, tty, detach] = [flags.interactive === true, flags.tty === true, flags.detach === true];
    if (!detach) requireTerminal(stdin, tty, EXIT.failure);
    const detachKeys = flags["detach-keys"] ?? DEFAULT_DETACH_KEYS;
    parseDetachKeys(detachKeys);
    const sources = processSources(context);
    const env = [
      ...flags["env-file"].flatMap((path) => parseEnvFile(sources.readFile(path), path, sources.env)),
      ...flags.env.map((text) => parseEnv(text, sources.env)),
    ];
    const request: ExecRequest = {
      argv,
      tty,
      stdin: stdin && !detach,
      ...(tty && !detach ? terminalSize() : undefined),
    };
    if (env.length > 0) request.env = env;
    if (flags.user !== undefined) request.user = parseUser(flags.user);
    if (flags.workdir !== undefined) request.workingDir = parseWorkdir(flags.workdir);
    if (flags.privileged === true) request.privileged = true;
    const client = await context.client();
    try {
      if (detach) {
        await client.containers.execDetached(ref, request);
        return EXIT.ok;
      }
      const stream = await client.containers.exec(ref, request);
      const result = await runSession(context, stream, {
        stdin,
        tty,
        sigProxy: true,
        detachKeys,
        awaitStart: false,
        forceStop: (kill) => stream.signal(kill ? "SIGKILL" : "SIGTERM"),
      });
      return result.exitCode;
    } catch (e) {
      const code = e instanceof ExitError ? undefined : exitCodeOf(toErrorData(e));
      if (code === undefined) throw e;
      throw new ExitError(code, toErrorData(e).message, { cause: e });
    }
  },
});
