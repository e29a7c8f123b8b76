/** `nyx compose cp`. */

import { type ComposeContainer, NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { membersOf } from "../compose/members.ts";
import { Project } from "../compose/source.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import { command as cp } from "./cp.ts";

/** The service that one side names; undefined for a path of this machine. */
function serviceOf(side: string): string | undefined {
  const at = side.indexOf(":");
  return at < 1 || /^[./]/.test(side) ? undefined : side.slice(0, at);
}

/** Containers of a service, running ones first. */
async function containersOf(
  context: Context,
  project: Project,
  service: string,
  index: string | undefined,
): Promise<ComposeContainer[]> {
  const { containers } = await membersOf(context, project, [service]);
  const chosen = containers.filter((c) => index === undefined || index === "0" || String(c.number) === index);
  if (chosen.length > 0) return chosen.sort((a, b) => Number(b.status === "running") - Number(a.status === "running"));
  const which = index === undefined ? "no container" : `no container with number ${index}`;
  throw new NyxError("failed_precondition", `Service ${service} has ${which}; bring it up first`);
}

/** `nyx compose cp`. */
export const command = defineCommand({
  summary: "Copy files between a service's containers and this machine",
  flags: {
    ...PROJECT_FLAGS,
    all: { type: "bool", help: "", hidden: true },
    archive: { type: "bool", short: "a", help: "Keep user and group ids" },
    "follow-link": { type: "bool", short: "L", help: "Follow a symbolic link that is the source" },
    index: { type: "value", value: "NUMBER", help: "Only the container with this number" },
  },
  operands: [{ name: "SERVICE:PATH|PATH|-" }, { name: "SERVICE:PATH|PATH|-" }],
  notes: "From a service it copies out of its first container, to a service into all of them.",
  async run(context, flags, [source = "", target = ""]) {
    const [from, to] = [serviceOf(source), serviceOf(target)];
    if ((from === undefined) === (to === undefined)) {
      throw new NyxError("invalid_argument", "Exactly one side must be in a service: write it SERVICE:PATH");
    }
    const project = await Project.find(context, flags, false);
    const service = from ?? to ?? "";
    const containers = await containersOf(context, project, service, flags.index);
    const chosen = from === undefined && source !== "-" ? containers : containers.slice(0, 1);
    const inside = (side: string, id: string) => `${id}:${side.slice(service.length + 1)}`;
    for (const { id } of chosen) {
      await cp.run(
        context,
        { archive: flags.archive, "follow-link": flags["follow-link"], quiet: undefined },
        from === undefined ? [source, inside(target, id)] : [inside(source, id), target],
      );
    }
    return EXIT.ok;
  },
});
