/** Containers of a project that a command line names by service. */

import { type ComposeContainer, type ComposePsResult, invalid, NyxError } from "../../mod.ts";
import type { Context } from "../context.ts";
import type { Project } from "./source.ts";

/** Containers of some services; one-off ones left out. */
export async function membersOf(
  context: Context,
  project: Project,
  services: readonly string[],
): Promise<ComposePsResult> {
  const client = await context.client();
  const found = await project.request((source) => client.compose.ps(source));
  const known = new Set([...found.services, ...found.containers.map((c) => c.service)]);
  const missing = services.find((service) => !known.has(service));
  if (missing !== undefined) {
    const list = known.size === 0 ? "it has none" : `it has ${[...known].sort().join(", ")}`;
    throw new NyxError("not_found", `Project ${found.project} has no service "${missing}"; ${list}`);
  }
  const containers = found.containers.filter((c) =>
    !c.oneoff && (services.length === 0 || services.includes(c.service))
  );
  return { ...found, containers };
}

/** One running container of a service: the one with the number, else the first. */
export async function memberOf(
  context: Context,
  project: Project,
  service: string,
  index: string | undefined,
): Promise<ComposeContainer> {
  if (index !== undefined && !/^\d{1,6}$/.test(index)) throw invalid("index", index, "give a container's number");
  const { containers } = await membersOf(context, project, [service]);
  const up = containers.filter((c) => c.status === "running" || c.status === "paused");
  const found = index === undefined || index === "0" ? up[0] : up.find((c) => String(c.number) === index);
  if (found !== undefined) return found;
  throw new NyxError(
    "failed_precondition",
    `Service ${service} has no running container${index === undefined ? "" : ` with number ${index}`}; start it first`,
  );
}
