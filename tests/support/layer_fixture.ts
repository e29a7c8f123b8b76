/** Extraction of archives that a test has in memory, into a store of its own, beside a canary that must not change. */

import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import assert from "node:assert/strict";
import { layerDiffPath, type LayerRecord } from "../../daemon/spec/layer_store.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { FileKernel } from "../../ffi/file.ts";
import { linuxFile } from "../../ffi/linux/file.ts";
import { extractLayer, type ExtractOptions } from "../../workers/extract/extract.ts";
import { LayerStore } from "../../workers/extract/store.ts";
import type { ExtractLimits } from "../../workers/protocol.ts";
import { treeSnapshot } from "./tree_snapshot.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Limits that no honest test meets. */
export const WIDE_LIMITS: ExtractLimits = { maxEntries: 1e6, maxBytes: 2 ** 40, maxRatio: 2000, minFreeBytes: 0 };

/** Digest of bytes with its algorithm. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** How to extract. */
export interface FixtureOptions extends ExtractOptions {
  limits?: Partial<ExtractLimits>;
  /** Kernel with faults. */
  kernel?: FileKernel;
  /** Store in place of the fixture's own. */
  store?: LayerStore;
  /** The compressed blob; default the tar as it is. `true` for gzip. */
  gzip?: boolean;
  /** Bytes for each chunk of the source. Default all. */
  chunk?: number;
}

/** A layers directory and a canary directory, both gone when disposed. */
export class LayerFixture implements Disposable {
  readonly base: string;
  readonly layersDir: string;
  readonly canary: string;
  readonly #before: string[];
  readonly store: LayerStore;

  /** @param dir where; the system's directory for temporary files by default */
  constructor(dir?: string) {
    this.base = Deno.makeTempDirSync({ prefix: "nyx-extract-", ...(dir === undefined ? {} : { dir }) });
    this.layersDir = `${this.base}/layers`;
    this.canary = `${this.base}/canary`;
    Deno.mkdirSync(this.canary);
    Deno.writeTextFileSync(`${this.canary}/passwd`, "root\n");
    Deno.mkdirSync(`${this.canary}/dir`);
    Deno.symlinkSync("passwd", `${this.canary}/link`);
    this.store = new LayerStore(linuxFile(), this.layersDir);
    this.#before = treeSnapshot(this.canary);
  }

  /** Extracts an archive and gives the layer's root and record. */
  async extract(
    tar: Bytes,
    options: FixtureOptions = {},
  ): Promise<{ root: string; record: LayerRecord; diffId: string }> {
    const blob = options.gzip ? new Uint8Array(gzipSync(tar)) : tar;
    const diffId = sha256(tar);
    const job = {
      blob: { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: sha256(blob), size: blob.byteLength },
      diffId,
      source: chunks(blob, options.chunk ?? Math.max(1, blob.byteLength)),
      limits: { ...WIDE_LIMITS, ...options.limits },
    };
    const record = await extractLayer(options.kernel ?? linuxFile(), options.store ?? this.store, job, options);
    return { root: layerDiffPath(this.layersDir, diffId), record, diffId };
  }

  /** Extracts an archive that must be refused with a code and a message; nothing of it may be left, here or outside. */
  async refuses(tar: Bytes, code: NyxError["code"], message: RegExp, options: FixtureOptions = {}): Promise<void> {
    await assert.rejects(this.extract(tar, options), (e: unknown) => {
      assert.ok(e instanceof NyxError, `not a NyxError: ${e}`);
      assert.match(e.message, message);
      assert.equal(e.code, code, e.message);
      return true;
    });
    this.assertUntouched();
    assert.deepEqual([...Deno.readDirSync(this.layersDir)].map((e) => e.name), [], "a refused layer left something");
  }

  /** The canary is as it was. */
  assertUntouched(): void {
    assert.deepEqual(treeSnapshot(this.canary), this.#before, "something outside the layer changed");
  }

  [Symbol.dispose](): void {
    this.store[Symbol.dispose]();
    Deno.removeSync(this.base, { recursive: true });
  }
}

function* chunks(bytes: Bytes, size: number): Generator<Bytes> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.slice(at, at + size);
}
