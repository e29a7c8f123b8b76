/** `nyx login`. */

import { NyxError, type RegistryCredentials } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { askLine, readSecretFromStdin } from "../terminal/prompt.ts";

/** Registry that a login without one is for. */
export const DEFAULT_REGISTRY = "docker.io";

/** Host and port of what people type: scheme, path and Docker's historical index address are dropped. */
export function registryHost(text: string | undefined): string {
  if (text === undefined) return DEFAULT_REGISTRY;
  const host = text.replace(/^https?:\/\//, "").split("/")[0] ?? "";
  if (host === "index.docker.io" || host === "registry-1.docker.io") return DEFAULT_REGISTRY;
  if (!/^(\[[0-9a-fA-F:]+\]|[a-zA-Z0-9.-]+)(:\d{1,5})?$/.test(host)) {
    throw new NyxError("invalid_argument", `Invalid registry "${text}": give a host such as registry.example.org:5000`);
  }
  return host;
}

/** `nyx login`. */
export const command = defineCommand({
  summary: "Log in to a registry",
  flags: {
    password: {
      type: "value",
      short: "p",
      value: "PASSWORD",
      help: "Password (others may see it; better --password-stdin)",
    },
    "password-stdin": { type: "bool", help: "Read the password from standard input" },
    username: { type: "value", short: "u", value: "USER", help: "User" },
  },
  operands: [{ name: "REGISTRY", optional: true }],
  notes: `Without REGISTRY: docker.io. The login is kept where Docker's config file says, else in the file itself.`,
  async run(context, flags, [operand]) {
    const registry = registryHost(operand);
    if (flags.password !== undefined && flags["password-stdin"] === true) {
      throw new NyxError("invalid_argument", "--password conflicts with --password-stdin: give one or the other");
    }
    if (flags["password-stdin"] === true && flags.username === undefined) {
      throw new NyxError("invalid_argument", "--password-stdin needs a user: give -u USER");
    }
    if (flags.password !== undefined) {
      context.err.text("nyx: warning: others may see a password on the command line; use --password-stdin\n");
    }
    const username = flags.username ?? (await askLine(`User at ${registry}: `, true)).trim();
    const password = flags["password-stdin"] === true
      ? await readSecretFromStdin()
      : flags.password ?? await askLine("Password: ", false);
    if (username === "" || password === "") throw new NyxError("invalid_argument", "User and password cannot be empty");
    const { identityToken } = await (await context.client()).images.login({ registry, username, password });
    const keep: RegistryCredentials = identityToken === undefined
      ? { username, password }
      : { username, identityToken };
    const { storeCredentials } = await import("../credentials.ts");
    const stored = await storeCredentials(registry, keep);
    context.err.text(`${stored}\n`);
    context.out.text("Login Succeeded\n");
    return EXIT.ok;
  },
});
