/** A base directory with layers made by hand, and the rootfs operations over the real kernel. */

import { linuxFile } from "../../ffi/linux/file.ts";
import { linuxMount } from "../../ffi/linux/mount.ts";
import { layerDiffPath, layerRecordPath } from "../../daemon/spec/layer_store.ts";
import type { LowerdirMode, OverlayKernel } from "../../workers/rootfs/overlay.ts";
import { RootfsOperations } from "../../workers/rootfs/operations.ts";
import { readMounts, unmountBelow } from "../../workers/rootfs/mount_table.ts";

/** Everything a rootfs test needs; dispose it. */
export class RootfsFixture implements AsyncDisposable {
  readonly #temporary = Deno.makeTempDirSync({ prefix: "nyx-rootfs-" });
  readonly baseDir: string;
  readonly layersDir: string;
  readonly kernel: OverlayKernel = { ...linuxFile(), ...linuxMount() };
  readonly warnings: string[] = [];
  readonly ops: RootfsOperations;
  #layers = 0;

  /**
   * @param mode forces how lower directories are given
   * @param kernel takes the place of the real one
   * @param below name of the base directory inside the temporary one
   */
  constructor(mode?: LowerdirMode, kernel?: OverlayKernel, below?: string) {
    this.baseDir = below === undefined ? this.#temporary : `${this.#temporary}/${below}`;
    this.layersDir = `${this.baseDir}/layers`;
    if (Deno.uid() !== 0) throw new Error("This test mounts: run it as root");
    Deno.mkdirSync(this.layersDir, { recursive: true, mode: 0o700 });
    this.ops = new RootfsOperations(kernel ?? this.kernel, {
      ...(mode === undefined ? {} : { mode }),
      warn: (msg) => this.warnings.push(msg),
    });
  }

  /** Commits a layer filled by `fill`; gives back its diffID. */
  layer(fill: (fs: string) => void, record: Record<string, unknown> = {}): string {
    const diffId = `sha256:${(++this.#layers).toString(16).padStart(32, "0")}${"0".repeat(32)}`;
    const fs = layerDiffPath(this.layersDir, diffId);
    Deno.mkdirSync(fs, { recursive: true });
    fill(fs);
    Deno.writeTextFileSync(
      layerRecordPath(this.layersDir, diffId),
      JSON.stringify({ version: 1, diffId, tarSize: 0, diskBytes: 0, entries: 0, bootId: "test", ...record }),
    );
    return diffId;
  }

  /** A mount request with everything at rest. */
  request(
    id: string,
    layers: string[],
    rest: { volatile?: boolean; ensureDirs?: string[]; readFiles?: string[] } = {},
  ) {
    return { id, baseDir: this.baseDir, layers, volatile: false, ensureDirs: [], readFiles: [], ...rest };
  }

  /** Takes a container's root off. */
  unmount(id: string, removeDirs = false): Promise<{ removed: boolean }> {
    return this.ops.unmount({ id, baseDir: this.baseDir, removeDirs });
  }

  /** Number of mounts below the base directory. */
  get mountCount(): number {
    return readMounts(this.kernel).filter((m) => m.mountPoint.startsWith(`${this.baseDir}/`)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ops.settle();
    await unmountBelow(this.kernel, this.baseDir);
    Deno.removeSync(this.#temporary, { recursive: true });
  }
}

/** Runs a command and gives back its output; throws when it fails. */
export function sh(script: string): string {
  const { code, stdout, stderr } = new Deno.Command("sh", { args: ["-c", script], stdout: "piped", stderr: "piped" })
    .outputSync();
  const text = new TextDecoder();
  if (code !== 0) throw new Error(`sh exited ${code}: ${script}\n${text.decode(stderr)}`);
  return text.decode(stdout);
}
