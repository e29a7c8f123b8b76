/** `nyx compose port`. */

import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { memberOf } from "../compose/members.ts";
import { Project } from "../compose/source.ts";
import { command as port } from "./port.ts";

/** `nyx compose port`. */
export const command = defineCommand({
  summary: "Show where a service's port is published",
  flags: {
    ...PROJECT_FLAGS,
    index: { type: "value", value: "NUMBER", help: "Number of the container (default the first)" },
    protocol: { type: "value", value: "PROTOCOL", help: "tcp (default) or udp", complete: ["tcp", "udp"] },
  },
  operands: [{ name: "SERVICE" }, { name: "PORT", optional: true }],
  async run(context, flags, [service = "", wanted]) {
    const project = await Project.find(context, flags, false);
    const { id } = await memberOf(context, project, service, flags.index);
    const full = wanted === undefined || flags.protocol === undefined ? wanted : `${wanted}/${flags.protocol}`;
    return await port.run(context, {}, full === undefined ? [id] : [id, full]);
  },
});
