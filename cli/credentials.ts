/**
 * Logins for registries in the usual docker config file: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
 *
 * `credHelpers` and `credsStore` name programs `docker-credential-<name>` that keep secrets elsewhere (docker-credential-helpers
 * protocol: get, store and erase over stdin and stdout); `auths` keeps them in the file. What nyx does not know in it stays as it is.
 */

import { NyxError } from "../daemon/spec/errors.ts";
import type { RegistryCredentials } from "../daemon/spec/image.ts";

/** Where to look. */
export interface CredentialsOptions {
  /** Directory of config.json; default `$DOCKER_CONFIG`, else `~/.docker`. */
  configDir?: string;
}

type Fields = Record<string, unknown>;

/** Key under which docker keeps the login for its own registry. */
const DOCKER_KEY = "https://index.docker.io/v1/";
/** User name by which helpers mark an identity token. */
const TOKEN_USER = "<token>";
const HELPER_NAME = /^[A-Za-z0-9_.-]+$/;

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function configPath(options: CredentialsOptions): string | undefined {
  const dir = options.configDir ?? Deno.env.get("DOCKER_CONFIG");
  if (dir !== undefined && dir !== "") return `${dir}/config.json`;
  const home = Deno.env.get("HOME");
  return home === undefined || home === "" ? undefined : `${home}/.docker/config.json`;
}

function readConfig(path: string): Fields {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return {};
    throw new NyxError("failed_precondition", `Could not read the logins in ${path}: ${(e as Error).message}`);
  }
  try {
    const config: unknown = text.trim() === "" ? {} : JSON.parse(text);
    if (isFields(config)) return config;
  } catch { /* told below, without the content, which may hold secrets */ }
  throw new NyxError(
    "failed_precondition",
    `Could not read the logins in ${path}: it is not a JSON object. Repair or remove it`,
  );
}

/** Key for a registry in the file and towards helpers. */
function keyOf(host: string): string {
  return host === "docker.io" || host === "index.docker.io" || host === "registry-1.docker.io" ? DOCKER_KEY : host;
}

/** Host in a key, which may be written as a URL. */
function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}

/** Key of an entry for a registry: as it should be, or as an older program wrote it. */
function findKey(entries: Fields, host: string): string | undefined {
  const key = keyOf(host);
  if (Object.hasOwn(entries, key)) return key;
  return Object.keys(entries).find((k) => keyOf(hostOf(k)) === key);
}

/** Name of the helper that keeps a registry's login; undefined when the file does. */
function helperOf(config: Fields, host: string): string | undefined {
  const { credHelpers, credsStore } = config;
  if (isFields(credHelpers)) {
    const key = findKey(credHelpers, host);
    const name = key === undefined ? undefined : credHelpers[key];
    if (typeof name === "string" && name !== "") return name;
  }
  return typeof credsStore === "string" && credsStore !== "" ? credsStore : undefined;
}

/** Runs a helper; gives its output, or undefined when it knows no such login. */
async function runHelper(name: string, action: "get" | "store" | "erase", input: string): Promise<string | undefined> {
  const program = `docker-credential-${name}`;
  if (!HELPER_NAME.test(name)) {
    throw new NyxError(
      "failed_precondition",
      `Invalid credential helper ${JSON.stringify(name)} in docker's config file`,
    );
  }
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, { args: [action], stdin: "piped", stdout: "piped", stderr: "null" }).spawn();
  } catch (e) {
    const why = e instanceof Deno.errors.NotFound ? "it is not installed" : (e as Error).message;
    throw new NyxError("failed_precondition", `Could not run the credential helper ${program}: ${why}`);
  }
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
  const { success, stdout } = await child.output();
  const text = new TextDecoder().decode(stdout);
  if (success) return text;
  if (/credentials not found|no credentials/i.test(text)) return undefined;
  const said = action === "get" ? text.trim().split("\n")[0]?.slice(0, 200) ?? "" : "";
  throw new NyxError("failed_precondition", `Could not ${action} the login by ${program}: ${said || "it failed"}`);
}

function decodeBase64(text: string): string | undefined {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  } catch {
    return undefined;
  }
}

function encodeBase64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

/** Login in an entry of `auths`; undefined for a placeholder. */
function fromEntry(entry: unknown): RegistryCredentials | undefined {
  if (!isFields(entry)) return undefined;
  const text = (name: string) =>
    typeof entry[name] === "string" && entry[name] !== "" ? entry[name] as string : undefined;
  const auth = text("auth");
  const pair = auth === undefined ? undefined : decodeBase64(auth);
  const colon = pair?.indexOf(":") ?? -1;
  const username = pair === undefined || colon < 0 ? text("username") : pair.slice(0, colon);
  const password = pair === undefined || colon < 0 ? text("password") : pair.slice(colon + 1).replace(/\0+$/, "");
  const identityToken = text("identitytoken");
  if (identityToken === undefined && (password === undefined || password === "")) return undefined;
  return {
    ...(username === undefined || username === "" ? {} : { username }),
    ...(identityToken !== undefined ? { identityToken } : password === undefined ? {} : { password }),
  };
}

function fromHelper(text: string, name: string): RegistryCredentials | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new NyxError("failed_precondition", `Could not use the answer of docker-credential-${name}: it is not JSON`);
  }
  const { Username: username, Secret: secret } = isFields(answer) ? answer : {};
  if (typeof secret !== "string" || secret === "") return undefined;
  if (username === TOKEN_USER) return { identityToken: secret };
  return { ...(typeof username === "string" ? { username } : {}), password: secret };
}

/**
 * The login for a registry.
 *
 * @param registryHost domain as in a reference: `docker.io`, `ghcr.io`, `localhost:5000`
 * @param options where to look
 * @returns undefined when there is none
 * @throws NyxError failed_precondition for a broken file or helper
 */
export async function lookupCredentials(
  registryHost: string,
  options: CredentialsOptions = {},
): Promise<RegistryCredentials | undefined> {
  const path = configPath(options);
  if (path === undefined) return undefined;
  const config = readConfig(path);
  const helper = helperOf(config, registryHost);
  if (helper !== undefined) {
    const answer = await runHelper(helper, "get", keyOf(registryHost));
    const found = answer === undefined ? undefined : fromHelper(answer, helper);
    if (found !== undefined) return found;
  }
  const { auths } = config;
  if (!isFields(auths)) return undefined;
  const key = findKey(auths, registryHost);
  return key === undefined ? undefined : fromEntry(auths[key]);
}

/** Writes the config, whole or not at all, readable by its owner alone; a symbolic link stays one. */
function writeConfig(path: string, config: Fields): void {
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o700 });
  let target = path;
  try {
    target = Deno.realPathSync(path);
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
  const temporary = `${target}.${crypto.randomUUID()}`;
  try {
    using file = Deno.openSync(temporary, { write: true, createNew: true, mode: 0o600 });
    const bytes = new TextEncoder().encode(`${JSON.stringify(config, null, "\t")}\n`);
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    file.syncSync();
    Deno.renameSync(temporary, target);
  } catch (e) {
    try {
      Deno.removeSync(temporary);
    } catch { /* it was not made */ }
    throw new NyxError("failed_precondition", `Could not write the logins to ${target}: ${(e as Error).message}`);
  }
}

function requirePath(options: CredentialsOptions): string {
  const path = configPath(options);
  if (path !== undefined) return path;
  throw new NyxError("failed_precondition", "Could not find docker's config file: set HOME or DOCKER_CONFIG");
}

/**
 * Keeps a login: with the helper that the file names for this registry, else in the file.
 *
 * @param registryHost domain as in a reference
 * @param credentials user and password, or an identity token
 * @returns a sentence that says where it is kept now
 * @throws NyxError failed_precondition
 */
export async function storeCredentials(
  registryHost: string,
  credentials: RegistryCredentials,
  options: CredentialsOptions = {},
): Promise<string> {
  const path = requirePath(options);
  const config = readConfig(path);
  const helper = helperOf(config, registryHost);
  const key = keyOf(registryHost);
  const { username = "", password = "", identityToken } = credentials;
  let entry: Fields = {};
  if (helper !== undefined) {
    const login = {
      ServerURL: key,
      Username: identityToken === undefined ? username : TOKEN_USER,
      Secret: identityToken ?? password,
    };
    await runHelper(helper, "store", JSON.stringify(login));
  } else if (identityToken !== undefined) {
    entry = { auth: encodeBase64(`${username}:`), identitytoken: identityToken };
  } else {
    entry = { auth: encodeBase64(`${username}:${password}`) };
  }
  const auths = isFields(config["auths"]) ? config["auths"] : {};
  const old = findKey(auths, registryHost);
  if (old !== undefined && old !== key) delete auths[old];
  auths[key] = entry;
  config["auths"] = auths;
  writeConfig(path, config);
  return helper === undefined
    ? `The login is kept in ${path}, not encrypted, readable by its owner alone`
    : `The login is kept by docker-credential-${helper}`;
}

/**
 * Forgets a login.
 *
 * @param registryHost domain as in a reference
 * @returns whether the file knew the registry
 * @throws NyxError failed_precondition
 */
export async function eraseCredentials(registryHost: string, options: CredentialsOptions = {}): Promise<boolean> {
  const path = requirePath(options);
  const config = readConfig(path);
  const helper = helperOf(config, registryHost);
  if (helper !== undefined) await runHelper(helper, "erase", keyOf(registryHost));
  const { auths } = config;
  if (!isFields(auths)) return false;
  let known = false;
  for (let key = findKey(auths, registryHost); key !== undefined; key = findKey(auths, registryHost)) {
    delete auths[key];
    known = true;
  }
  if (known) writeConfig(path, config);
  return known;
}
