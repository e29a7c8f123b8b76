/** Which blobs and layers nothing needs any more: the decision of the garbage collector, pure. */

import type { ImageIndex, ImageRecord } from "./records.ts";

/** What must stay. Digests with their algorithm. */
export interface Reachable {
  blobs: Set<string>;
  layers: Set<string>;
}

/** Adds all that an image needs. */
export function addReachable(to: Reachable, image: ImageRecord): void {
  to.blobs.add(image.manifestDigest);
  to.blobs.add(image.imageId);
  for (const layer of image.layers) {
    to.blobs.add(layer.blob.digest);
    to.blobs.add(layer.stored.digest);
    to.layers.add(layer.diffId);
  }
}

/** Roots of the store beside its named and untagged images. */
export interface ExtraRoots {
  /** Pulls and loads under way or to be resumed. */
  images: Iterable<ImageRecord>;
  /** Layers that containers have mounted or will mount. */
  layers: Iterable<string>;
}

/**
 * Everything reachable from the index and the extra roots.
 *
 * @param without manifests to be judged as if they were gone, for what a removal would free
 */
export function reachable(index: ImageIndex, extra: ExtraRoots, without: ReadonlySet<string> = new Set()): Reachable {
  const out: Reachable = { blobs: new Set(), layers: new Set(extra.layers) };
  for (const image of index.images.values()) {
    if (!without.has(image.manifestDigest)) addReachable(out, image);
  }
  for (const ref of index.refs.values()) {
    if (ref.indexDigest !== undefined && !without.has(ref.manifestDigest)) out.blobs.add(ref.indexDigest);
  }
  for (const image of extra.images) addReachable(out, image);
  return out;
}

/** What is on disk and not reachable. */
export function unreachable(
  onDisk: { blobs: Iterable<string>; layers: Iterable<string> },
  keep: Reachable,
): { blobs: string[]; layers: string[] } {
  return {
    blobs: [...onDisk.blobs].filter((b) => !keep.blobs.has(b)),
    layers: [...onDisk.layers].filter((l) => !keep.layers.has(l)),
  };
}
