/**
 * What fetch cannot do: https without verification, for hosts that the user declared insecure, and ports that fetch refuses.
 *
 * Goes over node:http and node:https, loaded at first use only. One connection a request, no proxy.
 */

import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect as connectTcp } from "node:net";
import { Readable } from "node:stream";
import { connect } from "node:tls";
import type { HttpRequest, HttpResponse } from "./transport.ts";

/**
 * Sends a request and waits for the response's head. The runtime would read the environment for an agent, so there is none.
 *
 * @param request as for `exchange`; its headers are sent as they are
 * @throws whatever node:http fails with
 */
export function exchangeOverNode(request: HttpRequest): Promise<HttpResponse> {
  const { method, url, headers, body, signal, insecureTls = false } = request;
  const secure = url.protocol === "https:";
  const port = Number(url.port || (secure ? "443" : "80"));
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const isAddress = /^[\d.]+$/.test(host) || host.includes(":");
  const payload = body?.toString();
  return new Promise((resolve, reject) => {
    const outgoing = (secure ? httpsRequest : httpRequest)({
      method,
      host,
      port,
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
        secure
          ? connect({ host, port, rejectUnauthorized: !insecureTls, ...(isAddress ? {} : { servername: host }) })
          : connectTcp({ host, port }),
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
