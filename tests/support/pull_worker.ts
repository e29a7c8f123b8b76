/** The real, confined pull worker on a temporary images directory, for tests. */

import { WorkerHost } from "../../workers/host.ts";
import type { PullInit, PullStage } from "../../workers/protocol.ts";
import { startPullWorker } from "../../workers/pull/permissions.ts";

/** A pull worker under way. */
export interface PullWorker extends AsyncDisposable {
  readonly host: WorkerHost<PullStage>;
  readonly imagesDir: string;
  /** Log lines of the worker, as JSON. */
  readonly logs: string[];
  /** Path of a committed blob. */
  blobPath(digest: string): string;
  /** Path of a partial blob. */
  ingestPath(digest: string): string;
  /** Replaces the worker by a new one, as a crash would. */
  kill(): Promise<void>;
}

/**
 * Starts the pull worker.
 *
 * @param options bounds of the worker; retries are fast by default. `imagesDir` is used and kept when given.
 */
export async function startTestPullWorker(options: Partial<PullInit> = {}): Promise<PullWorker> {
  const own = options.imagesDir === undefined;
  const imagesDir = options.imagesDir ?? await Deno.makeTempDir({ prefix: "nyx-pull-" });
  const init: PullInit = { retryBaseMs: 20, ...options, imagesDir };
  const logs: string[] = [];
  const start = () =>
    new WorkerHost<PullStage>({
      name: "pull",
      start: () => startPullWorker(init),
      onLog: (level, msg, fields) => logs.push(JSON.stringify({ level, msg, fields })),
    });
  let host = start();
  await host.ready;
  return {
    get host() {
      return host;
    },
    imagesDir,
    logs,
    blobPath: (digest) => `${imagesDir}/blobs/${digest.replace(":", "/")}`,
    ingestPath: (digest) => `${imagesDir}/ingest/${digest.replace(":", "-")}`,
    async kill() {
      host.terminate();
      host = start();
      await host.ready;
    },
    async [Symbol.asyncDispose]() {
      host.terminate();
      if (own) await Deno.remove(imagesDir, { recursive: true });
    },
  };
}
