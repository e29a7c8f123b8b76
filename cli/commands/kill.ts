/** `nyx kill`. */

import { parseSignal } from "../../daemon/spec/parse/signal.ts";
import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";

/** `nyx kill`. */
export const command = defineCommand({
  summary: "Send a signal to running containers",
  flags: {
    signal: { type: "value", short: "s", value: "SIGNAL", help: "Signal to send (default KILL)", complete: "signals" },
  },
  operands: [{ name: "CONTAINER", variadic: true, complete: "running" }],
  async run(context, flags, operands) {
    const signal = flags.signal === undefined ? undefined : parseSignal(flags.signal).name;
    const client = await context.client();
    return await eachOf(context, operands, async (ref) => {
      await client.containers.kill(ref, signal);
      return ref;
    });
  },
});
