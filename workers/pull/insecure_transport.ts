/**
 * HTTPS without verification, for hosts that the user declared insecure.
 *
 * fetch has no such option, so this goes over node:https; it is loaded at first use only. One connection a request, no proxy.
 */

import { request as httpsRequest } from "node:https";
import { Readable } from "node:stream";
import { connect } from "node:tls";
import type { HttpRequest, HttpResponse } from "./transport.ts";

/**
 * Sends a request over TLS with any certificate and waits for the response's head.
 *
 * @param request as for `exchange`; its headers are sent as they are
 * @throws whatever node:https fails with
 */
export function exchangeInsecure(request: HttpRequest): Promise<HttpResponse> {
  const { method, url, headers, body, signal } = request;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const isAddress = /^[\d.]+$/.test(host) || host.includes(":");
  const payload = body?.toString();
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest({
      method,
      host,
      port: Number(url.port || "443"),
      path: url.pathname + url.search,
      headers: {
        ...headers,
        host: url.host,
        ...(payload === undefined ? {} : {
          "content-type": "application/x-www-form-urlencoded;charset=UTF-8",
          "content-length": String(new TextEncoder().encode(payload).length),
        }),
      },
      createConnection: () =>
        connect({
          host,
          port: Number(url.port || "443"),
          rejectUnauthorized: false,
          ...(isAddress ? {} : { servername: host }),
        }),
    }, (incoming) => {
      const responseHeaders = new Headers();
      for (const [name, value] of Object.entries(incoming.headers)) {
        if (value !== undefined) responseHeaders.set(name, Array.isArray(value) ? value.join(", ") : value);
      }
      const stream = method === "HEAD" ? null : Readable.toWeb(incoming);
      if (stream === null) incoming.resume();
      resolve({
        status: incoming.statusCode ?? 0,
        headers: responseHeaders,
        body: stream as ReadableStream<Uint8Array<ArrayBuffer>> | null,
      });
    });
    const onAbort = () => outgoing.destroy(new Error("aborted"));
    signal.addEventListener("abort", onAbort, { once: true });
    outgoing.on("close", () => signal.removeEventListener("abort", onAbort));
    outgoing.on("error", reject);
    outgoing.end(payload);
  });
}
