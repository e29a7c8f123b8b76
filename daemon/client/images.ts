/** Calls about images and registries. */

import type {
  ImageDetails,
  ImageHistoryRow,
  ImageLoadResult,
  ImagePruneResult,
  ImageRemoveResult,
  ImageSummary,
  LoginRequest,
  LoginResult,
  PullRequest,
  PullResult,
} from "../spec/api.ts";
import type { ErrorData } from "../spec/errors.ts";
import { NyxError } from "../spec/errors.ts";
import type { PullEvent } from "../spec/image.ts";
import { type Abortable, failureOf } from "./containers.ts";
import type { Transport } from "./transport.ts";

/** One line of `POST /v1/images/pull` with `stream`; the last has phase `done` and the result, or `error`. */
type PullLine = PullEvent & Partial<PullResult> & { error?: ErrorData };

/** Calls about images; `ref` is a reference, an id, a short id or a unique prefix of an id. */
export class ImageCalls {
  readonly #transport: Transport;

  /**
   * Made by the client.
   *
   * @param transport connections to the daemon
   */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Pulls an image.
   *
   * @param request what to pull
   * @param options `onEvent` hears each event as it happens; aborting the signal cancels the pull when nobody else wants it
   */
  async pull(
    request: Omit<PullRequest, "stream">,
    options: Abortable & { onEvent?: (event: PullEvent) => void } = {},
  ): Promise<PullResult> {
    const { onEvent, signal } = options;
    const lines = this.#transport.lines<PullLine>("POST", "/v1/images/pull", {
      body: { ...request, stream: true },
      signal,
    });
    for await (const line of lines) {
      if (line.phase === "error") throw failureOf(line, `pull ${request.ref}`);
      onEvent?.(line);
      const { phase, ref, id, digest, cached, config } = line;
      if (phase !== "done" || ref === undefined || id === undefined || digest === undefined || config === undefined) {
        continue;
      }
      return { ok: true, ref, id, digest, cached: cached ?? false, config };
    }
    throw new NyxError("unavailable", `nyxd ended the pull of ${request.ref} without saying how it went`);
  }

  /** All images. */
  async list(): Promise<ImageSummary[]> {
    const found = await this.#transport.json<{ items: ImageSummary[] }>("GET", "/v1/images", {
      query: { detail: true },
    });
    return found.items;
  }

  /** References alone, which the daemon answers fastest: what shell completion asks for. */
  async refs(): Promise<string[]> {
    return (await this.#transport.json<{ images: string[] }>("GET", "/v1/images")).images;
  }

  /** All about one image. */
  inspect(ref: string): Promise<ImageDetails> {
    return this.#transport.json("GET", "/v1/images/inspect", { query: { ref } });
  }

  /** How it was made, newest step first. */
  async history(ref: string): Promise<ImageHistoryRow[]> {
    const found = await this.#transport.json<{ history: ImageHistoryRow[] }>("GET", "/v1/images/history", {
      query: { ref },
    });
    return found.history;
  }

  /** Takes a reference away, and the image with its last one. `force` also when a stopped container uses it. */
  remove(ref: string, options: { force?: boolean } = {}): Promise<ImageRemoveResult> {
    return this.#transport.json("POST", "/v1/images/remove", { body: { ref, ...options } });
  }

  /** Removes images that no container uses: untagged ones, or with `all` tagged ones too. */
  prune(options: { dryRun?: boolean; all?: boolean } = {}): Promise<ImagePruneResult> {
    const { dryRun = false, all = false } = options;
    return this.#transport.json("POST", "/v1/images/prune", { body: { dry_run: dryRun, all } });
  }

  /** Gives `source` one more reference. */
  async tag(source: string, target: string): Promise<void> {
    await this.#transport.json("POST", "/v1/images/tag", { body: { source, target } });
  }

  /**
   * Loads the images of a docker or OCI archive.
   *
   * @param archive tar, plain or compressed by gzip or zstd
   */
  load(archive: AsyncIterable<Uint8Array>, options: Abortable = {}): Promise<ImageLoadResult> {
    const upload = { type: "application/x-tar", bytes: archive };
    return this.#transport.upload("POST", "/v1/images/load", upload, options);
  }

  /** Images as a tar archive. */
  save(
    refs: readonly string[],
    options: Abortable & { format?: "docker-archive" | "oci-archive" } = {},
  ): AsyncIterable<Uint8Array> {
    const { format, signal } = options;
    return this.#transport.bytes("GET", "/v1/images/save", { query: { ref: refs, format }, signal });
  }

  /** Checks credentials with their registry. The daemon keeps none of it. */
  login(request: LoginRequest): Promise<LoginResult> {
    return this.#transport.json("POST", "/v1/login", { body: request });
  }
}
