/** Runs one build: finds the context, looks for credentials, shows what the build says. */

import { type BuildRequest, type BuildResult, NyxError, type RegistryCredentials } from "../../mod.ts";
import { baseImages } from "../../daemon/spec/dockerfile.ts";
import { hostPlatform, parsePlatform } from "../../daemon/spec/platform.ts";
import { formatReference, tryParseReference } from "../../daemon/spec/reference.ts";
import type { Context } from "../context.ts";
import { pullProgress } from "../pull_progress.ts";
import { credentialsFor } from "../run_request.ts";
import { type ContextDirectory, packContexts } from "./context.ts";
import type { SshSource } from "./settings.ts";
import { findSource, readDockerfile, readIgnore } from "./source.ts";

/** What is to be built. */
export interface BuildJob {
  /** Directory, repository, or `-`. */
  context: string;
  /** Path of the Dockerfile; default that of the context. */
  dockerfile?: string;
  /** Text in place of a Dockerfile. */
  inline?: string;
  /** Further contexts: an image, or a directory. */
  contexts?: ({ name: string } & ({ image: string } | { directory: string }))[];
  ssh?: SshSource[];
  /** All else, as the daemon gets it. */
  request: Omit<BuildRequest, "dockerfile" | "contexts" | "ssh" | "upload" | "credentials">;
}

/** How it is shown. */
export interface BuildDisplay {
  /** Only on failure. */
  quiet?: boolean;
  /** Put before each line. */
  prefix?: string;
}

/** Bytes of a quiet build that are kept for its failure. */
const KEPT = 64 * 1024;

/** Shows a build's output on standard error, line by line where several go on. */
class Shown {
  #held = "";
  readonly #decoder = new TextDecoder();

  constructor(readonly context: Context, readonly display: BuildDisplay) {}

  take(bytes: Uint8Array): void {
    this.#held += this.#decoder.decode(bytes, { stream: true });
    if (this.display.quiet === true) {
      this.#held = this.#held.slice(-KEPT);
      return;
    }
    const end = this.#held.lastIndexOf("\n") + 1;
    this.#print(this.#held.slice(0, end));
    this.#held = this.#held.slice(end);
  }

  /** What is left: of a quiet build all, when it failed. */
  end(failed: boolean): void {
    if (this.display.quiet !== true || failed) this.#print(this.#held);
    this.#held = "";
  }

  #print(text: string): void {
    if (text === "") return;
    const prefix = this.display.prefix ?? "";
    this.context.err.text(prefix === "" ? text : text.replace(/^(?=[^])/gm, prefix));
  }
}

/** Credentials of base images that are not here, or are looked for anew. */
async function baseCredentials(
  context: Context,
  dockerfile: string,
  job: BuildJob,
): Promise<Record<string, RegistryCredentials>> {
  const { args, target, platform, pull, cache_from = [] } = job.request;
  const further = job.contexts ?? [];
  const needed = baseImages(dockerfile, {
    ...(args === undefined ? {} : { args }),
    ...(target === undefined ? {} : { target }),
    platform: platform === undefined ? hostPlatform() : parsePlatform(platform),
    contexts: further.map((c) => c.name),
  });
  const refs = [
    ...needed.map((b) => b.ref),
    ...further.flatMap((c) => "image" in c ? [c.image] : []),
    ...cache_from,
  ];
  const present = pull === true ? new Set<string>() : new Set(await (await context.client()).images.refs());
  const out: [string, RegistryCredentials][] = [];
  for (const ref of new Set(refs)) {
    const reference = tryParseReference(ref);
    if (reference === undefined || present.has(formatReference(reference))) continue;
    const found = await credentialsFor(ref);
    if (found !== undefined) out.push([ref, found]);
  }
  return Object.fromEntries(out);
}

/** The agents of a build by their id. */
function agentOf(sources: readonly SshSource[]): (id: string) => Promise<Deno.Conn> {
  return (id) => {
    const socket = sources.find((s) => s.id === id)?.socket;
    if (socket === undefined) return Promise.reject(new NyxError("not_found", `There is no ssh agent ${id}`));
    return Deno.connect({ transport: "unix", path: socket });
  };
}

/**
 * Builds an image.
 *
 * @throws NyxError for what cannot be read, before anything is sent; failed_precondition when the build fails
 */
export async function runBuild(context: Context, job: BuildJob, display: BuildDisplay = {}): Promise<BuildResult> {
  await using source = await findSource(job.context);
  const { directory } = source;
  const named = job.inline ?? source.dockerfile;
  if (named !== undefined && source.dockerfile !== undefined && job.dockerfile !== undefined) {
    throw new NyxError("invalid_argument", "Standard input is the Dockerfile already: leave out -f");
  }
  // Of a repository or an archive the Dockerfile is in there, not here.
  const elsewhere = directory !== undefined && directory !== job.context && job.dockerfile !== undefined;
  const path = elsewhere ? `${directory}/${job.dockerfile}` : job.dockerfile;
  const file = named === undefined ? readDockerfile(directory ?? ".", path) : undefined;
  const dockerfile = named ?? file?.text ?? "";
  const further = job.contexts ?? [];
  const directories: ContextDirectory[] = [
    directory === undefined ? undefined : { path: directory, ignore: readIgnore(directory, file?.path) },
    ...further.flatMap((c) => "directory" in c ? [{ path: c.directory }] : []),
  ].filter((d) => d !== undefined);
  if (directory === undefined && directories.length > 0) {
    throw new NyxError("invalid_argument", "Additional contexts need a context of the build: give a directory");
  }
  const credentials = await baseCredentials(context, dockerfile, job);
  const ssh = job.ssh ?? [];
  const request: BuildRequest = {
    ...job.request,
    dockerfile,
    ...(further.length === 0
      ? {}
      : { contexts: further.map((c) => ({ name: c.name, ...("image" in c ? { image: c.image } : {}) })) }),
    ...(ssh.length === 0 ? {} : { ssh: ssh.map(({ socket: _, ...rest }) => rest) }),
    ...(Object.keys(credentials).length === 0 ? {} : { credentials }),
  };
  const client = await context.client();
  const pulls = pullProgress(context, display.quiet === true || display.prefix !== undefined);
  const shown = new Shown(context, display);
  let done = false;
  try {
    const result = await client.build.build(request, {
      ...(directories.length === 0 ? {} : { upload: packContexts(directories) }),
      onEvent: (event) => {
        if (event.event === "pull") pulls.event(event.pull);
      },
      onOutput: (_, bytes) => {
        pulls.end();
        shown.take(bytes);
      },
      agent: agentOf(ssh),
    });
    done = true;
    return result;
  } finally {
    pulls.end();
    shown.end(!done);
  }
}
