/**
 * One HTTP exchange with a registry or token server: no redirects followed, nothing decompressed, nothing repeated.
 *
 * HTTP/2 and keep-alive come with fetch, and HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are honoured by the runtime itself,
 * without any permission to read the environment. A plain-http loopback registry is always reached directly.
 */

import { NyxError } from "../../daemon/spec/errors.ts";

/** A request. */
export interface HttpRequest {
  method: "GET" | "HEAD" | "POST";
  url: URL;
  headers: Record<string, string>;
  /** Body of a POST, sent as a form. */
  body?: URLSearchParams;
  /** Aborts at any point, also while the body is read. */
  signal: AbortSignal;
  /** Accept any certificate. */
  insecureTls?: boolean;
}

/** A response whose body is still to be read or cancelled. */
export interface HttpResponse {
  status: number;
  headers: Headers;
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null;
}

const USER_AGENT = "nyx/0.1";
const MAX_DIRECT_CLIENTS = 64;
/** High ports that fetch refuses (WHATWG fetch, "port blocking") but on which a registry may well listen. */
const FETCH_BLOCKED_PORTS: readonly number[] = [
  ...[1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566],
  ...[6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080],
];

let sharedClient: Deno.HttpClient | undefined;
const directClients = new Map<string, Deno.HttpClient>();

/** Whether a URL's or reference's host means this machine. Brackets and port may be there. */
export function isLoopbackHost(host: string): boolean {
  const name = host.startsWith("[") ? host.slice(1, host.indexOf("]")) : host.replace(/:\d+$/, "");
  const lower = name.toLowerCase();
  return lower === "localhost" || lower.endsWith(".localhost") || lower === "::1" ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(lower);
}

/** URL without user, query and fragment, which may hold signatures: fit for messages. */
export function displayUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

function clientFor(url: URL): Deno.HttpClient {
  if (url.protocol !== "http:" || !isLoopbackHost(url.host)) {
    return sharedClient ??= Deno.createHttpClient({ poolMaxIdlePerHost: 16, poolIdleTimeout: 30_000 });
  }
  let client = directClients.get(url.host);
  if (client === undefined) {
    const oldest = directClients.keys().next();
    if (directClients.size >= MAX_DIRECT_CLIENTS && !oldest.done) directClients.delete(oldest.value);
    client = Deno.createHttpClient({
      poolMaxIdlePerHost: 16,
      poolIdleTimeout: 30_000,
      proxy: { transport: "tcp", hostname: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || "80") },
    });
    directClients.set(url.host, client);
  }
  return client;
}

/**
 * Sends a request and waits for the response's head.
 *
 * @throws the signal's reason when it aborted; NyxError unavailable (retryable) when the connection failed;
 *   failed_precondition when the server's certificate or protocol is not acceptable
 */
export async function exchange(request: HttpRequest): Promise<HttpResponse> {
  const { method, url, body, signal, insecureTls = false } = request;
  signal.throwIfAborted();
  const headers: Record<string, string> = {
    "accept-encoding": "identity",
    "user-agent": USER_AGENT,
    ...request.headers,
  };
  try {
    if ((insecureTls && url.protocol === "https:") || FETCH_BLOCKED_PORTS.includes(Number(url.port))) {
      const { exchangeOverNode } = await import("./node_transport.ts");
      return await exchangeOverNode({ ...request, headers });
    }
    const response = await fetch(url, {
      method,
      headers,
      signal,
      redirect: "manual",
      client: clientFor(url),
      ...(body === undefined ? {} : { body }),
    });
    return { status: response.status, headers: response.headers, body: response.body };
  } catch (e) {
    if (signal.aborted) throw signal.reason;
    throw connectionError(e, url);
  }
}

/** What the runtime said, without the URLs that it repeats. */
function innermostMessage(e: unknown): string {
  let last = e;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  const text = last instanceof Error ? last.message : String(last);
  return text.replace(/^error sending request.*?\): /, "").replace(/https?:\/\/[^\s)]+/g, "…");
}

/** The error for a connection that could not be made or broke. */
export function connectionError(e: unknown, url: URL): NyxError {
  if (e instanceof NyxError) return e;
  const why = innermostMessage(e);
  const where = displayUrl(url);
  if (/invalid peer certificate|certificate/i.test(why)) {
    return new NyxError(
      "failed_precondition",
      `Could not trust ${url.host}: ${why}. Add its authority to the system's certificates, or allow it as insecure`,
      { context: { host: url.host } },
    );
  }
  if (/InvalidContentType|corrupt message/.test(why)) {
    return new NyxError(
      "failed_precondition",
      `Could not speak https with ${url.host}: it answers in plain http. Allow it as insecure to use plain http`,
      { context: { host: url.host } },
    );
  }
  if (/port \d+ (?:is|are) blocked/.test(why)) {
    return new NyxError("failed_precondition", `Could not reach ${where}: ${why}; use another port`, {
      context: { host: url.host },
    });
  }
  return new NyxError("unavailable", `Could not reach ${where}: ${why}`, {
    retryable: true,
    context: { host: url.host },
  });
}

/** Throws away a body, so that its connection is free again. */
export async function discard(response: HttpResponse): Promise<void> {
  await response.body?.cancel().catch(() => {});
}
