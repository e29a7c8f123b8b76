/** What the values of build flags, and of a compose file's build section, come down to. */

import { type BuildSecret, type BuildSsh, NyxError } from "../../mod.ts";
import { parseCsvLine } from "../../daemon/spec/parse/csv.ts";
import { readNamedFile } from "../read_file.ts";

/** Why options about limits of steps are refused. */
export const NO_LIMITS = "steps of a build have no limits of their own";

/** Where values come from. */
export interface Surroundings {
  env(name: string): string | undefined;
}

/** An agent or key, with the socket on this side. */
export interface SshSource extends BuildSsh {
  /** Socket of the agent; missing for a key. */
  socket?: string;
}

function wrong(flag: string, value: string, fix: string): NyxError {
  return new NyxError("invalid_argument", `Invalid --${flag} ${JSON.stringify(value)}: ${fix}`);
}

/** Content of a secret: of a file, or of a variable. */
export function secretOf(
  id: string,
  source: { file: string } | { variable: string },
  around: Surroundings,
): BuildSecret {
  if ("file" in source) return { id, content: readNamedFile(source.file, `secret ${id}`).toBase64() };
  const value = around.env(source.variable);
  if (value === undefined) {
    throw new NyxError("invalid_argument", `Secret ${id} has no content: the variable ${source.variable} is not set`);
  }
  return { id, content: new TextEncoder().encode(value).toBase64() };
}

/** `id=NAME[,src=FILE|,env=VARIABLE]`; without a source the variable, then the file, of that name. */
export function parseSecret(text: string, around: Surroundings): BuildSecret {
  const fields = new Map<string, string>();
  for (const part of parseCsvLine(text, "secret")) {
    const at = part.indexOf("=");
    if (at < 0) throw wrong("secret", text, "write id=NAME,src=FILE or id=NAME,env=VARIABLE");
    fields.set(part.slice(0, at).trim(), part.slice(at + 1));
  }
  const id = fields.get("id");
  const file = fields.get("src") ?? fields.get("source");
  const variable = fields.get("env");
  if (id === undefined || id === "") throw wrong("secret", text, "give its id: id=NAME,src=FILE");
  if (variable !== undefined && (file === undefined || fields.get("type") === "env")) {
    return secretOf(id, { variable }, around);
  }
  if (file !== undefined) {
    return fields.get("type") === "env" ? secretOf(id, { variable: file }, around) : secretOf(id, { file }, around);
  }
  return secretOf(id, around.env(id) === undefined ? { file: id } : { variable: id }, around);
}

/** `default`, `ID` or `ID=SOCKET|KEY`. */
export function parseSsh(text: string, around: Surroundings): SshSource {
  const at = text.indexOf("=");
  const id = at < 0 ? text : text.slice(0, at);
  const path = at < 0 || at === text.length - 1 ? around.env("SSH_AUTH_SOCK") : text.slice(at + 1);
  if (id === "") throw wrong("ssh", text, "write default, or ID=SOCKET or ID=KEYFILE");
  if (path === undefined || path === "") {
    throw wrong("ssh", text, "SSH_AUTH_SOCK is not set: start an ssh agent, or name a socket or key, ID=PATH");
  }
  try {
    if (Deno.statSync(path).isSocket === true) return { id, socket: path };
  } catch (cause) {
    throw new NyxError("invalid_argument", `Looking at "${path}", for --ssh, failed: ${(cause as Error).message}`, {
      cause,
    });
  }
  return { id, key: readNamedFile(path, "the ssh key").toBase64() };
}

/** `NAME=VALUE` pairs; a name alone is taken from the environment, and left out where that has none. */
export function parseArguments(list: readonly string[], around: Surroundings): Record<string, string> {
  const out: [string, string][] = [];
  for (const text of list) {
    const at = text.indexOf("=");
    const name = at < 0 ? text : text.slice(0, at);
    const value = at < 0 ? around.env(name) : text.slice(at + 1);
    if (name === "") throw wrong("build-arg", text, "write NAME=VALUE");
    if (value !== undefined) out.push([name, value]);
  }
  return Object.fromEntries(out);
}

/** An additional context: an image where the value says so, else a directory. */
export function contextSource(value: string): { image: string } | { directory: string } {
  const image = /^(?:docker-image|container-image):\/\/(.+)$/.exec(value)?.[1];
  if (image !== undefined) return { image };
  if (/^[a-z][a-z+.-]*:\/\//.test(value)) {
    throw new NyxError(
      "unimplemented",
      `An additional context cannot be ${JSON.stringify(value)}: name a directory, or docker-image://IMAGE`,
    );
  }
  return { directory: value };
}
