/** A reverse proxy that misbehaves on demand: stands between nyx and a registry and plays the network, or an attacker. */

/** A request as it came in. */
export interface SeenRequest {
  method: string;
  /** Path and query. */
  path: string;
  headers: Headers;
}

/** What to do with one request; undefined forwards it untouched. */
export type Misbehaviour =
  /** Breaks the connection after so many bytes of the body. */
  | { kind: "cut"; after: number }
  /** Sends so many bytes of the body and then nothing, with the connection open. */
  | { kind: "stall"; after: number }
  /** Answers by itself. */
  | { kind: "respond"; status: number; headers?: Record<string, string>; body?: string | Uint8Array<ArrayBuffer> }
  /** Forwards without the Range header, as servers do that know none. */
  | { kind: "ignoreRange" }
  /** Sends the client elsewhere, with the same path. */
  | { kind: "redirect"; to: string; status?: number }
  /** Flips the bits of one byte of the body. */
  | { kind: "corrupt"; at: number }
  /** Forwards, then changes the response's headers. */
  | { kind: "headers"; set: Record<string, string> }
  /** Sends the body slowly: `chunk` bytes each `everyMs`. */
  | { kind: "throttle"; chunk: number; everyMs: number };

/** A proxy under way. */
export interface FlakyProxy extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string;
  /** All requests, in order. */
  readonly requests: SeenRequest[];
  /** Decides about each request; replace it at any time. */
  misbehave: (request: SeenRequest, count: number) => Misbehaviour | undefined;
  /** Ends it. Idempotent. */
  stop(): Promise<void>;
}

const HOP_HEADERS = ["host", "connection", "content-length"];

/** Reads a body and applies a misbehaviour to its bytes. */
async function* bend(body: ReadableStream<Uint8Array<ArrayBuffer>>, how: Misbehaviour, ended: Promise<void>) {
  let at = 0;
  for await (const chunk of body) {
    let bytes = chunk;
    if ((how.kind === "cut" || how.kind === "stall") && at + bytes.length > how.after) {
      bytes = bytes.subarray(0, how.after - at);
      yield bytes;
      if (how.kind === "cut") throw new Error("cut");
      await ended;
      return;
    }
    if (how.kind === "corrupt" && how.at >= at && how.at < at + bytes.length) {
      bytes = bytes.slice();
      bytes[how.at - at] = (bytes[how.at - at] ?? 0) ^ 0xff;
    }
    at += chunk.length;
    if (how.kind !== "throttle") {
      yield bytes;
      continue;
    }
    for (let i = 0; i < bytes.length; i += how.chunk) {
      yield bytes.subarray(i, i + how.chunk);
      await new Promise((resolve) => setTimeout(resolve, how.everyMs));
    }
  }
}

/**
 * Starts a proxy on a free loopback port.
 *
 * @param target `host:port` of the real registry
 * @param misbehave what to do with each request; default forwards all
 */
export function startFlakyProxy(
  target: string,
  misbehave: FlakyProxy["misbehave"] = () => undefined,
): FlakyProxy {
  const requests: SeenRequest[] = [];
  const ended = Promise.withResolvers<void>();
  const client = Deno.createHttpClient({});
  const abort = new AbortController();

  const forward = async (request: SeenRequest, how: Misbehaviour | undefined): Promise<Response> => {
    const headers = new Headers(request.headers);
    for (const name of HOP_HEADERS) headers.delete(name);
    headers.set("accept-encoding", "identity");
    if (how?.kind === "ignoreRange") headers.delete("range");
    const upstream = await fetch(`http://${target}${request.path}`, {
      method: request.method,
      headers,
      redirect: "manual",
      client,
    });
    const out = new Headers(upstream.headers);
    if (how?.kind === "headers") { for (const [name, value] of Object.entries(how.set)) out.set(name, value); }
    if (upstream.body === null || how === undefined) {
      return new Response(upstream.body, { status: upstream.status, headers: out });
    }
    const stream = ReadableStream.from(bend(upstream.body, how, ended.promise));
    return new Response(stream, { status: upstream.status, headers: out });
  };

  const proxy: FlakyProxy = {
    host: "",
    requests,
    misbehave,
    stop,
    [Symbol.asyncDispose]: stop,
  };
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    signal: abort.signal,
    onListen: () => {},
    onError: () => new Response(null, { status: 502 }),
  }, async (incoming) => {
    const url = new URL(incoming.url);
    const request = { method: incoming.method, path: url.pathname + url.search, headers: incoming.headers };
    requests.push(request);
    const how = proxy.misbehave(request, requests.length);
    if (how?.kind === "respond") {
      return new Response(how.body ?? null, { status: how.status, headers: how.headers ?? {} });
    }
    if (how?.kind === "redirect") {
      return new Response(null, { status: how.status ?? 307, headers: { location: how.to + request.path } });
    }
    return await forward(request, how);
  });
  async function stop(): Promise<void> {
    ended.resolve();
    abort.abort();
    await server.finished;
    client.close();
  }
  return Object.assign(proxy, { host: `127.0.0.1:${server.addr.port}` });
}
