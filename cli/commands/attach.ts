/** `nyx attach`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { requireTerminal, runSession } from "../session.ts";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "../terminal/detach_keys.ts";
import { terminalSize } from "../terminal/output.ts";

/** `nyx attach`. */
export const command = defineCommand({
  summary: "Attach to a running container",
  flags: {
    "detach-keys": { type: "value", value: "KEYS", help: "Keys that leave the terminal (default ctrl-p,ctrl-q)" },
    "no-stdin": { type: "bool", help: "Do not feed standard input" },
    "sig-proxy": { type: "bool", help: "Pass signals on to the process (default true)" },
  },
  operands: [{ name: "CONTAINER", complete: "running" }],
  async run(context, flags, [ref = ""]) {
    const client = await context.client();
    const { id, name, config, state } = await client.containers.inspect(ref);
    if (state.status === "paused") {
      throw new NyxError(
        "failed_precondition",
        `Cannot attach to ${name}: it is paused; thaw it with: nyx unpause ${name}`,
      );
    }
    if (!state.running) {
      throw new NyxError(
        "failed_precondition",
        `Cannot attach to ${name}: it is ${state.status}; start it with: nyx start -a ${name}`,
      );
    }
    const tty = config.tty === true;
    const stdin = config.openStdin === true && flags["no-stdin"] !== true;
    requireTerminal(stdin, tty, EXIT.failure);
    const detachKeys = flags["detach-keys"] ?? DEFAULT_DETACH_KEYS;
    parseDetachKeys(detachKeys);
    const size = tty ? terminalSize() : undefined;
    const stream = await client.containers.attach(id, { stdin, stdout: true, stderr: true, ...size });
    const result = await runSession(context, stream, {
      stdin,
      tty,
      sigProxy: flags["sig-proxy"] ?? true,
      detachKeys,
      awaitStart: false,
      forceStop: async (kill) => {
        await (kill ? client.containers.kill(id) : client.containers.stop(id));
      },
    });
    return result.exitCode;
  },
});
