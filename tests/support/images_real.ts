/** An image store over the real pull, extract and rootfs workers, in a temporary base directory. */

import { Logger } from "../../daemon/log/logger.ts";
import { ImageStore, type ImageStoreOptions } from "../../daemon/images/store.ts";
import { WorkerHost } from "../../workers/host.ts";
import type { ExtractStage, PullStage, RootfsStage } from "../../workers/protocol.ts";
import { startPullWorker } from "../../workers/pull/permissions.ts";

/** A store under test with its workers. Dispose it. */
export interface RealStore extends AsyncDisposable {
  baseDir: string;
  store: ImageStore;
  users: Map<string, string[]>;
  rootfs: WorkerHost<RootfsStage>;
  /** Lines of the log, parsed. */
  log: Record<string, unknown>[];
  /** Workers started so far, by stage. */
  started: { pull: number; extract: number };
  /** Ends the present store and opens another on the same directory. */
  restart(): Promise<ImageStore>;
}

/**
 * Makes and opens a store.
 *
 * @param options of the store; `baseDir` is made in `tempDir` (default the system's) when missing
 */
export async function realStore(options: Partial<ImageStoreOptions> & { tempDir?: string } = {}): Promise<RealStore> {
  const { tempDir, ...given } = options;
  const baseDir = given.baseDir ??
    Deno.makeTempDirSync({ prefix: "nyx-images-", ...(tempDir === undefined ? {} : { dir: tempDir }) });
  const log: Record<string, unknown>[] = [];
  const logger = new Logger("debug", { write: (l) => void log.push(JSON.parse(new TextDecoder().decode(l))) });
  const onLog = (level: "debug" | "info" | "warn" | "error", msg: string, fields: Record<string, unknown>) =>
    logger.log(level, msg, fields);
  const rootfs = new WorkerHost<RootfsStage>({
    name: "rootfs",
    start: () => new Worker(new URL("../../workers/rootfs/main.ts", import.meta.url), { type: "module" }),
    onLog,
  });
  const users = new Map<string, string[]>();
  const started = { pull: 0, extract: 0 };
  const open = async () => {
    const store = new ImageStore({
      baseDir,
      pull: () => {
        started.pull++;
        return new WorkerHost<PullStage>({
          name: "pull",
          start: () =>
            startPullWorker({
              imagesDir: `${baseDir}/images`,
              retryBaseMs: 20,
              ...(given.limits?.minFreeBytes === undefined ? {} : { minFreeBytes: given.limits.minFreeBytes }),
            }),
          onLog,
        });
      },
      extract: () => {
        started.extract++;
        return new WorkerHost<ExtractStage>({
          name: "extract",
          start: () => new Worker(new URL("../../workers/extract/main.ts", import.meta.url), { type: "module" }),
          onLog,
        });
      },
      rootfs,
      log: logger,
      platform: { os: "linux", architecture: "amd64" },
      usedBy: (id) => users.get(id) ?? [],
      emit: () => {},
      ...given,
    });
    await store.open();
    return store;
  };
  const real: RealStore = {
    baseDir,
    store: await open(),
    users,
    rootfs,
    log,
    started,
    async restart() {
      await real.store.dispose();
      real.store = await open();
      return real.store;
    },
    async [Symbol.asyncDispose]() {
      await real.store.dispose();
      rootfs.terminate();
      await Deno.remove(baseDir, { recursive: true });
    },
  };
  return real;
}
