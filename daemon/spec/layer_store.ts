/**
 * Where committed layers live, and how short names keep an overlay mount's options within one page.
 *
 * Layout below a layers directory (`<base-dir>/overlay/layers` or wherever the daemon puts it):
 *
 *     <key>/            one committed layer; it appears by rename, so it is whole or absent
 *       layer.json      {@linkcode LayerRecord}
 *       fs/             the lowerdir: whiteouts as char 0:0, opaque directories by trusted.overlay.opaque
 *       durable         present once a syncfs after the commit has succeeded; see {@linkcode DURABLE_MARKER}
 *     .tmp-<key>-<random>/   an extraction under way or given up; removed by the extract stage's `clean`
 *
 * `<key>` is the first 32 hex characters of the diffID: short, readable, and too long to collide by chance; the record
 * inside holds the whole diffID, so a collision made on purpose is refused instead of being mounted.
 *
 * Pure: names only, no input or output.
 */

import { invalid } from "./errors.ts";

/** Length of a layer's key: 128 bits in hex. */
const KEY_LENGTH = 32;

/** Start of the name of a directory in which an extraction is under way. */
export const LAYER_TMP_PREFIX = ".tmp-";

/** Name of the record file in a layer's directory. */
export const LAYER_RECORD = "layer.json";

/**
 * Name of the empty file that says a layer would survive a power cut. A layer without it is trusted only while the
 * kernel that wrote it still runs (same boot id); afterwards it may be half-written and is extracted again.
 */
export const DURABLE_MARKER = "durable";

/** Version of {@linkcode LayerRecord} and of how entries are laid out below fs/. */
export const LAYER_VERSION = 1;

/** Content of layer.json. */
export interface LayerRecord {
  version: typeof LAYER_VERSION;
  /** sha256 of the uncompressed tar, with its algorithm. */
  diffId: string;
  /** Bytes of the uncompressed tar. */
  tarSize: number;
  /** Bytes on disk as du counts them. */
  diskBytes: number;
  /** Tar entries applied. */
  entries: number;
  /** The layer hides everything below it: leave out all lower layers (the kernel ignores an opaque mark on a layer's root). */
  opaqueRoot?: true;
  /** /proc/sys/kernel/random/boot_id at commit. */
  bootId: string;
}

/**
 * Directory name of a layer.
 *
 * @param diffId `sha256:` and 64 lower-case hex digits
 * @throws NyxError invalid_argument for anything else, so that a diffID can never leave the layers directory
 */
export function layerKey(diffId: string): string {
  const match = /^sha256:([0-9a-f]{64})$/.exec(diffId);
  if (match?.[1] === undefined) {
    throw invalid("diffId", diffId, "give sha256: and 64 lower-case hex digits");
  }
  return match[1].slice(0, KEY_LENGTH);
}

/** Absolute directory of a committed layer. */
export function layerDir(layersDir: string, diffId: string): string {
  return `${layersDir}/${layerKey(diffId)}`;
}

/** Absolute lowerdir of a committed layer. */
export function layerDiffPath(layersDir: string, diffId: string): string {
  return `${layerDir(layersDir, diffId)}/fs`;
}

/** Absolute path of a committed layer's record. */
export function layerRecordPath(layersDir: string, diffId: string): string {
  return `${layerDir(layersDir, diffId)}/${LAYER_RECORD}`;
}

/** Lowerdir of a layer relative to the layers directory (35 bytes): 100 of them fit mount(2)'s page of options. */
export function relativeDiffPath(diffId: string): string {
  return `${layerKey(diffId)}/fs`;
}

/**
 * Short name for the n-th lower directory of one mount: one or two characters for the 500 layers that overlayfs allows.
 *
 * mount(2) takes one page of options, which 500 relative diff paths overflow. The kernel resolves lower directories once,
 * at mount time; so make a temporary directory of symlinks `shortName(i)` to each `layerDiffPath`, mount with it as
 * the working directory and lowerdir=0:1:2:…, then remove it.
 *
 * @param index place of the layer in the mount, from 0
 */
export function shortName(index: number): string {
  return index.toString(36);
}

/** Parses layer.json; undefined when it is malformed, of another version, or of another diffID. */
export function tryParseLayerRecord(text: string, diffId?: string): LayerRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const r = value as Partial<LayerRecord>;
  const whole = r.version === LAYER_VERSION && typeof r.diffId === "string" && typeof r.bootId === "string" &&
    Number.isSafeInteger(r.tarSize) && Number.isSafeInteger(r.diskBytes) && Number.isSafeInteger(r.entries);
  if (!whole || (diffId !== undefined && r.diffId !== diffId)) return undefined;
  return r as LayerRecord;
}
