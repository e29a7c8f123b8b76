/**
 * Entry of the `pull` stage (D04): resolves references, downloads blobs, tries logins.
 *
 * Runs confined, see permissions.ts. Its {@linkcode PullInit} arrives as JSON in the worker's name.
 *
 * @module
 */

import { BlobStore, DEFAULT_MIN_FREE_BYTES } from "./blob_store.ts";
import { BlobFetcher } from "./blob_fetcher.ts";
import { loginDomain, RegistryClient } from "./registry_client.ts";
import { headManifest, resolveImage } from "./resolve.ts";
import { DEFAULT_RETRY } from "./retry.ts";
import { SlotsByHost } from "./slots.ts";
import { DEFAULT_STALL_MS } from "./stall.ts";
import type { PullInit, PullStage } from "../protocol.ts";
import { serve } from "../serve.ts";

/** Blobs that are downloaded at once by default. */
const DEFAULT_CONCURRENCY = 16;

declare const self: DedicatedWorkerGlobalScope;

const init = JSON.parse(self.name) as PullInit;
const client = new RegistryClient({
  retry: { ...DEFAULT_RETRY, ...(init.retryBaseMs === undefined ? {} : { baseMs: init.retryBaseMs }) },
  stallMs: init.stallMs ?? DEFAULT_STALL_MS,
});
const fetcher = new BlobFetcher({
  client,
  store: new BlobStore(init.imagesDir, init.minFreeBytes ?? DEFAULT_MIN_FREE_BYTES),
  slots: new SlotsByHost(init.concurrency ?? DEFAULT_CONCURRENCY),
});

serve<PullStage>("pull", {
  resolve: (request, { signal, progress }) => resolveImage(request, { client, signal, progress }),
  head: (request, { signal }) => headManifest(request, { client, signal }),
  fetchBlob: (request, options) => fetcher.fetch(request, options),
  login: ({ registry, credentials, insecure = false }, { signal }) =>
    client.login(loginDomain(registry), credentials, { insecure, signal }),
});
