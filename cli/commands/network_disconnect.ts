/** `nyx network disconnect`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx network disconnect`. */
export const command = defineCommand({
  summary: "Disconnect a container from a network",
  flags: { force: { type: "bool", short: "f", help: "A container that is not there is no error" } },
  operands: [{ name: "NETWORK", complete: "networks" }, { name: "CONTAINER", complete: "containers" }],
  async run(context, flags, [network = "", container = ""]) {
    try {
      await (await context.client()).networks.disconnect(network, container);
    } catch (e) {
      const gone = e instanceof NyxError && e.code === "not_found" && e.message.startsWith("No such container");
      if (flags.force !== true || !gone) throw e;
    }
    return EXIT.ok;
  },
});
