/** A registry that means harm: its images have many layers, and each blob comes a byte at a time. */

import { createHash } from "node:crypto";

function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** A running one. */
export interface DripRegistry extends AsyncDisposable {
  port: number;
  /** Blobs that are being sent. */
  readonly open: number;
}

/** Starts it on loopback; every repository has one image, `latest`, of that many layers. */
export function startDripRegistry(layerCount: number): DripRegistry {
  const layers = Array.from({ length: layerCount }, (_, i) => ({
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    digest: digestOf(`blob ${i}`),
    size: 1_000_000,
  }));
  const config = JSON.stringify({
    os: "linux",
    architecture: "amd64",
    rootfs: { type: "layers", diff_ids: layers.map((l) => l.digest) },
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: digestOf(config),
      size: config.length,
    },
    layers,
  });
  let open = 0;
  const drip = () => {
    let timer: ReturnType<typeof setInterval> | undefined;
    open++;
    return new ReadableStream<Uint8Array>({
      start(controller) {
        timer = setInterval(() => controller.enqueue(Uint8Array.of(0)), 50);
      },
      cancel() {
        open--;
        clearInterval(timer);
      },
    });
  };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, onError: () => new Response() },
    (request) => {
      const { pathname } = new URL(request.url);
      if (pathname.includes("/manifests/")) {
        return new Response(request.method === "HEAD" ? null : manifest, {
          headers: {
            "content-type": "application/vnd.oci.image.manifest.v1+json",
            "docker-content-digest": digestOf(manifest),
            "content-length": String(manifest.length),
          },
        });
      }
      if (pathname.endsWith(digestOf(config))) return new Response(config);
      return pathname.includes("/blobs/") ? new Response(drip()) : new Response("{}");
    },
  );
  return {
    port: (server.addr as Deno.NetAddr).port,
    get open() {
      return open;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
