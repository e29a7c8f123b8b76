/**
 * Program: servers for health probes, to be run inside a container's namespace. HTTP on 8080 answers the status in the path
 * (`/204`), `/slow` never; gRPC health (h2c) on 50051 answers SERVING, on 50052 NOT_SERVING, on 50053 without the service.
 */

import { createServer } from "node:http2";

Deno.serve({ port: 8080, hostname: "0.0.0.0", onListen: () => {} }, async (request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/slow") await new Promise(() => {});
  return new Response(null, { status: Number(pathname.slice(1)) || 404 });
});

function grpc(port: number, message: number[] | undefined): void {
  createServer().on("stream", (stream, headers) => {
    const right = headers[":path"] === "/grpc.health.v1.Health/Check" &&
      headers["content-type"] === "application/grpc" &&
      headers.te === "trailers";
    if (message === undefined || !right) {
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "12" }, { endStream: true });
      return;
    }
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(Uint8Array.of(0, 0, 0, 0, message.length, ...message));
  }).listen(port, "0.0.0.0");
}

grpc(50051, [0x08, 1]);
grpc(50052, [0x08, 2]);
grpc(50053, undefined);
