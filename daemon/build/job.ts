/** One build, from its request to an image in the store. */

import type { StreamEvent } from "../spec/api.ts";
import type { BuildRequest, BuildResult } from "../spec/build.ts";
import { baseImages, replaceBases } from "../spec/dockerfile.ts";
import { NyxError } from "../spec/errors.ts";
import { encodeJsonFrame, FRAME } from "../spec/frames.ts";
import { hostPlatform, parsePlatform } from "../spec/platform.ts";
import { ByteSender } from "../../workers/channel.ts";
import type { BuiltLayer } from "../images/build_images.ts";
import { parseConfig, parseIndex, parseManifest } from "../images/documents.ts";
import { AgentSockets } from "./agents.ts";
import { baseName, buildArguments, type Prepared } from "./arguments.ts";
import { cleanConfig } from "./clean_config.ts";
import type { BuildDeps, JobNetwork } from "./deps.ts";
import { HEREDOC_CONTEXT, rewriteHeredocs } from "./heredocs.ts";
import { BuildOutput } from "./output.ts";
import type { BuildPaths, JobPaths } from "./place.ts";
import { NOT_INSTALLED, removeCgroup, runBuildah } from "./process.ts";
import { storedConfig, storedImages } from "./storage.ts";

type Handle = Awaited<ReturnType<BuildDeps["images"]["ensure"]>>;

/** Images that a build uses. */
interface Bases {
  /** Of stages, by the line of FROM. */
  stages: Map<number, { ref: string; handle: Handle }>;
  /** Of COPY --from and the like, and of contexts. */
  names: Map<string, Handle>;
  /** Whose steps may be used again. */
  cached: Handle[];
}

/** A build under way. */
export class BuildJob {
  readonly output = new BuildOutput();
  readonly #deps: BuildDeps;
  readonly #paths: BuildPaths;
  readonly #job: JobPaths;
  readonly #request: BuildRequest;
  readonly #emit: (event: StreamEvent) => void;
  readonly #abort = new AbortController();
  readonly #agents: AgentSockets;
  readonly #cgroup: string;
  #hasHeredocs = false;
  /** Names of bases by the id that buildah knows. */
  readonly #names = new Map<string, string>();
  /** Known when the worker unpacks: a port whose other end is closed already cannot be handed over. */
  readonly #upload = Promise.withResolvers<ByteSender | undefined>();

  /**
   * @param id of the job, 12 hexadecimal digits
   * @param request validated
   * @param emit tells the client
   */
  constructor(
    deps: BuildDeps,
    paths: BuildPaths,
    id: string,
    request: BuildRequest,
    emit: (event: StreamEvent) => void,
  ) {
    this.#deps = deps;
    this.#paths = paths;
    this.#job = paths.job(id);
    this.#request = request;
    this.#emit = emit;
    this.#cgroup = `${deps.cgroupParent}/build-${id}`;
    this.#agents = new AgentSockets(
      (channel, ssh) => this.output.frame(encodeJsonFrame(FRAME.json, { event: "channel", channel, ssh })),
      (frame) => this.output.frame(frame),
      () => this.output.room(),
    );
  }

  /** Takes the upload's next bytes; resolves when there is room for more. */
  async take(bytes: Uint8Array): Promise<void> {
    await (await this.#upload.promise)?.send(bytes.slice());
  }

  /** The upload is whole. */
  async endUpload(): Promise<void> {
    (await this.#upload.promise)?.end();
  }

  /** Bytes of the client's ssh agent. */
  channel(channel: number, bytes: Uint8Array): Promise<void> {
    return this.#agents.take(channel, bytes);
  }

  /** Gives the build up. */
  stop(reason: NyxError = new NyxError("canceled", "The build was given up")): void {
    this.#abort.abort(reason);
    this.#upload.resolve(undefined);
  }

  /** Builds. What it made on the host is gone when it settles, but for the image and the steps that later builds use again. */
  async run(): Promise<BuildResult> {
    const { signal } = this.#abort;
    using held = new DisposableStack();
    held.use(this.#agents);
    let network: JobNetwork | undefined;
    let ended = false;
    try {
      await this.#prepare();
      const [bases] = await this.#both(this.#bases(held), this.#unpack());
      network = await this.#deps.network(this.#request.network ?? "default");
      const images = await this.#handOver(bases);
      await this.#build({
        images,
        network: network.option,
        dns: network.dns,
        gateway: network.gateway,
        cgroup: this.#cgroup,
        ssh: await this.#ssh(),
        heredocs: this.#hasHeredocs,
      });
      const result = await this.#takeResult();
      ended = true;
      return result;
    } catch (e) {
      throw signal.aborted ? signal.reason : e;
    } finally {
      this.stop();
      const released = network?.release();
      // crun has removed it where all steps came to their end.
      if (!ended) await removeCgroup(this.#cgroup);
      await this.#deps.removeTree(this.#job.dir);
      await released;
    }
  }

  /** Both, or the first failure, after which neither goes on. */
  async #both<A, B>(a: Promise<A>, b: Promise<B>): Promise<[A, B]> {
    const watched = <T>(one: Promise<T>) =>
      one.catch((e) => {
        this.stop(e);
        throw e;
      });
    const settled = await Promise.allSettled([watched(a), watched(b)]);
    this.#abort.signal.throwIfAborted();
    return settled.map((s) => (s as PromiseFulfilledResult<unknown>).value) as [A, B];
  }

  async #prepare(): Promise<void> {
    const { contexts = [], secrets = [] } = this.#request;
    const job = this.#job;
    await this.#paths.prepareJob(job, 1 + contexts.filter((c) => c.image === undefined).length);
    for (const [index, { content }] of secrets.entries()) {
      await Deno.writeFile(`${job.secrets}/${index}`, Uint8Array.fromBase64(content), { mode: 0o600, createNew: true });
    }
  }

  /** Writes the Dockerfile as buildah gets it: FROM names what was handed over, and here-documents are what it knows. */
  async #writeDockerfile(bases: ReadonlyMap<number, string>): Promise<void> {
    const job = this.#job;
    const { text, files } = rewriteHeredocs(replaceBases(this.#request.dockerfile, bases));
    await Deno.writeTextFile(job.dockerfile, text);
    for (const [path, content] of files) {
      await Deno.mkdir(`${job.heredocs}/${path.slice(0, path.indexOf("/"))}`, { recursive: true });
      await Deno.writeTextFile(`${job.heredocs}/${path}`, content);
    }
    this.#hasHeredocs = files.size > 0;
  }

  /** Unpacks the upload: by the worker whose unpacking no archive leads out of its directory. */
  async #unpack(): Promise<void> {
    const { signal } = this.#abort;
    if (this.#request.upload !== true) return this.#upload.resolve(undefined);
    const { port1, port2 } = new MessageChannel();
    const unpacked = this.#deps.unpack({ dir: this.#job.upload, port: port2, signal });
    const sender = new ByteSender(port1);
    this.#upload.resolve(sender);
    const stop = () => sender.fail(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      await unpacked;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** The images that the build uses, held until the end. */
  async #bases(held: DisposableStack): Promise<Bases> {
    const { dockerfile, args, target, platform, contexts = [], cache_from = [] } = this.#request;
    const needed = baseImages(dockerfile, {
      ...(args === undefined ? {} : { args }),
      ...(target === undefined ? {} : { target }),
      platform: platform === undefined ? this.#deps.platform : parsePlatform(platform),
      contexts: [...contexts.map((c) => c.name), HEREDOC_CONTEXT],
    });
    const got = new Map<string, Promise<Handle>>();
    const get = (ref: string, of: string | undefined): Promise<Handle> => {
      const key = `${ref}\0${of ?? ""}`;
      const asked = got.get(key) ?? this.#image(ref, of).then((handle) => held.use(handle));
      got.set(key, asked);
      return asked;
    };
    const bases: Bases = { stages: new Map(), names: new Map(), cached: [] };
    await Promise.all([
      ...needed.map(async ({ ref, from, line, platform: own }) => {
        const handle = await get(ref, own ?? platform);
        if (from) bases.stages.set(line, { ref, handle });
        else bases.names.set(ref, handle);
      }),
      ...contexts.map(async ({ name, image }) => {
        if (image !== undefined) bases.names.set(name, await get(image, platform));
      }),
      ...cache_from.map((ref) =>
        get(ref, platform).then(
          (handle) => void bases.cached.push(handle),
          () => this.output.note(`No steps from ${ref}: it cannot be had`),
        )
      ),
    ]);
    return bases;
  }

  #image(ref: string, platform: string | undefined): Promise<Handle> {
    const { pull, credentials = {} } = this.#request;
    const own = Object.hasOwn(credentials, ref) ? credentials[ref] : undefined;
    const same = platform === undefined || parsePlatform(platform).architecture === hostPlatform().architecture;
    return this.#deps.images.ensure(ref, {
      policy: pull === true ? "always" : "missing",
      signal: this.#abort.signal,
      onEvent: (event) => this.#emit({ event: "pull", pull: event }),
      ...(same ? {} : { platform }),
      ...(own === undefined ? {} : { credentials: own }),
    });
  }

  /**
   * Gives buildah what it does not have yet, under names that nothing else has.
   *
   * @returns ids of the images that the Dockerfile names beside FROM; in FROM they stand themselves
   */
  async #handOver({ stages, names, cached }: Bases): Promise<Map<string, string>> {
    const ids = new Map<string, string>();
    const there = await storedImages(this.#paths.storage);
    const idOf = async (handle: Handle, name?: string) => {
      const id = ids.get(handle.manifestDigest) ?? await this.#handOverOne(handle, there);
      ids.set(handle.manifestDigest, id);
      const hex = id.slice("sha256:".length);
      if (name !== undefined && !this.#names.has(hex)) this.#names.set(hex, name);
      return id;
    };
    const lines = new Map<number, string>();
    for (const [line, { ref, handle }] of stages) lines.set(line, baseName(await idOf(handle, ref)));
    await this.#writeDockerfile(lines);
    const images = new Map<string, string>();
    for (const [name, handle] of names) images.set(name, await idOf(handle, name));
    for (const handle of cached) await idOf(handle);
    return images;
  }

  async #handOverOne(handle: Handle, there: Map<string, string[]>): Promise<string> {
    const dir = `${this.#job.bases}/${handle.manifestDigest.slice("sha256:".length)}`;
    const hexOf = (id: string) => id.slice("sha256:".length);
    const { imageId } = await this.#deps.images.builds.exportBase(handle, dir, (id) => there.has(hexOf(id)));
    const hex = hexOf(imageId);
    if (there.get(hex)?.includes(baseName(imageId))) return imageId;
    if (!there.has(hex)) {
      await this.#buildah(["pull", "--quiet", `--signature-policy=${this.#paths.policy}`, `dir:${dir}`], "quiet");
    }
    await this.#buildah(["tag", hex, baseName(imageId)], "quiet");
    return imageId;
  }

  async #ssh(): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for (const [index, { id, key }] of (this.#request.ssh ?? []).entries()) {
      const path = `${this.#job.ssh}/${index}`;
      if (key === undefined) this.#agents.listen(path, id);
      else await Deno.writeFile(path, Uint8Array.fromBase64(key), { mode: 0o600, createNew: true });
      found.set(id, path);
    }
    return found;
  }

  async #build(prepared: Prepared): Promise<void> {
    await this.#buildah(buildArguments(this.#paths, this.#job, this.#request, prepared), "shown");
  }

  /** @param show whether standard output is the client's to see; what buildah says of errors always is */
  async #buildah(args: readonly string[], show: "shown" | "quiet"): Promise<void> {
    const whole = show === "shown" ? args : [...this.#paths.globalOptions(this.#job), ...args];
    const code = await runBuildah(whole, {
      env: this.#paths.environment(this.#job, this.#deps.proxies),
      signal: this.#abort.signal,
      sink: (stream, bytes) =>
        stream === "stderr" || show === "shown" ? this.output.write(stream, this.#named(bytes)) : Promise.resolve(),
    });
    if (code === 0) return;
    if (code === NOT_INSTALLED) {
      throw new NyxError(
        "failed_precondition",
        "Could not build: buildah is not installed on the daemon's host; install it with: apt-get install buildah",
      );
    }
    const said = this.output.lastError;
    throw new NyxError(
      "failed_precondition",
      said === undefined ? `Could not build: buildah ended with ${code}` : `Could not build: ${said}`,
      { context: { exitCode: code } },
    );
  }

  /** Output in which images have the names that the Dockerfile has for them. */
  #named(bytes: Uint8Array): Uint8Array {
    if (this.#names.size === 0) return bytes;
    const text = new TextDecoder().decode(bytes);
    // Bytes that are no text stay as they are.
    if (!text.includes(baseName("sha256:"))) return bytes;
    const shown = text.replace(/localhost\/nyx-base:([0-9a-f]{64})/g, (whole, hex) => this.#names.get(hex) ?? whole);
    return new TextEncoder().encode(shown);
  }

  async #takeResult(): Promise<BuildResult> {
    const { builds } = this.#deps.images;
    const made = (await Deno.readTextFile(this.#job.idFile)).trim();
    const document = await storedConfig(this.#paths.storage, made);
    if (document === undefined) {
      throw new NyxError(
        "internal",
        `Could not take image ${made} in: buildah's storage does not have it where expected`,
      );
    }
    const configBytes = cleanConfig(document);
    const diffIds = parseConfig(configBytes, "built image config").rootfs.diff_ids;
    const layers = diffIds.every((d) => builds.hasLayer(d)) ? new Map() : await this.#layers(made, diffIds);
    const { tags = [] } = this.#request;
    const { refs, ids } = await builds.add({ configBytes, layers, tags }, this.#abort.signal);
    const result = { id: ids[0] ?? "", refs };
    this.#emit({ event: "built", ...result });
    return result;
  }

  /** Has buildah write the layers that the store lacks; files of the others' names make it leave those out. */
  async #layers(id: string, diffIds: readonly string[]): Promise<Map<string, BuiltLayer>> {
    const { builds } = this.#deps.images;
    const blobs = `${this.#job.out}/blobs/sha256`;
    await Deno.mkdir(blobs, { recursive: true, mode: 0o700 });
    await Deno.writeTextFile(`${this.#job.out}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
    for (const diffId of diffIds) {
      if (builds.hasLayer(diffId)) await Deno.writeFile(`${blobs}/${diffId.slice("sha256:".length)}`, new Uint8Array());
    }
    const to = `oci:${this.#job.out}`;
    await this.#buildah([
      "push",
      "--quiet",
      "--compression-format=zstd",
      `--signature-policy=${this.#paths.policy}`,
      id,
      to,
    ], "quiet");
    const index = parseIndex(await Deno.readFile(`${this.#job.out}/index.json`), "the built image's index");
    const manifest = parseManifest(
      await Deno.readFile(`${blobs}/${(index.manifests[0]?.digest ?? "").slice("sha256:".length)}`),
      "the built image's manifest",
    );
    const layers = new Map<string, BuiltLayer>();
    for (const [i, descriptor] of manifest.layers.entries()) {
      const diffId = diffIds[i];
      if (diffId === undefined || builds.hasLayer(diffId)) continue;
      layers.set(diffId, { descriptor, path: `${blobs}/${descriptor.digest.slice("sha256:".length)}` });
    }
    return layers;
  }
}
