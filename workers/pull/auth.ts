/**
 * Authorization towards registries: Basic, and Bearer tokens of the distribution token specification (and its OAuth2 form).
 *
 * A credential belongs to one registry host. It goes to that host itself (Basic) or to the realm which that host named in a
 * challenge (Bearer), and the realm may not be less protected than the registry. Answers of hosts that a redirect led to are
 * never taken as challenges. Tokens are kept by (host, scope, credential) until shortly before they expire.
 */

import { createHash } from "node:crypto";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { RegistryCredentials } from "../../daemon/spec/image.ts";
import { readBounded } from "./body.ts";
import { parseChallenges } from "./challenge.ts";
import { remoteMessage } from "./remote_error.ts";
import { isRetryableStatus, retryAfterContext } from "./retry.ts";
import { Stall } from "./stall.ts";
import { discard, displayUrl, exchange, type HttpResponse, isLoopbackHost } from "./transport.ts";

/** Who asks, where, and for what. */
export interface AuthContext {
  /** Origin of the registry, such as `https://ghcr.io`. */
  origin: URL;
  /** Registry as the user knows it, for messages and hints. */
  domain: string;
  /** Such as `repository:org/app:pull`; empty for a login. */
  scope: string;
  credentials: RegistryCredentials | undefined;
  insecureTls: boolean;
  signal: AbortSignal;
  stallMs: number;
}

/** How a host wants to be spoken to. */
type Scheme = { kind: "basic" } | { kind: "bearer"; realm: URL; service: string };

interface Token {
  value: string;
  /** Milliseconds since the epoch. */
  expiresAt: number;
  refreshToken?: string;
}

const MAX_TOKEN_DOCUMENT = 256 * 1024;
const MAX_TOKENS = 1024;
/** Lifetime when the server names none, by the specification. */
const DEFAULT_LIFETIME_S = 60;
/** A token is renewed when this little is left, in milliseconds. */
const RENEW_MARGIN_MS = 5_000;
const CLIENT_ID = "nyx";

/** Texts that must not appear in any message. */
export function secretsOf(credentials: RegistryCredentials | undefined): string[] {
  if (credentials === undefined) return [];
  const { username = "", password, identityToken } = credentials;
  const all = [password, identityToken];
  if (password !== undefined) all.push(basicValue(username, password));
  return all.filter((s): s is string => s !== undefined && s !== "");
}

function basicValue(username: string, password: string): string {
  let binary = "";
  for (const byte of new TextEncoder().encode(`${username}:${password}`)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function hasPassword(c: RegistryCredentials | undefined): c is RegistryCredentials & { password: string } {
  return c?.password !== undefined && c.password !== "";
}

function hasIdentityToken(c: RegistryCredentials | undefined): c is RegistryCredentials & { identityToken: string } {
  return c?.identityToken !== undefined && c.identityToken !== "";
}

/** Keeps challenges and tokens of one worker. */
export class Authenticator {
  readonly #schemes = new Map<string, Scheme>();
  readonly #tokens = new Map<string, Promise<Token>>();

  /**
   * Value of the Authorization header, as far as the host's wishes are known.
   *
   * @returns undefined before the first challenge, and for a host that wants none
   * @throws NyxError unauthenticated when the token server refuses; unavailable when it cannot be reached
   */
  async authorization(context: AuthContext): Promise<string | undefined> {
    const scheme = this.#schemes.get(context.origin.origin);
    if (scheme === undefined) return undefined;
    if (scheme.kind === "basic") {
      const { credentials } = context;
      if (!hasPassword(credentials)) return undefined;
      return `Basic ${basicValue(credentials.username ?? "", credentials.password)}`;
    }
    return `Bearer ${(await this.#token(scheme, context)).value}`;
  }

  /**
   * Takes the challenge of a 401 from the registry's own origin, so that {@linkcode authorization} can answer it.
   *
   * @param response the 401; its body is thrown away
   * @param sent the Authorization that was refused, if any; a token in it is forgotten
   * @throws NyxError unauthenticated when nothing nyx has can answer it
   */
  async challenged(context: AuthContext, response: HttpResponse, sent: string | undefined): Promise<void> {
    const detail = await remoteMessage(response, secretsOf(context.credentials), context.stallMs, context.signal);
    const scheme = this.#choose(context, response.headers.get("www-authenticate"));
    this.#schemes.set(context.origin.origin, scheme);
    if (sent !== undefined) this.#tokens.delete(this.#key(scheme, context));
    if (scheme.kind === "basic" && (sent !== undefined || !hasPassword(context.credentials))) {
      throw refused(context, detail);
    }
  }

  /** Refresh token that came with the token of a login, if the server gave one. */
  async refreshToken(context: AuthContext): Promise<string | undefined> {
    const scheme = this.#schemes.get(context.origin.origin);
    if (scheme?.kind !== "bearer") return undefined;
    return (await this.#tokens.get(this.#key(scheme, context)))?.refreshToken;
  }

  /** Forgets the tokens that a credential has got for an origin and scope, so that the next request asks anew. */
  forget(context: AuthContext): void {
    const scheme = this.#schemes.get(context.origin.origin);
    if (scheme !== undefined) this.#tokens.delete(this.#key(scheme, context));
  }

  #choose(context: AuthContext, header: string | null): Scheme {
    const challenges = parseChallenges(header);
    const bearer = challenges.find((c) => c.scheme === "bearer" && c.params["realm"] !== undefined);
    if (bearer !== undefined) {
      const realm = checkRealm(context, bearer.params["realm"] ?? "");
      return { kind: "bearer", realm, service: bearer.params["service"] ?? "" };
    }
    if (challenges.some((c) => c.scheme === "basic")) return { kind: "basic" };
    throw new NyxError(
      "unauthenticated",
      `Could not log in to ${context.domain}: it asks for ${
        challenges.map((c) => c.scheme.slice(0, 40)).join(", ") || "a login but does not say how"
      }; nyx knows Basic and Bearer`,
      { context: { host: context.domain } },
    );
  }

  #key(scheme: Scheme, { origin, scope, credentials }: AuthContext): string {
    const who = createHash("sha256").update(
      JSON.stringify([credentials?.username, credentials?.password, credentials?.identityToken]),
    ).digest("hex");
    const where = scheme.kind === "bearer" ? [scheme.realm.href, scheme.service] : [];
    return JSON.stringify([origin.origin, ...where, scope, who]);
  }

  async #token(scheme: Scheme & { kind: "bearer" }, context: AuthContext): Promise<Token> {
    const key = this.#key(scheme, context);
    const known = this.#tokens.get(key);
    if (known !== undefined) {
      const token = await known.catch((e) => {
        if (isAnothersCancel(e)) return undefined;
        throw e;
      });
      if (token !== undefined && token.expiresAt - RENEW_MARGIN_MS > Date.now()) return token;
      if (this.#tokens.get(key) === known) this.#tokens.delete(key);
      context.signal.throwIfAborted();
      return await this.#token(scheme, context);
    }
    const oldest = this.#tokens.keys().next();
    if (this.#tokens.size >= MAX_TOKENS && !oldest.done) this.#tokens.delete(oldest.value);
    const fetching = fetchToken(scheme, context);
    this.#tokens.set(key, fetching);
    try {
      return await fetching;
    } catch (e) {
      if (this.#tokens.get(key) === fetching) this.#tokens.delete(key);
      throw e;
    }
  }
}

/** Whether a shared request ended only because the one that began it was given up. */
function isAnothersCancel(e: unknown): boolean {
  return !(e instanceof NyxError) || e.code === "canceled" || e.code === "deadline_exceeded";
}

/** The error for a login that was refused. */
function refused(context: AuthContext, detail: string): NyxError {
  const { domain, credentials } = context;
  const given = hasPassword(credentials) || hasIdentityToken(credentials);
  const why = detail === "" ? "" : ` (${detail})`;
  return new NyxError(
    "unauthenticated",
    given
      ? `Could not log in to ${domain}: it refused the user name or password${why}. Check them with: nyx login ${domain}`
      : `Could not get access to ${domain}: it wants a login${why}. Log in with: nyx login ${domain}`,
    { context: { host: domain } },
  );
}

/** A realm must be http(s), and not weaker than the registry that named it. */
function checkRealm(context: AuthContext, text: string): URL {
  const { origin, domain } = context;
  const fail = (why: string) =>
    new NyxError("unauthenticated", `Could not log in to ${domain}: its token server ${why}`, {
      context: { host: domain },
    });
  if (!URL.canParse(text)) throw fail("has no valid URL");
  const realm = new URL(text);
  if (realm.username !== "" || realm.password !== "") throw fail("has a URL with a user name in it");
  if (realm.protocol === "https:") return realm;
  if (realm.protocol !== "http:") throw fail(`has a URL that is not http or https: ${displayUrl(realm)}`);
  const sameHost = realm.hostname === origin.hostname;
  const bothLoopback = isLoopbackHost(realm.host) && isLoopbackHost(origin.host);
  if (origin.protocol === "http:" && (sameHost || bothLoopback)) return realm;
  throw fail(`${displayUrl(realm)} is not protected by https; nyx sends no credentials there`);
}

/** Asks the realm for a token: OAuth2 POST with an identity token, else GET with Basic or anonymously. */
async function fetchToken(scheme: Scheme & { kind: "bearer" }, context: AuthContext): Promise<Token> {
  const { credentials, scope, signal, stallMs } = context;
  using stall = new Stall(signal, stallMs, scheme.realm.host);
  const url = new URL(scheme.realm);
  const headers: Record<string, string> = { accept: "application/json" };
  let body: URLSearchParams | undefined;
  if (hasIdentityToken(credentials)) {
    body = new URLSearchParams({
      grant_type: "refresh_token",
      service: scheme.service,
      client_id: CLIENT_ID,
      refresh_token: credentials.identityToken,
      ...(scope === "" ? {} : { scope }),
    });
  } else {
    if (scheme.service !== "") url.searchParams.set("service", scheme.service);
    if (scope !== "") url.searchParams.append("scope", scope);
    if (hasPassword(credentials)) {
      url.searchParams.set("account", credentials.username ?? "");
      url.searchParams.set("client_id", CLIENT_ID);
      if (scope === "") url.searchParams.set("offline_token", "true");
      headers["authorization"] = `Basic ${basicValue(credentials.username ?? "", credentials.password)}`;
    }
  }
  const response = await stall.wait(exchange({
    method: body === undefined ? "GET" : "POST",
    url,
    headers,
    signal: stall.signal,
    insecureTls: context.insecureTls && url.hostname === context.origin.hostname,
    ...(body === undefined ? {} : { body }),
  }));
  if (response.status !== 200) throw await tokenFailure(context, url, response);
  const bytes = await readBounded(response, MAX_TOKEN_DOCUMENT, { stall, url, what: "the token" });
  return parseToken(bytes, context);
}

async function tokenFailure(context: AuthContext, url: URL, response: HttpResponse): Promise<NyxError> {
  const { status } = response;
  const detail = await remoteMessage(response, secretsOf(context.credentials), context.stallMs, context.signal);
  await discard(response);
  if (status === 400 || status === 401 || status === 403) return refused(context, detail);
  return new NyxError(
    "unavailable",
    `Could not get a token for ${context.domain}: ${displayUrl(url)} answered ${status}${detail && `: ${detail}`}`,
    { retryable: isRetryableStatus(status), context: { host: url.host, status, ...retryAfterContext(response) } },
  );
}

function parseToken(bytes: Uint8Array, context: AuthContext): Token {
  const bad = (what: string) =>
    new NyxError("unauthenticated", `Could not log in to ${context.domain}: its token server ${what}`, {
      context: { host: context.domain },
    });
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw bad("answered with something that is not JSON");
  }
  const fields = (typeof document === "object" && document !== null ? document : {}) as Record<string, unknown>;
  const value = [fields["token"], fields["access_token"]].find((t) => typeof t === "string" && t !== "");
  if (typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value)) throw bad("gave no usable token");
  const lifetime = fields["expires_in"];
  const seconds = typeof lifetime === "number" && lifetime > 0 ? Math.min(lifetime, 86_400) : DEFAULT_LIFETIME_S;
  const refreshToken = fields["refresh_token"];
  return {
    value,
    expiresAt: Date.now() + Math.max(seconds, DEFAULT_LIFETIME_S) * 1000,
    ...(typeof refreshToken === "string" && refreshToken !== "" ? { refreshToken } : {}),
  };
}
