/** In-memory index of the image store: what the entry directories on disk say. No input or output here. */

import type { Descriptor, ImageConfig } from "../spec/image.ts";
import { formatReference, type Reference } from "../spec/reference.ts";
import type { ImageLayer } from "./documents.ts";

/** A layer with the blob that is kept for it. */
export interface StoredLayer extends ImageLayer {
  /**
   * Blob on disk that unpacks to this layer: `blob` itself, or another compression of it that was here before and made
   * a download unnecessary.
   */
  stored: Descriptor;
}

/** One image: a manifest with its config. Images with the same config share their id. */
export interface ImageRecord {
  manifestDigest: string;
  manifestMediaType: string;
  manifestSize: number;
  /** Config digest. */
  imageId: string;
  configSize: number;
  config: ImageConfig;
  /** Bottom first. */
  layers: StoredLayer[];
}

/** A name of an image. */
export interface RefRecord {
  reference: Reference;
  manifestDigest: string;
  /** Index that the reference named when it was pulled. */
  indexDigest?: string;
  indexMediaType?: string;
  /** RFC 3339. */
  addedAt: string;
  /** pull, load, tag. Only pulled ones have a digest that a registry knows. */
  source: RefSource;
}

/** How a name came to be. */
export type RefSource = "pull" | "load" | "tag";

/** An image without a name. */
export interface UntaggedRecord {
  manifestDigest: string;
  /** Repository that it was known under, canonical. */
  repository?: string;
  indexDigest?: string;
  addedAt: string;
}

/** The index. Keys of references are canonical texts. */
export class ImageIndex {
  /** By manifest digest. */
  readonly images = new Map<string, ImageRecord>();
  /** By canonical reference. */
  readonly refs = new Map<string, RefRecord>();
  /** By manifest digest. */
  readonly untagged = new Map<string, UntaggedRecord>();
  readonly #byId = new Map<string, Set<string>>();

  /** Adds an image, or replaces what was known of it. */
  addImage(record: ImageRecord): void {
    this.images.set(record.manifestDigest, record);
    const manifests = this.#byId.get(record.imageId) ?? new Set();
    manifests.add(record.manifestDigest);
    this.#byId.set(record.imageId, manifests);
  }

  /** Forgets an image that nothing names any more. */
  dropImage(manifestDigest: string): void {
    const record = this.images.get(manifestDigest);
    if (record === undefined) return;
    this.images.delete(manifestDigest);
    const manifests = this.#byId.get(record.imageId);
    manifests?.delete(manifestDigest);
    if (manifests?.size === 0) this.#byId.delete(record.imageId);
  }

  /** Names an image; an earlier holder of the name loses it. */
  setRef(ref: RefRecord): void {
    this.refs.set(formatReference(ref.reference), ref);
  }

  /** Ids of all images. */
  get ids(): Iterable<string> {
    return this.#byId.keys();
  }

  /** Number of image ids. */
  get size(): number {
    return this.#byId.size;
  }

  /** Whether an image id is known. */
  hasId(imageId: string): boolean {
    return this.#byId.has(imageId);
  }

  /** The images with an id. */
  withId(imageId: string): ImageRecord[] {
    return [...this.#byId.get(imageId) ?? []].flatMap((m) => this.images.get(m) ?? []);
  }

  /** Canonical references of a manifest. */
  refsOfManifest(manifestDigest: string): string[] {
    return [...this.refs].filter(([, r]) => r.manifestDigest === manifestDigest).map(([text]) => text);
  }

  /** Canonical references of an image id, sorted. */
  refsOfId(imageId: string): string[] {
    const manifests = this.#byId.get(imageId) ?? new Set();
    return [...this.refs].filter(([, r]) => manifests.has(r.manifestDigest)).map(([text]) => text).sort();
  }

  /** Repository digests of an image id, `domain/path@sha256:…`, sorted. */
  digestsOfId(imageId: string): string[] {
    const manifests = this.#byId.get(imageId) ?? new Set();
    const all = new Set<string>();
    for (const r of this.refs.values()) {
      if (!manifests.has(r.manifestDigest) || r.source !== "pull") continue;
      const { domain, path } = r.reference;
      all.add(`${domain}/${path}@${r.reference.digest ?? r.indexDigest ?? r.manifestDigest}`);
    }
    for (const u of this.untagged.values()) {
      if (manifests.has(u.manifestDigest) && u.repository !== undefined) {
        all.add(`${u.repository}@${u.indexDigest ?? u.manifestDigest}`);
      }
    }
    return [...all].sort();
  }
}
