/** Content for test registries, pushed over the distribution API: any bytes as blobs, any document as a manifest. */

import { strict as assert } from "node:assert";
import { digestOf } from "../../daemon/spec/digest_verifier.ts";
import { type Descriptor, MEDIA_TYPES } from "../../daemon/spec/image.ts";

/** Where to push. */
export interface PushTarget {
  /** `host:port`, reached over http. */
  host: string;
  repository: string;
  /** Value of the Authorization header. */
  authorization?: string;
}

/** An image that was pushed. */
export interface PushedImage {
  /** `host/repository:tag`. */
  ref: string;
  manifestDigest: string;
  manifestBytes: Uint8Array<ArrayBuffer>;
  config: Descriptor;
  layers: Descriptor[];
}

/** Random bytes, of any length. */
export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

function headersOf(target: PushTarget): Record<string, string> {
  return target.authorization === undefined ? {} : { authorization: target.authorization };
}

/** Pushes a blob and gives its descriptor. */
export async function putBlob(
  target: PushTarget,
  bytes: Uint8Array<ArrayBuffer>,
  mediaType: string = MEDIA_TYPES.ociLayerGzip,
): Promise<Descriptor> {
  const base = `http://${target.host}`;
  const begun = await fetch(`${base}/v2/${target.repository}/blobs/uploads/`, {
    method: "POST",
    headers: headersOf(target),
  });
  await begun.body?.cancel();
  assert.equal(begun.status, 202, "the registry did not begin an upload");
  const location = new URL(begun.headers.get("location") ?? "", base);
  const digest = digestOf(bytes);
  location.searchParams.set("digest", digest);
  const ended = await fetch(location, {
    method: "PUT",
    body: bytes,
    headers: { ...headersOf(target), "content-type": "application/octet-stream" },
  });
  assert.equal(ended.status, 201, await ended.text());
  return { mediaType, digest, size: bytes.byteLength };
}

/** Pushes a manifest or index under a tag and gives its descriptor. */
export async function putManifest(
  target: PushTarget,
  tag: string,
  document: { mediaType?: string } & Record<string, unknown>,
): Promise<Descriptor & { bytes: Uint8Array<ArrayBuffer> }> {
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  const mediaType = document.mediaType ?? MEDIA_TYPES.ociManifest;
  const response = await fetch(`http://${target.host}/v2/${target.repository}/manifests/${tag}`, {
    method: "PUT",
    body: bytes,
    headers: { ...headersOf(target), "content-type": mediaType },
  });
  assert.equal(response.status, 201, await response.text());
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength, bytes };
}

/** What to push with {@linkcode putImage}. */
export interface ImageContent {
  /** Compressed layers; any bytes do where nothing unpacks them. */
  layers: Uint8Array<ArrayBuffer>[];
  tag?: string;
  architecture?: string;
  /** Docker schema 2 instead of OCI. */
  docker?: boolean;
}

/** Pushes blobs, config and manifest of an image whose diffIDs are made up. */
export async function putImage(target: PushTarget, content: ImageContent): Promise<PushedImage> {
  const { layers, tag = "latest", architecture = "amd64", docker = false } = content;
  const layerType = docker ? MEDIA_TYPES.dockerLayerGzip : MEDIA_TYPES.ociLayerGzip;
  const descriptors = await Promise.all(layers.map((bytes) => putBlob(target, bytes, layerType)));
  const config = {
    architecture,
    os: "linux",
    config: { Cmd: ["true"] },
    rootfs: { type: "layers", diff_ids: layers.map((bytes) => digestOf(bytes)) },
  };
  const configDescriptor = await putBlob(
    target,
    new TextEncoder().encode(JSON.stringify(config)),
    docker ? MEDIA_TYPES.dockerConfig : MEDIA_TYPES.ociConfig,
  );
  const manifest = await putManifest(target, tag, {
    schemaVersion: 2,
    mediaType: docker ? MEDIA_TYPES.dockerManifest : MEDIA_TYPES.ociManifest,
    config: configDescriptor,
    layers: descriptors,
  });
  return {
    ref: `${target.host}/${target.repository}:${tag}`,
    manifestDigest: manifest.digest,
    manifestBytes: manifest.bytes,
    config: configDescriptor,
    layers: descriptors,
  };
}
