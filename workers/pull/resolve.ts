/** From a reference to a verified manifest and config for one platform. */

import { isDigest, parseDigest } from "../../daemon/spec/digest.ts";
import { digestOf, verifyDigest } from "../../daemon/spec/digest_verifier.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { Descriptor, ImageIndex, Platform } from "../../daemon/spec/image.ts";
import { formatPlatform, matchesPlatform, offeredPlatforms, selectPlatform } from "../../daemon/spec/platform.ts";
import { familiarReference } from "../../daemon/spec/reference.ts";
import type { PullStage, RegistryAccess, ResolvedImage } from "../protocol.ts";
import { readBounded } from "./body.ts";
import {
  ACCEPT_MANIFESTS,
  type ManifestDocument,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  parseConfigDocument,
  parseManifestDocument,
} from "./manifest.ts";
import { type RegistryClient, type Repository, repositoryOf } from "./registry_client.ts";
import { withRetry } from "./retry.ts";
import { discard } from "./transport.ts";

/** An index may name another index; this many levels are followed. */
const MAX_INDEX_DEPTH = 3;

interface Fetched {
  bytes: Uint8Array<ArrayBuffer>;
  digest: string;
  document: ManifestDocument;
}

/** What the resolve operation needs. */
export interface ResolveOptions {
  client: RegistryClient;
  signal: AbortSignal;
  progress: (p: PullStage["ops"]["resolve"]["progress"]) => void;
}

/**
 * Fetches and verifies manifest and config of a reference.
 *
 * @throws NyxError not_found with the platforms on offer when none fits; data_loss when a digest or document is wrong
 */
export async function resolveImage(
  request: PullStage["ops"]["resolve"]["request"],
  options: ResolveOptions,
): Promise<ResolvedImage> {
  const { client, signal, progress } = options;
  const repository = repositoryOf(request);
  const what = familiarReference(repository.ref);
  progress({ phase: "auth" });
  progress({ phase: "manifest" });
  const top = await fetchManifest(client, repository, { name: manifestName(repository), what, signal });
  let current = top;
  for (let depth = 0; current.document.kind === "index"; depth++) {
    if (depth === MAX_INDEX_DEPTH) {
      throw new NyxError("data_loss", `Refused ${what}: its index leads through more than ${MAX_INDEX_DEPTH} indexes`);
    }
    const entry = chooseEntry(current.document.index, request.platform, what);
    current = await fetchManifest(client, repository, { name: entry.digest, descriptor: entry, what, signal });
  }
  progress({ phase: "config" });
  const { manifest, mediaType } = current.document;
  const configBytes = await fetchConfig(client, repository, { descriptor: manifest.config, what, signal });
  const config = parseConfigDocument(configBytes, manifest.layers.length, what);
  checkConfigPlatform(config, request.platform, what);
  return {
    ...(top === current
      ? {}
      : { indexDigest: top.digest, indexBytes: top.bytes, indexMediaType: top.document.mediaType }),
    manifestDigest: current.digest,
    manifestMediaType: mediaType,
    manifestBytes: current.bytes,
    configBytes,
  };
}

function manifestName({ ref }: Repository): string {
  return ref.digest ?? ref.tag ?? "latest";
}

/** The index's best entry for a platform; where no entry names any, the first is taken and its config decides. */
function chooseEntry(index: ImageIndex, platform: Platform, what: string): Descriptor {
  const offered = offeredPlatforms(index.manifests);
  const chosen = selectPlatform(platform, index.manifests) ??
    (offered.length === 0 ? index.manifests.find((m) => m.platform === undefined) : undefined);
  if (chosen !== undefined) return chosen;
  throw noPlatform(what, platform, offered);
}

function noPlatform(what: string, platform: Platform, offered: readonly string[]): NyxError {
  const shown = offered.slice(0, 40).join(", ");
  return new NyxError(
    "not_found",
    `Could not find ${what} for ${formatPlatform(platform)}: it offers ${shown || "no platform at all"}. ` +
      "Choose one of them with --platform, or another image",
    { context: { platform: formatPlatform(platform) } },
  );
}

function checkConfigPlatform(
  config: { os?: string; architecture?: string; variant?: string },
  wanted: Platform,
  what: string,
): void {
  const { os = "", architecture = "", variant } = config;
  if (os === "" || architecture === "") return;
  const offered: Platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  if (!matchesPlatform(wanted, offered)) throw noPlatform(what, wanted, [formatPlatform(offered)]);
}

async function fetchManifest(
  client: RegistryClient,
  repository: Repository,
  options: { name: string; descriptor?: Descriptor; what: string; signal: AbortSignal },
): Promise<Fetched> {
  const { name, descriptor, what, signal } = options;
  if (descriptor !== undefined && descriptor.size > MAX_MANIFEST_BYTES) {
    throw new NyxError("resource_exhausted", `Refused ${what}: its manifest has ${descriptor.size} bytes`, {
      context: { limit: MAX_MANIFEST_BYTES },
    });
  }
  return await withRetry(client.options.retry, signal, async () => {
    using response = await client.requestOnce(repository, {
      method: "GET",
      path: `manifests/${name}`,
      headers: { accept: ACCEPT_MANIFESTS },
      accept: [200],
      what,
    }, signal);
    const { stall, url } = response;
    const bytes = await readBounded(response, MAX_MANIFEST_BYTES, { stall, url, what });
    const digest = checkManifestDigest(bytes, name, { header: response.headers.get("docker-content-digest"), what });
    if (descriptor !== undefined && bytes.byteLength !== descriptor.size) {
      throw new NyxError(
        "data_loss",
        `Refused ${what}: its manifest has ${bytes.byteLength} bytes, its index says ${descriptor.size}`,
      );
    }
    const document = parseManifestDocument({
      bytes,
      contentType: response.headers.get("content-type"),
      what,
      ...(descriptor === undefined ? {} : { expectedType: descriptor.mediaType }),
    });
    return { bytes, digest, document };
  });
}

/** Checks exact bytes against the digest asked for and the one in the header, and gives the digest to know them by. */
function checkManifestDigest(
  bytes: Uint8Array,
  name: string,
  options: { header: string | null; what: string },
): string {
  const { header, what } = options;
  if (isDigest(name)) verifyDigest(bytes, name, `manifest of ${what}`);
  if (header !== null && isDigest(header)) {
    const { algorithm } = parseDigest(header);
    const actual = digestOf(bytes, algorithm);
    if (actual !== header) {
      throw new NyxError(
        "data_loss",
        `Refused ${what}: the registry says its manifest has the digest ${header}, but it has ${actual}`,
      );
    }
  }
  return isDigest(name) ? name : digestOf(bytes);
}

async function fetchConfig(
  client: RegistryClient,
  repository: Repository,
  options: { descriptor: Descriptor; what: string; signal: AbortSignal },
): Promise<Uint8Array> {
  const { descriptor, what, signal } = options;
  return await withRetry(client.options.retry, signal, async () => {
    using response = await client.requestOnce(repository, {
      method: "GET",
      path: `blobs/${descriptor.digest}`,
      accept: [200],
      what: `config of ${what}`,
    }, signal);
    const { stall, url } = response;
    const limit = Math.min(descriptor.size, MAX_CONFIG_BYTES);
    const bytes = await readBounded(response, limit, { stall, url, what: `config of ${what}` });
    if (bytes.byteLength !== descriptor.size) {
      throw new NyxError(
        "data_loss",
        `Refused config of ${what}: it has ${bytes.byteLength} bytes, its manifest says ${descriptor.size}`,
      );
    }
    verifyDigest(bytes, descriptor.digest, `config of ${what}`);
    return bytes;
  });
}

/**
 * Digest that a reference points at now, by HEAD or, where the registry does not say, by GET.
 *
 * @throws NyxError as the registry answers
 */
export async function headManifest(
  access: RegistryAccess,
  options: { client: RegistryClient; signal: AbortSignal },
): Promise<{ digest: string }> {
  const { client, signal } = options;
  const repository = repositoryOf(access);
  const what = familiarReference(repository.ref);
  const name = manifestName(repository);
  using response = await client.request(repository, {
    method: "HEAD",
    path: `manifests/${name}`,
    headers: { accept: ACCEPT_MANIFESTS },
    accept: [200, 400, 404, 405],
    what,
  }, signal);
  await discard(response);
  const digest = response.headers.get("docker-content-digest") ?? "";
  if (response.status === 200 && isDigest(digest)) return { digest };
  return { digest: (await fetchManifest(client, repository, { name, what, signal })).digest };
}
