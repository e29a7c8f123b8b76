/** Options of what plans: up, plan, create. */

import { type ComposePlanRequest, invalid } from "../../mod.ts";
import type { FlagSpecs, FlagValues } from "../args/definition.ts";

/** Options by long name. */
export const PLAN_FLAGS = {
  "always-recreate-deps": { type: "bool", help: "Replace also what depends on a replaced service" },
  build: { type: "bool", help: "Build images anew" },
  "force-recreate": { type: "bool", help: "Replace containers that are as asked for, too" },
  "no-build": { type: "bool", help: "Build no images: those that are missing are an error" },
  "no-deps": { type: "bool", help: "Leave out what the services depend on" },
  "no-recreate": { type: "bool", help: "Keep containers that exist, whatever they look like" },
  pull: {
    type: "value",
    value: "POLICY",
    help: "always, missing or never; overrides the services' own policies",
    complete: ["always", "missing", "never"],
  },
  "remove-orphans": { type: "bool", help: "Remove containers of services that are no longer defined" },
  scale: { type: "list", value: "SERVICE=NUMBER", help: "Containers of a service" },
} as const satisfies FlagSpecs;

/** `web=3` as numbers by service. */
export function parseScale(entries: readonly string[]): Record<string, number> {
  return Object.fromEntries(entries.map((entry) => {
    const match = /^([^=]+)=(\d{1,4})$/.exec(entry);
    if (match === null) throw invalid("scale", entry, "write SERVICE=NUMBER, such as web=3");
    return [match[1] ?? "", Number(match[2])];
  }));
}

/** The request that these options make. */
export function planOptions(
  flags: FlagValues<typeof PLAN_FLAGS>,
  services: readonly string[],
): Omit<ComposePlanRequest, "files"> {
  const out: Omit<ComposePlanRequest, "files"> = {};
  if (services.length > 0) out.services = [...services];
  if (flags.build === true) out.build = true;
  if (flags["always-recreate-deps"] === true) out.always_recreate_deps = true;
  if (flags["force-recreate"] === true) out.force_recreate = true;
  if (flags["no-deps"] === true) out.no_deps = true;
  if (flags["no-recreate"] === true) out.no_recreate = true;
  if (flags["remove-orphans"] === true) out.remove_orphans = true;
  if (flags["force-recreate"] === true && flags["no-recreate"] === true) {
    throw invalid("no-recreate", "true", "it contradicts --force-recreate; give one of them");
  }
  if (flags.build === true && flags["no-build"] === true) {
    throw invalid("no-build", "true", "it contradicts --build; give one of them");
  }
  const { pull } = flags;
  if (pull === "always" || pull === "missing" || pull === "never") out.pull = pull;
  else if (pull !== undefined && pull !== "policy") throw invalid("pull", pull, "give always, missing or never");
  if (flags.scale.length > 0) out.scale = parseScale(flags.scale);
  return out;
}
