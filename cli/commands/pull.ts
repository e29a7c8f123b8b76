/** `nyx pull`. */

import { NyxError, type RegistryCredentials } from "../../mod.ts";
import { parsePlatform } from "../../daemon/spec/parse/modes.ts";
import { defineCommand } from "../args/definition.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import { pullProgress } from "../pull_progress.ts";
import { credentialsFor } from "../run_request.ts";
import { safeJson } from "../render/escape.ts";

async function typedCredentials(
  flags: { username: string | undefined; password: string | undefined; "password-stdin": boolean | undefined },
): Promise<RegistryCredentials | undefined> {
  const { username, password } = flags;
  if (username === undefined) {
    if (password !== undefined || flags["password-stdin"] === true) {
      throw new NyxError("invalid_argument", "A password needs a user: give -u USER");
    }
    return undefined;
  }
  if (username.includes(":") && password === undefined && flags["password-stdin"] !== true) {
    const colon = username.indexOf(":");
    return { username: username.slice(0, colon), password: username.slice(colon + 1) };
  }
  const { askLine, readSecretFromStdin } = await import("../terminal/prompt.ts");
  if (flags["password-stdin"] === true) return { username, password: await readSecretFromStdin() };
  return { username, password: password ?? await askLine("Password: ", false) };
}

async function pullOne(
  context: Context,
  ref: string,
  options: {
    platform: string | undefined;
    quiet: boolean;
    json: boolean;
    credentials: RegistryCredentials | undefined;
  },
): Promise<void> {
  const credentials = options.credentials ?? await credentialsFor(ref);
  const progress = pullProgress(context, options.quiet || options.json);
  const platform = options.platform === undefined ? {} : { platform: options.platform };
  try {
    const result = await (await context.client()).images.pull({ ref, ...platform, ...credentials }, {
      onEvent: (event) => {
        progress.event(event);
        if (options.json) context.out.text(`${safeJson(event)}\n`);
      },
    });
    progress.end();
    if (options.json) return;
    if (!options.quiet) {
      context.err.text(`Digest: ${result.digest}\n${result.cached ? "Image is up to date" : "Image is pulled"}\n`);
    }
    context.out.text(`${result.ref}\n`);
  } finally {
    progress.end();
  }
}

/** `nyx pull`. */
export const command = defineCommand({
  summary: "Download an image from a registry",
  flags: {
    "all-tags": { type: "bool", short: "a", help: "", refuse: "name the tags to pull" },
    "disable-content-trust": { type: "bool", help: "", hidden: true },
    json: { type: "bool", help: "Print events as JSON lines" },
    password: {
      type: "value",
      short: "p",
      value: "PASSWORD",
      help: "Password (others may see it; better --password-stdin)",
    },
    "password-stdin": { type: "bool", help: "Read the password from standard input" },
    platform: { type: "value", value: "PLATFORM", help: "Platform, such as linux/arm64" },
    quiet: { type: "bool", short: "q", help: "Only print the reference" },
    username: { type: "value", short: "u", value: "USER", aliases: ["user"], help: "User at the registry" },
  },
  operands: [{ name: "IMAGE", variadic: true, complete: "images" }],
  notes: `Without -u the credentials of 'nyx login' and of Docker's config file are used.`,
  async run(context, flags, operands) {
    const credentials = await typedCredentials(flags);
    const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
    for (const ref of operands) {
      await pullOne(context, ref, { platform, quiet: flags.quiet === true, json: flags.json === true, credentials });
    }
    return EXIT.ok;
  },
});
