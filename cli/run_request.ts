/** What `run` and `create` do before and around the request: files that flags name, cidfile, credentials, image pulls. */

import { type ContainerConfig, NyxError, type RegistryCredentials } from "../mod.ts";
import { parsePublish } from "../daemon/spec/parse/ports.ts";
import { parseReference } from "../daemon/spec/reference.ts";
import { containerConfig, type FlagSources } from "./container_config.ts";
import type { ContainerFlags } from "./container_flags.ts";
import type { Context } from "./context.ts";
import { pullProgress } from "./pull_progress.ts";
import { readNamedFile } from "./read_file.ts";
import { escapeControlsInLines } from "./render/escape.ts";

/** This process as the source of environment, files and working directory. */
export function processSources(context: Context): FlagSources {
  return { cwd: Deno.cwd(), env: context.env, readFile: (path) => readNamedFile(path) };
}

/** The container that a command line asks for. */
export function requestedContainer(
  context: Context,
  flags: ContainerFlags,
  operands: readonly string[],
): ContainerConfig {
  const [image = "", ...args] = operands;
  return containerConfig(flags, image, args, processSources(context));
}

/**
 * Refuses a cidfile that exists, before anything is made, so that no id is ever overwritten.
 *
 * @returns writes the id
 */
export function prepareCidfile(path: string | undefined): (id: string) => void {
  if (path === undefined) return () => {};
  const refuse = (cause: unknown) => {
    const exists = cause instanceof Deno.errors.AlreadyExists;
    const reason = exists
      ? "it exists already; make sure the other container is not running, or delete the file"
      : cause instanceof Error
      ? cause.message
      : String(cause);
    return new NyxError(
      exists ? "already_exists" : "invalid_argument",
      `Creating cidfile "${path}" failed: ${reason}`,
      { cause },
    );
  };
  try {
    Deno.lstatSync(path);
  } catch {
    return (id) => {
      try {
        Deno.writeTextFileSync(path, id, { createNew: true });
      } catch (cause) {
        throw refuse(cause);
      }
    };
  }
  throw refuse(new Deno.errors.AlreadyExists());
}

/** Registry that a reference names; undefined when the daemon must say what is wrong with it. */
function registryOf(ref: string): string | undefined {
  try {
    return parseReference(ref).domain;
  } catch {
    return undefined;
  }
}

/**
 * Credentials for a reference's registry from the user's config files; undefined when there are none. Credential helpers run only when the
 * config names one for that registry.
 */
export async function credentialsFor(ref: string): Promise<RegistryCredentials | undefined> {
  const registry = registryOf(ref);
  if (registry === undefined) return undefined;
  const { lookupCredentials } = await import("./credentials.ts");
  return await lookupCredentials(registry);
}

/** Whether there is a config file that could hold logins: without one, nothing more of them needs to be loaded. */
export function mayHaveLogins(context: Context): boolean {
  const home = context.env("HOME") ?? "";
  const dir = context.env("DOCKER_CONFIG") || (home === "" ? undefined : `${home}/.docker`);
  if (dir === undefined) return false;
  try {
    return Deno.statSync(`${dir}/config.json`).isFile;
  } catch (e) {
    // One that cannot be read is told of when it is needed.
    return !(e instanceof Deno.errors.NotFound);
  }
}

/** Whether the daemon has an image. */
export async function imageIsPresent(context: Context, ref: string): Promise<boolean> {
  try {
    await (await context.client()).images.inspect(ref);
    return true;
  } catch (e) {
    if (e instanceof NyxError && e.code === "not_found") return false;
    throw e;
  }
}

/** Pulls an image for `create`, which itself wants it present. Progress goes to standard error. */
export async function pullFor(
  context: Context,
  ref: string,
  options: { platform?: string | undefined; quiet: boolean },
): Promise<void> {
  const credentials = await credentialsFor(ref);
  const progress = pullProgress(context, options.quiet);
  try {
    const platform = options.platform === undefined ? {} : { platform: options.platform };
    await (await context.client()).images.pull({ ref, ...platform, ...credentials }, {
      onEvent: (event) => progress.event(event),
    });
  } finally {
    progress.end();
  }
}

/** Warnings of the daemon, one line each on standard error. */
export function showWarnings(context: Context, warnings: readonly string[]): void {
  for (const warning of warnings) {
    context.err.text(`${context.paintErr.yellow("nyx: warning:")} ${escapeControlsInLines(warning)}\n`);
  }
}

/** Port and protocol of `nyx port NAME 80/tcp`. */
export function parsePrivatePort(text: string): { port: number; protocol: string } {
  const mapping = parsePublish(text, "port");
  return { port: mapping.containerPort, protocol: mapping.protocol ?? "tcp" };
}
