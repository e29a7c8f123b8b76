/** `nyx build`. */

import { invalid, NyxError } from "../../mod.ts";
import { parseSize } from "../../daemon/spec/parse/size.ts";
import { parseUlimit } from "../../daemon/spec/parse/ulimit.ts";
import { familiarReference, parseReference } from "../../daemon/spec/reference.ts";
import { defineCommand, type FlagValues } from "../args/definition.ts";
import { type BuildJob, runBuild } from "../build/run.ts";
import { contextSource, NO_LIMITS, parseArguments, parseSecret, parseSsh } from "../build/settings.ts";
import { parseKeyValue } from "../compose/key_value.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";

const FLAGS = {
  "add-host": { type: "list", value: "HOST:IP", help: "Line of /etc/hosts in RUN" },
  "build-arg": { type: "list", value: "NAME[=VALUE]", help: "Value of an ARG; without one, that of the environment" },
  "build-context": {
    type: "list",
    value: "NAME=DIR|docker-image://IMAGE",
    help: "Further context for FROM and --from",
  },
  "cache-from": { type: "list", value: "IMAGE", help: "Image whose steps may be used again" },
  "cache-to": { type: "list", help: "", refuse: "steps are kept by the daemon, for all builds" },
  "cgroup-parent": { type: "value", help: "", refuse: NO_LIMITS },
  compress: { type: "bool", help: "", hidden: true },
  "cpu-shares": { type: "value", short: "c", help: "", refuse: NO_LIMITS },
  "disable-content-trust": { type: "bool", help: "", hidden: true },
  file: { type: "value", short: "f", value: "FILE", help: "Dockerfile (default PATH/Dockerfile)", complete: "files" },
  "force-rm": { type: "bool", help: "", hidden: true },
  iidfile: { type: "value", value: "FILE", help: "Write the image's id to this file", complete: "files" },
  label: { type: "list", value: "KEY=VALUE", help: "Label of the image" },
  load: { type: "bool", help: "", hidden: true },
  memory: { type: "value", short: "m", help: "", refuse: NO_LIMITS },
  network: { type: "value", value: "NETWORK", help: "Network of RUN: default, none, host or a name" },
  "no-cache": { type: "bool", help: "Use no step of an earlier build" },
  output: {
    type: "value",
    short: "o",
    help: "",
    refuse: "the image goes to nyx's store; nyx save writes it to a file",
  },
  platform: { type: "value", value: "PLATFORM", help: "Such as linux/arm64 (default the daemon's own)" },
  progress: {
    type: "value",
    value: "KIND",
    help: "auto, plain, tty or quiet",
    complete: ["auto", "plain", "tty", "quiet"],
  },
  provenance: { type: "value", help: "", hidden: true },
  pull: { type: "bool", help: "Look for newer base images" },
  push: { type: "bool", help: "", refuse: "nyx pushes no images; nyx save writes one to a file" },
  quiet: { type: "bool", short: "q", help: "Print the image's id alone" },
  rm: { type: "bool", help: "", hidden: true },
  sbom: { type: "value", help: "", hidden: true },
  secret: {
    type: "list",
    value: "id=NAME,src=FILE",
    help: "Secret for RUN --mount=type=secret; env=VARIABLE in place of src",
  },
  "shm-size": { type: "value", value: "BYTES", help: "Size of /dev/shm in RUN" },
  squash: { type: "bool", help: "", refuse: "layers are kept, so that images share them" },
  ssh: { type: "list", value: "default|ID[=SOCKET|KEY]", help: "Agent or key for RUN --mount=type=ssh" },
  tag: { type: "list", short: "t", value: "NAME", help: "Name of the image" },
  target: { type: "value", value: "STAGE", help: "Last stage to build" },
  ulimit: { type: "list", value: "NAME=SOFT[:HARD]", help: "Limit in RUN" },
} as const;

function contextsOf(list: readonly string[]): NonNullable<BuildJob["contexts"]> {
  return list.map((text) => {
    const at = text.indexOf("=");
    if (at <= 0) throw invalid("build-context", text, "write NAME=DIRECTORY or NAME=docker-image://IMAGE");
    return { name: text.slice(0, at), ...contextSource(text.slice(at + 1)) };
  });
}

function ulimitOf(text: string): string {
  const { name, soft, hard } = parseUlimit(text);
  return `${name}=${soft}:${hard}`;
}

/** The build that a command line asks for. */
function jobOf(context: Context, flags: FlagValues<typeof FLAGS>, path: string): BuildJob {
  const optional = <T>(key: string, value: T | undefined) => value === undefined ? {} : { [key]: value };
  const list = <T>(key: string, values: readonly T[]) => values.length === 0 ? {} : { [key]: values };
  return {
    context: path,
    ...optional("dockerfile", flags.file === "-" ? undefined : flags.file),
    ...list("contexts", contextsOf(flags["build-context"])),
    ...list("ssh", flags.ssh.map((text) => parseSsh(text, context))),
    request: {
      tags: flags.tag,
      args: parseArguments(flags["build-arg"], context),
      labels: Object.fromEntries(flags.label.map(parseKeyValue)),
      ...optional("target", flags.target),
      ...optional("platform", flags.platform),
      ...optional("network", flags.network),
      ...optional("no_cache", flags["no-cache"]),
      ...optional("pull", flags.pull),
      ...list("extra_hosts", flags["add-host"]),
      ...optional("shm_size_bytes", flags["shm-size"] === undefined ? undefined : parseSize(flags["shm-size"])),
      ...list("ulimits", flags.ulimit.map(ulimitOf)),
      ...list("secrets", flags.secret.map((text) => parseSecret(text, context))),
      ...list("cache_from", flags["cache-from"]),
    },
  };
}

/** `nyx build`. */
export const command = defineCommand({
  summary: "Build an image from a Dockerfile",
  flags: FLAGS,
  operands: [{ name: "PATH|URL|-", complete: "dirs" }],
  notes: "PATH is a directory, whose files the build gets but for what .dockerignore names; URL a git repository;\n" +
    "- standard input: a tar archive, or a Dockerfile. -f - reads the Dockerfile from standard input.\n" +
    "Base images come from nyx's store first. The daemon builds with buildah (apt-get install buildah).",
  async run(context, flags, [path = ""]) {
    const job = jobOf(context, flags, path);
    if (flags.file === "-") {
      if (path === "-") throw new NyxError("invalid_argument", "Context and Dockerfile cannot both be standard input");
      job.inline = await new Response(Deno.stdin.readable).text();
    }
    const quiet = flags.quiet === true || flags.progress === "quiet";
    const { id, refs } = await runBuild(context, job, { quiet });
    if (flags.iidfile !== undefined) Deno.writeTextFileSync(flags.iidfile, id);
    if (quiet) context.out.text(`${id}\n`);
    else {
      const names = refs.map((ref) => familiarReference(parseReference(ref)));
      context.err.text(`Built ${id}${names.length === 0 ? "" : `: ${names.join(", ")}`}\n`);
    }
    return EXIT.ok;
  },
});
