/** `nyx compose config`. */

import { type ComposeConfigRequest, invalid, type NyxClient, NyxError } from "../../mod.ts";
import { formatReference, tryParseReference } from "../../daemon/spec/reference.ts";
import { defineCommand } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";

const LISTS = ["services", "images", "volumes", "networks", "profiles", "models", "variables", "environment"] as const;
const KEPT = ["no-consistency", "no-env-resolution", "no-interpolate", "no-normalize", "no-path-resolution"] as const;

/** Digests of the project's images by canonical reference; those that have none are named. */
async function imageDigests(client: NyxClient, images: readonly string[]): Promise<Record<string, string>> {
  const found: [string, string][] = [];
  const missing: string[] = [];
  for (const image of images) {
    const reference = tryParseReference(image);
    if (reference === undefined || reference.digest !== undefined) continue;
    const digests = await client.images.inspect(image).then((i) => i.digests, (e) => {
      if (e instanceof NyxError && e.code === "not_found") return [];
      throw e;
    });
    const repository = `${reference.domain}/${reference.path}@`;
    const digest = digests.find((d) => d.startsWith(repository));
    if (digest === undefined) missing.push(image);
    else found.push([formatReference(reference), digest.slice(repository.length)]);
  }
  if (missing.length > 0) {
    throw new NyxError(
      "failed_precondition",
      `No digest of a registry is known of ${missing.join(", ")}: pull first, with nyx compose pull`,
    );
  }
  return Object.fromEntries(found);
}

/** `nyx compose config`. */
export const command = defineCommand({
  summary: "Print the normalised model of the compose files",
  flags: {
    ...PROJECT_FLAGS,
    environment: { type: "bool", help: "Print the variables that the files see" },
    format: { type: "value", value: "FORMAT", help: "yaml (default) or json", complete: ["yaml", "json"] },
    hash: { type: "value", value: "SERVICE", help: "Print the hash of a service, or of all with *" },
    images: { type: "bool", help: "Print images" },
    "lock-image-digests": {
      type: "bool",
      help: "Print the images with their digests, as a file to put over the others",
    },
    models: { type: "bool", help: "Print models" },
    networks: { type: "bool", help: "Print networks" },
    "no-consistency": { type: "bool", help: "Accept references to what is not defined" },
    "no-env-resolution": { type: "bool", help: "Keep env files as written" },
    "no-interpolate": { type: "bool", help: "Keep variables as written" },
    "no-normalize": { type: "bool", help: "Leave out what is implied" },
    "no-path-resolution": { type: "bool", help: "Keep relative paths as written" },
    output: { type: "value", short: "o", value: "FILE", help: "Write to a file", complete: "files" },
    profiles: { type: "bool", help: "Print profiles" },
    quiet: { type: "bool", short: "q", help: "Only check" },
    "resolve-image-digests": { type: "bool", help: "Put digests in place of tags" },
    services: { type: "bool", help: "Print services" },
    variables: { type: "bool", help: "Print variables with their defaults" },
    volumes: { type: "bool", help: "Print volumes" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, true);
    const options: Omit<ComposeConfigRequest, "files"> = {};
    const list = LISTS.find((name) => flags[name] === true);
    if (list !== undefined) options.show = list;
    if (services.length > 0) options.services = services;
    if (flags.hash !== undefined) {
      options.show = "hash";
      options.services = flags.hash.split(",");
    }
    if (flags.format === "yaml" || flags.format === "json") options.format = flags.format;
    else if (flags.format !== undefined) throw invalid("format", flags.format, "give yaml or json");
    for (const name of KEPT) {
      if (flags[name] === true) Object.assign(options, { [name.replaceAll("-", "_")]: true });
    }
    const client = await context.client();
    if (flags["lock-image-digests"] === true) options.lock_image_digests = true;
    if (options.lock_image_digests === true || flags["resolve-image-digests"] === true) {
      const listed = await project.request((source) => client.compose.config({ ...source, show: "images" }));
      options.image_digests = await imageDigests(client, listed.text.split("\n").filter((line) => line !== ""));
    }
    const result = await project.request((source) => client.compose.config({ ...source, ...options }));
    project.warnOf(result.diagnostics, true);
    if (flags.quiet === true) return EXIT.ok;
    if (flags.output === undefined) context.out.text(result.text);
    else Deno.writeTextFileSync(flags.output, result.text);
    return EXIT.ok;
  },
});
