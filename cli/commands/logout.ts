/** `nyx logout`. */

import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { registryHost } from "./login.ts";

/** `nyx logout`. */
export const command = defineCommand({
  summary: "Log out from a registry",
  flags: {},
  operands: [{ name: "REGISTRY", optional: true }],
  async run(context, _flags, [operand]) {
    const registry = registryHost(operand);
    const { eraseCredentials } = await import("../credentials.ts");
    const erased = await eraseCredentials(registry);
    context.out.text(erased ? `Removed the login for ${registry}\n` : `Not logged in to ${registry}\n`);
    return EXIT.ok;
  },
});
