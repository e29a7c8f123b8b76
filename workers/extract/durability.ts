/** Marks layers durable in the background, when nothing is being extracted; see store.ts for the policy. */

import { toErrorData } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import type { FileKernel } from "../../ffi/file.ts";
import { LayerStore } from "./store.ts";

/** Quiet time before the disk is asked to catch up. */
const QUIET_MS = 2_000;

/** Counts extractions and syncs after the last one. */
export class DurabilityKeeper {
  readonly #dirs = new Set<string>();
  #active = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param k kernel
   * @param warn told when a sync fails: its layers are then extracted again after the next boot
   * @param quietMs see QUIET_MS
   */
  constructor(
    private readonly k: FileKernel,
    private readonly warn: (msg: string, fields: Record<string, unknown>) => void,
    private readonly quietMs: number = QUIET_MS,
  ) {}

  /** Holds syncing off until disposed; afterwards the directory's new layers are due. */
  extracting(layersDir: string): Disposable {
    this.#active++;
    clearTimeout(this.#timer);
    this.#dirs.add(layersDir);
    return {
      [Symbol.dispose]: () => {
        if (--this.#active > 0) return;
        this.#timer = setTimeout(() => void this.#sync(), this.quietMs);
      },
    };
  }

  async #sync(): Promise<void> {
    const dirs = [...this.#dirs];
    this.#dirs.clear();
    for (const dir of dirs) {
      try {
        using store = new LayerStore(this.k, dir, { create: false });
        await store.sync(store.unsynced());
      } catch (e) {
        if (isErrno(e, "ENOENT")) continue;
        this.warn("Could not make extracted layers durable", { layersDir: dir, error: toErrorData(e) });
      }
    }
  }
}
