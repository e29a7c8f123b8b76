/** `nyx start`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import { requireTerminal, runSession } from "../session.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "../terminal/detach_keys.ts";
import { terminalSize } from "../terminal/output.ts";

async function startAttached(
  context: Context,
  ref: string,
  options: { stdin: boolean; sigProxy: boolean; detachKeys: string },
): Promise<number> {
  const client = await context.client();
  const { id, config } = await client.containers.inspect(ref);
  const tty = config.tty === true;
  const stdin = options.stdin && config.openStdin === true;
  requireTerminal(stdin, tty, EXIT.failure);
  parseDetachKeys(options.detachKeys);
  const size = tty ? terminalSize() : undefined;
  const stream = await client.containers.attachStart(id, { stdin, stdout: true, stderr: true, ...size });
  const result = await runSession(context, stream, {
    stdin,
    tty,
    sigProxy: options.sigProxy,
    detachKeys: options.detachKeys,
    awaitStart: true,
    forceStop: async (kill) => {
      await (kill ? client.containers.kill(id) : client.containers.stop(id));
    },
  });
  return result.exitCode;
}

/** `nyx start`. */
export const command = defineCommand({
  summary: "Start stopped containers",
  flags: {
    attach: { type: "bool", short: "a", help: "Show the output, and exit with the process's code" },
    "detach-keys": { type: "value", value: "KEYS", help: "Keys that leave the terminal (default ctrl-p,ctrl-q)" },
    interactive: { type: "bool", short: "i", help: "Feed standard input" },
    "sig-proxy": { type: "bool", help: "Pass signals on to the process (default true)" },
  },
  operands: [{ name: "CONTAINER", variadic: true, complete: "containers" }],
  async run(context, flags, operands) {
    const attached = flags.attach === true || flags.interactive === true;
    if (attached && operands.length > 1) {
      throw new NyxError(
        "invalid_argument",
        `Cannot attach to ${operands.length} containers at once: start them without -a and -i`,
      );
    }
    if (attached) {
      return await startAttached(context, operands[0] ?? "", {
        stdin: flags.interactive === true,
        sigProxy: flags["sig-proxy"] ?? true,
        detachKeys: flags["detach-keys"] ?? DEFAULT_DETACH_KEYS,
      });
    }
    const client = await context.client();
    return await eachOf(context, operands, async (ref) => {
      await client.containers.start(ref);
      return ref;
    });
  },
});
