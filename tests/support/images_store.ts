/** An image store in a temporary base directory, over doubles or over real stage workers. */

import { strict as assert } from "node:assert";
import { Logger } from "../../daemon/log/logger.ts";
import { ImageStore, type ImageStoreOptions } from "../../daemon/images/store.ts";
import type { EventRecord } from "../../daemon/spec/api.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { du, type StageDoubles, stageDoubles } from "./images_stages.ts";

/** A store under test. Dispose it. */
export interface TestStore extends AsyncDisposable {
  baseDir: string;
  store: ImageStore;
  stages: StageDoubles;
  /** Container names by image id; tests fill it. */
  users: Map<string, string[]>;
  events: EventRecord[];
  /** Lines of the log, parsed. */
  log: Record<string, unknown>[];
  /** Layout directory by canonical repository. */
  layouts: Map<string, string>;
  /** Another store on the same directory, as after a restart. */
  reopen(): Promise<ImageStore>;
}

/** Makes and opens a store over stage doubles. */
export async function doubledStore(options: Partial<ImageStoreOptions> = {}): Promise<TestStore> {
  const baseDir = options.baseDir ?? Deno.makeTempDirSync({ prefix: "nyx-images-" });
  const layouts = new Map<string, string>();
  const stages = stageDoubles(`${baseDir}/images`, layouts);
  const users = new Map<string, string[]>();
  const events: EventRecord[] = [];
  const log: Record<string, unknown>[] = [];
  const logger = new Logger("debug", { write: (l) => void log.push(JSON.parse(new TextDecoder().decode(l))) });
  const stores: ImageStore[] = [];
  const open = async () => {
    const store = new ImageStore({
      baseDir,
      pull: () => stages.pull,
      extract: () => stages.extract,
      rootfs: stages.rootfs,
      log: logger,
      platform: { os: "linux", architecture: "amd64" },
      usedBy: (id) => users.get(id) ?? [],
      emit: (e) => void events.push(e),
      ...options,
    });
    stores.push(store);
    await store.open();
    return store;
  };
  return {
    baseDir,
    store: await open(),
    stages,
    users,
    events,
    log,
    layouts,
    reopen: open,
    async [Symbol.asyncDispose]() {
      for (const s of stores) await s.dispose();
      await Deno.remove(baseDir, { recursive: true }).catch((e) => {
        // Two test stores may share a directory.
        if (!(e instanceof Deno.errors.NotFound)) throw e;
      });
    },
  };
}

/** All files below a directory, relative, sorted; directories with a slash when `dirs`. */
export function filesBelow(dir: string, options: { dirs?: boolean } = {}): string[] {
  const out: string[] = [];
  const walk = (at: string, prefix: string) => {
    for (const e of Deno.readDirSync(at)) {
      if (e.isDirectory) {
        if (options.dirs) out.push(`${prefix}${e.name}/`);
        walk(`${at}/${e.name}`, `${prefix}${e.name}/`);
      } else out.push(prefix + e.name);
    }
  };
  walk(dir, "");
  return out.sort();
}

/** Layout directories that stand for repositories; attach them to a store, dispose them. */
export function withLayouts(...repositories: string[]) {
  const dirs = new Map(repositories.map((r) => [r, Deno.makeTempDirSync({ prefix: "nyx-oci-" })]));
  return {
    dir: (repository: string) => {
      const dir = dirs.get(repository);
      assert.ok(dir);
      return dir;
    },
    attach(t: TestStore) {
      for (const [k, v] of dirs) t.layouts.set(k, v);
    },
    [Symbol.dispose]() {
      for (const d of dirs.values()) Deno.removeSync(d, { recursive: true });
    },
  };
}

/** A layer of one file. */
export const layer = (text: string) => [{ path: "file", data: text }];

/** For assert.rejects: a NyxError of a code, with a message that fits. */
export function code(expected: string, pattern?: RegExp) {
  return (e: unknown) => {
    assert.ok(e instanceof NyxError, String(e));
    assert.equal(e.code, expected, e.message);
    if (pattern) assert.match(e.message, pattern);
    return true;
  };
}

/** The ledger of the store agrees with du, and nothing but what is listed is on disk. */
export async function assertConsistent(t: TestStore): Promise<void> {
  const usage = await t.store.usage();
  const [images = 0, layers = 0] = await du(`${t.baseDir}/images`, `${t.baseDir}/layers`);
  assert.equal(usage.images, images + layers);
}
