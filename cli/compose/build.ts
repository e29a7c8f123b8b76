/** Builds the images of a project: what the daemon says is to be built, from files on this side. */

import { type ComposeBuildSpec, NyxError } from "../../mod.ts";
import { type BuildJob, runBuild } from "../build/run.ts";
import { contextSource, parseSsh, type SshSource } from "../build/settings.ts";
import { readNamedFile } from "../read_file.ts";
import { isRepository } from "../build/source.ts";
import type { Context } from "../context.ts";

/** How all are built. */
export interface BuildAllOptions {
  noCache?: boolean;
  pull?: boolean;
  quiet?: boolean;
  /** Win over those of the files. */
  args?: Record<string, string>;
  /** Beside those of the files. */
  ssh?: SshSource[];
}

/** Builds at once. */
const MOST = 3;

function sshOf(context: Context, spec: ComposeBuildSpec): SshSource[] {
  return Object.entries(spec.ssh).map(([id, path]) =>
    parseSsh(path === null || path === "" ? id : `${id}=${path}`, context)
  );
}

function secretsOf(spec: ComposeBuildSpec) {
  const encoder = new TextEncoder();
  return spec.secrets.map(({ id, file, content }) => ({
    id,
    content: (file === undefined ? encoder.encode(content ?? "") : readNamedFile(file, `secret ${id}`)).toBase64(),
  }));
}

function jobOf(context: Context, spec: ComposeBuildSpec, options: BuildAllOptions): BuildJob {
  const { dockerfile, inline, target, network, platform, privileged, shm_size_bytes } = spec;
  const present = <T extends Record<string, unknown>>(values: T) =>
    Object.fromEntries(Object.entries(values).filter(([, v]) => v !== undefined));
  const contexts = Object.entries(spec.contexts).map(([name, value]) => ({ name, ...contextSource(value) }));
  const remote = isRepository(spec.context);
  const file = dockerfile === undefined || dockerfile.startsWith("/") || remote
    ? dockerfile
    : `${spec.context}/${dockerfile}`;
  return {
    context: spec.context,
    ...present({
      // "Dockerfile" is the default, and may be called Containerfile.
      dockerfile: dockerfile === "Dockerfile" ? undefined : file,
      inline,
    }),
    ...(contexts.length === 0 ? {} : { contexts }),
    ssh: [...sshOf(context, spec), ...options.ssh ?? []],
    request: {
      tags: [...new Set([spec.image, ...spec.tags])],
      args: { ...spec.args, ...options.args },
      labels: spec.labels,
      secrets: secretsOf(spec),
      cache_from: spec.cache_from,
      extra_hosts: spec.extra_hosts,
      ulimits: spec.ulimits,
      ...present({
        target,
        network,
        platform,
        privileged,
        shm_size_bytes,
        no_cache: options.noCache ?? spec.no_cache,
        pull: options.pull ?? spec.pull,
      }),
    },
  };
}

/**
 * Builds all, side by side where none uses another's image.
 *
 * @throws NyxError of the first build that fails, naming its service; those under way are waited for
 */
export async function buildAll(
  context: Context,
  specs: readonly ComposeBuildSpec[],
  options: BuildAllOptions = {},
): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  const waiting = [...specs];
  const running = new Map<string, Promise<void>>();
  const failures: unknown[] = [];
  const names = new Set(specs.map((s) => s.service));
  const start = (spec: ComposeBuildSpec) => {
    const prefix = specs.length > 1 ? `${spec.service} | ` : "";
    const one = (async () => {
      const { id } = await runBuild(context, jobOf(context, spec, options), { quiet: options.quiet === true, prefix });
      ids.set(spec.service, id);
      if (options.quiet !== true) context.err.text(`${prefix}Built ${spec.image}\n`);
    })().catch((e) => {
      failures.push(
        e instanceof NyxError
          ? new NyxError(e.code, `Service ${spec.service}: ${e.message}`, { ...e.details, cause: e })
          : e,
      );
    }).finally(() => running.delete(spec.service));
    running.set(spec.service, one);
  };
  while (failures.length === 0 && (waiting.length > 0 || running.size > 0)) {
    const ready = waiting.findIndex((s) => s.after.every((name) => ids.has(name) || !names.has(name)));
    const spec = running.size < MOST && ready >= 0 ? waiting.splice(ready, 1)[0] : undefined;
    if (spec !== undefined) start(spec);
    else if (running.size > 0) await Promise.race(running.values());
    else throw new NyxError("invalid_argument", "Images of services use each other in a circle");
  }
  await Promise.all(running.values());
  if (failures.length > 0) throw failures[0];
  return ids;
}
