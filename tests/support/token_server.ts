/** A token server as the distribution token specification describes it; its tokens are accepted by docker-registry. */

import { strict as assert } from "node:assert";
import type { TokenAuth } from "./registry.ts";

/** One request for a token. */
export interface TokenRequest {
  method: string;
  scopes: string[];
  service: string;
  /** User that was authenticated; undefined for anonymous. */
  user: string | undefined;
  /** Authorization header as it came. */
  authorization: string | undefined;
  status: number;
}

/** Options of {@linkcode startTokenServer}. */
export interface TokenServerOptions {
  /** Passwords by user. */
  users?: Record<string, string>;
  /** Whether anybody may pull; default false. */
  anonymousPull?: boolean;
  /** Lifetime of tokens in seconds; default 300. */
  expiresIn?: number;
}

/** A token server under way. */
export interface TokenServer extends AsyncDisposable {
  /** For `startRegistry({ auth: { token } })`. */
  readonly auth: TokenAuth;
  readonly requests: TokenRequest[];
  /** Refresh tokens it has given out, by user; add your own. */
  readonly refreshTokens: Map<string, string>;
  /** Answers the next requests instead, while it returns a response. */
  intercept: (request: Request) => Response | undefined;
  /** Ends it. Idempotent. */
  stop(): Promise<void>;
}

const ISSUER = "nyx test issuer";
const SERVICE = "nyx test registry";

function base64url(data: Uint8Array | string): string {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function pemBody(pem: string): string {
  return pem.replace(/-----[^-]+-----/g, "").replace(/\s+/g, "");
}

/** Makes a signing key with a self-signed certificate. */
async function makeKey(dir: string): Promise<{ key: CryptoKey; certificate: string; certificatePath: string }> {
  const certificatePath = `${dir}/certificate.pem`;
  const keyPath = `${dir}/key.pem`;
  const { success, stderr } = await new Deno.Command("openssl", {
    args: [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
      ...["-subj", "/CN=nyx tests", "-keyout", keyPath, "-out", certificatePath],
    ],
  }).output();
  assert.ok(success, `openssl could not make a key: ${new TextDecoder().decode(stderr)}`);
  const pkcs8 = Uint8Array.from(atob(pemBody(await Deno.readTextFile(keyPath))), (c) => c.charCodeAt(0));
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
  return { key, certificate: pemBody(await Deno.readTextFile(certificatePath)), certificatePath };
}

/** Signs a token for scopes such as `repository:a/b:pull`. */
async function sign(
  signer: { key: CryptoKey; certificate: string },
  claims: { user: string; scopes: string[]; lifetime: number; mayPush: boolean },
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const access = claims.scopes.map((scope) => {
    const [type = "", ...rest] = scope.split(":");
    const actions = (rest.pop() ?? "").split(",").filter((a) => a === "pull" || claims.mayPush);
    return { type, name: rest.join(":"), actions };
  });
  const head = base64url(JSON.stringify({ typ: "JWT", alg: "ES256", x5c: [signer.certificate] }));
  const body = base64url(JSON.stringify({
    iss: ISSUER,
    sub: claims.user,
    aud: SERVICE,
    exp: now + claims.lifetime,
    nbf: now - 10,
    iat: now,
    jti: crypto.randomUUID(),
    access,
  }));
  const data = new TextEncoder().encode(`${head}.${body}`);
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, signer.key, data);
  return `${head}.${body}.${base64url(new Uint8Array(signature))}`;
}

/** User of a Basic header; undefined for none, null for a wrong one. */
function basicUser(header: string | null, users: Record<string, string>): string | undefined | null {
  if (header === null) return undefined;
  const bytes = Uint8Array.from(atob(header.replace(/^Basic /i, "")), (c) => c.charCodeAt(0));
  const text = new TextDecoder().decode(bytes);
  const colon = text.indexOf(":");
  const user = text.slice(0, colon);
  return Object.hasOwn(users, user) && users[user] === text.slice(colon + 1) ? user : null;
}

/**
 * Starts a token server on a free loopback port.
 *
 * GET with Basic or nothing gives tokens by scope; with `offline_token=true` also a refresh token; POST takes a refresh token.
 *
 * @param options users and lifetimes
 */
export async function startTokenServer(options: TokenServerOptions = {}): Promise<TokenServer> {
  const { users = {}, anonymousPull = false, expiresIn = 300 } = options;
  const dir = await Deno.makeTempDir({ prefix: "nyx-token-" });
  const signer = await makeKey(dir);
  const requests: TokenRequest[] = [];
  const refreshTokens = new Map<string, string>();
  const abort = new AbortController();

  const handle = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const form = request.method === "POST" ? new URLSearchParams(await request.text()) : url.searchParams;
    const scopes = form.getAll("scope").flatMap((s) => s.split(" "));
    const authorization = request.headers.get("authorization");
    let user = basicUser(authorization, users);
    if (request.method === "POST") {
      user = [...refreshTokens].find(([, token]) => token === form.get("refresh_token"))?.[0] ?? null;
    }
    const allowed = user !== null && (user !== undefined || anonymousPull);
    requests.push({
      method: request.method,
      scopes,
      service: form.get("service") ?? "",
      user: user ?? undefined,
      authorization: authorization ?? undefined,
      status: allowed ? 200 : 401,
    });
    if (!allowed) return Response.json({ details: "incorrect username or password" }, { status: 401 });
    const name = user ?? "";
    const token = await sign(signer, { user: name, scopes, lifetime: expiresIn, mayPush: name !== "" });
    const offline = form.get("offline_token") === "true";
    if (offline) refreshTokens.set(name, `refresh-${crypto.randomUUID()}`);
    return Response.json({
      ...(request.method === "POST" ? { access_token: token } : { token }),
      expires_in: expiresIn,
      ...(offline ? { refresh_token: refreshTokens.get(name) } : {}),
    });
  };

  let intercept: TokenServer["intercept"] = () => undefined;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, signal: abort.signal, onListen: () => {} }, (request) => {
    return intercept(request) ?? handle(request);
  });
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> =>
    stopped ??= (async () => {
      abort.abort();
      await server.finished;
      await Deno.remove(dir, { recursive: true });
    })();
  return {
    auth: {
      realm: `http://127.0.0.1:${server.addr.port}/token`,
      service: SERVICE,
      issuer: ISSUER,
      rootCertBundle: signer.certificatePath,
    },
    requests,
    refreshTokens,
    get intercept() {
      return intercept;
    },
    set intercept(value) {
      intercept = value;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
