/**
 * Where the image store keeps what, below the daemon's base directory:
 *
 *     images/blobs/sha256/<hex>                     manifests, indexes, configs and compressed layers, exact bytes
 *     images/ingest/                                downloads under way, owned by the pull stage
 *     images/staging/<uuid>/                        archives being loaded; emptied at start
 *     images/images/<domain>/<repository>/<tag>/    one directory a reference
 *     images/untagged/<manifest hex>/               images that lost their last reference
 *     images/pending/<manifest hex>/                pulls begun and not finished: keep their blobs for a resume
 *     images/quarantine/                            entries that could not be read, moved aside
 *     layers/                                       unpacked layers, owned by the extract stage
 *
 * An entry directory holds `config.json`, `ref.json` and `manifest.json`, written in this order; `manifest.json` makes the
 * entry exist and is the first to go.
 *
 * Reference directories cannot collide. Each one belongs to one (repository, name): its parent path and its last part. A
 * directory may be a tag and also the prefix of a longer repository (`a/b:c` beside `a/b/c:latest`), so the only clash
 * possible is a repository component or tag called like one of the three files; those are prefixed with `%`, which no
 * reference may contain. A reference by digest is the directory `@sha256:<hex>`, which no tag can be.
 */

/** The parts of a reference that name its directory. */
export interface RefParts {
  /** Registry host with its port. */
  domain: string;
  /** Repository below the domain. */
  path: string;
  tag?: string;
  /** Wins over the tag, as in Docker. */
  digest?: string;
}

/** Files of an entry, in the order in which they are written. */
export const ENTRY_FILES = ["config.json", "ref.json", "manifest.json"] as const;

const RESERVED = /^%*(?:config|ref|manifest)\.json$/;

/** Paths of one base directory. */
export class StorePaths {
  /** images/ */
  readonly imagesDir: string;
  /** layers/ */
  readonly layersDir: string;

  /** @param baseDir the daemon's base directory, absolute */
  constructor(readonly baseDir: string) {
    this.imagesDir = `${baseDir}/images`;
    this.layersDir = `${baseDir}/layers`;
  }

  /** images/blobs/sha256 */
  get blobsDir(): string {
    return `${this.imagesDir}/blobs/sha256`;
  }
  /** images/ingest */
  get ingestDir(): string {
    return `${this.imagesDir}/ingest`;
  }
  /** images/staging */
  get stagingDir(): string {
    return `${this.imagesDir}/staging`;
  }
  /** images/images */
  get refsDir(): string {
    return `${this.imagesDir}/images`;
  }
  /** images/untagged */
  get untaggedDir(): string {
    return `${this.imagesDir}/untagged`;
  }
  /** images/pending */
  get pendingDir(): string {
    return `${this.imagesDir}/pending`;
  }
  /** images/quarantine */
  get quarantineDir(): string {
    return `${this.imagesDir}/quarantine`;
  }

  /** File of a blob. */
  blob(digest: string): string {
    return `${this.blobsDir}/${hexOf(digest)}`;
  }
  /** Directory of a reference. */
  ref(parts: RefParts): string {
    return `${this.refsDir}/${encodeRefDir(parts)}`;
  }
  /** Directory of an image without a reference. */
  untagged(manifestDigest: string): string {
    return `${this.untaggedDir}/${hexOf(manifestDigest)}`;
  }
  /** Directory of an unfinished pull. */
  pending(manifestDigest: string): string {
    return `${this.pendingDir}/${hexOf(manifestDigest)}`;
  }
}

/** Pattern of the digests that the store takes. */
export const SHA256_DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Hex part of a sha256 digest; throws for anything else, so that no other text can become part of a path. */
export function hexOf(digest: string): string {
  if (!SHA256_DIGEST.test(digest)) throw new TypeError(`Not a sha256 digest: ${JSON.stringify(digest)}`);
  return digest.slice("sha256:".length);
}

function escape(part: string): string {
  return RESERVED.test(part) ? `%${part}` : part;
}

function unescape(part: string): string {
  return part.startsWith("%") && RESERVED.test(part) ? part.slice(1) : part;
}

/** Directory of a reference relative to images/images. Injective. */
export function encodeRefDir(parts: RefParts): string {
  const name = parts.digest !== undefined ? `@${parts.digest}` : escape(parts.tag ?? "latest");
  return [parts.domain, ...parts.path.split("/").map(escape), name].join("/");
}

/**
 * Parts that {@linkcode encodeRefDir} gave this directory for; undefined when it has too few parts. The caller checks
 * their grammar.
 */
export function decodeRefDir(dir: string): RefParts | undefined {
  const [domain, ...rest] = dir.split("/");
  const name = rest.pop();
  if (domain === undefined || name === undefined || rest.length === 0) return undefined;
  const path = rest.map(unescape).join("/");
  return name.startsWith("@") ? { domain, path, digest: name.slice(1) } : { domain, path, tag: unescape(name) };
}
