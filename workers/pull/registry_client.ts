/**
 * Client of the OCI distribution API (distribution-spec v1.1) for one worker: authorization, redirects, repetition.
 *
 * A redirect is followed by hand: to another origin it carries no Authorization, and it never goes from https to http.
 */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { RegistryCredentials } from "../../daemon/spec/image.ts";
import { parseReference, type Reference, tryParseReference } from "../../daemon/spec/reference.ts";
import type { RegistryAccess } from "../protocol.ts";
import { type AuthContext, Authenticator, secretsOf } from "./auth.ts";
import { EndpointFinder } from "./endpoint.ts";
import { remoteMessage } from "./remote_error.ts";
import { isRetryableStatus, retryAfterContext, type RetryPolicy, withRetry } from "./retry.ts";
import { Stall } from "./stall.ts";
import { discard, displayUrl, exchange, type HttpResponse } from "./transport.ts";

/** What a request is for: one repository at one registry, with one credential. */
export interface Repository {
  ref: Reference;
  credentials: RegistryCredentials | undefined;
  insecure: boolean;
}

/** One request below a repository. */
export interface RepositoryRequest {
  method: "GET" | "HEAD";
  /** Below `/v2/<name>/`: `manifests/latest`, `blobs/sha256:…`. */
  path: string;
  headers?: Record<string, string>;
  /** Statuses that the caller deals with; all others become errors. */
  accept: readonly number[];
  /** What is fetched, for errors: `manifest of busybox:latest`. */
  what: string;
}

/** A response under the caller's stall guard; dispose it when the body is done with. */
export interface GuardedResponse extends HttpResponse, Disposable {
  stall: Stall;
  /** Where it came from in the end. */
  url: URL;
}

/** Bounds of a client. */
export interface ClientOptions {
  retry: RetryPolicy;
  stallMs: number;
}

const MAX_REDIRECTS = 5;
const REDIRECTS = [301, 302, 303, 307, 308];

/** Takes the access part of a request apart. */
export function repositoryOf(access: RegistryAccess): Repository {
  return { ref: parseReference(access.ref), credentials: access.credentials, insecure: access.insecure === true };
}

/** Speaks to registries; one for the worker, so that tokens and connections are shared. */
export class RegistryClient {
  readonly options: ClientOptions;
  readonly #auth = new Authenticator();
  readonly #endpoints: EndpointFinder;

  /** @param options repetition and silence allowed */
  constructor(options: ClientOptions) {
    this.options = options;
    this.#endpoints = new EndpointFinder(options.stallMs);
  }

  /**
   * Sends a request, repeated while that may help.
   *
   * @returns the response, which has one of the accepted statuses
   * @throws NyxError not_found, unauthenticated, permission_denied, unavailable …; the signal's reason
   */
  request(repository: Repository, request: RepositoryRequest, signal: AbortSignal): Promise<GuardedResponse> {
    return withRetry(this.options.retry, signal, () => this.requestOnce(repository, request, signal));
  }

  /** {@linkcode request} without repetition; `retryable` in the error says whether it would make sense. */
  async requestOnce(repository: Repository, request: RepositoryRequest, signal: AbortSignal): Promise<GuardedResponse> {
    const { ref, credentials, insecure } = repository;
    const endpoint = await this.#endpoints.find(ref.domain, insecure, signal);
    const context: AuthContext = {
      origin: endpoint.origin,
      domain: ref.domain,
      scope: `repository:${ref.path}:pull`,
      credentials,
      insecureTls: endpoint.insecureTls,
      signal,
      stallMs: this.options.stallMs,
    };
    const url = new URL(`/v2/${ref.path}/${request.path}`, endpoint.origin);
    let response: GuardedResponse;
    try {
      response = await this.#authorized(context, url, request);
    } catch (e) {
      if (insecure) this.#endpoints.forget(ref.domain);
      throw e;
    }
    if (request.accept.includes(response.status)) return response;
    try {
      throw await this.#failure(context, request, response);
    } finally {
      response[Symbol.dispose]();
    }
  }

  /**
   * Tries a credential on `/v2/`.
   *
   * @returns a refresh token when the token server gave one
   * @throws NyxError unauthenticated when it is refused
   */
  async login(
    domain: string,
    credentials: RegistryCredentials,
    options: { insecure: boolean; signal: AbortSignal },
  ): Promise<{ identityToken?: string }> {
    const { insecure, signal } = options;
    const endpoint = await this.#endpoints.find(domain, insecure, signal);
    const context: AuthContext = {
      origin: endpoint.origin,
      domain,
      scope: "",
      credentials,
      insecureTls: endpoint.insecureTls,
      signal,
      stallMs: this.options.stallMs,
    };
    this.#auth.forget(context);
    const request: RepositoryRequest = { method: "GET", path: "", accept: [200], what: `login to ${domain}` };
    using response = await this.#authorized(context, new URL("/v2/", endpoint.origin), request);
    if (response.status !== 200) throw await this.#failure(context, request, response);
    await discard(response);
    const identityToken = await this.#auth.refreshToken(context);
    return identityToken === undefined ? {} : { identityToken };
  }

  /** Sends with authorization, and once more after a challenge. */
  async #authorized(context: AuthContext, url: URL, request: RepositoryRequest): Promise<GuardedResponse> {
    const sent = await this.#auth.authorization(context);
    const first = await this.#follow(context, url, request, sent);
    if (first.status !== 401 || first.url.origin !== context.origin.origin) return first;
    try {
      await this.#auth.challenged(context, first, sent);
    } finally {
      first[Symbol.dispose]();
    }
    return await this.#follow(context, url, request, await this.#auth.authorization(context));
  }

  /** Sends and follows redirects; the Authorization stays with the registry's own origin. */
  async #follow(
    context: AuthContext,
    start: URL,
    request: RepositoryRequest,
    authorization: string | undefined,
  ): Promise<GuardedResponse> {
    let url = start;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const own = url.origin === context.origin.origin;
      const stall = new Stall(context.signal, context.stallMs, url.host);
      let response: HttpResponse;
      try {
        response = await stall.wait(exchange({
          method: request.method,
          url,
          headers: {
            ...request.headers,
            ...(own && authorization !== undefined ? { authorization } : {}),
          },
          signal: stall.signal,
          insecureTls: own && context.insecureTls,
        }));
      } catch (e) {
        stall[Symbol.dispose]();
        throw e;
      }
      const location = response.headers.get("location");
      if (!REDIRECTS.includes(response.status) || location === null) {
        return { ...response, url, stall, [Symbol.dispose]: () => stall[Symbol.dispose]() };
      }
      await discard(response);
      stall[Symbol.dispose]();
      url = redirectTarget(url, location, request.what);
    }
    throw new NyxError(
      "unavailable",
      `Could not get ${request.what}: ${start.host} redirects more than ${MAX_REDIRECTS} times`,
      {
        context: { host: start.host },
      },
    );
  }

  async #failure(context: AuthContext, request: RepositoryRequest, response: GuardedResponse): Promise<NyxError> {
    const { status, url } = response;
    const secrets = secretsOf(context.credentials);
    const bearer = await this.#auth.authorization(context).catch(() => undefined);
    if (bearer !== undefined) secrets.push(bearer.replace(/^\S+ /, ""));
    const said = await remoteMessage(response, secrets, context.stallMs, context.signal);
    const answer = `${displayUrl(url)} answered ${status}${said && ` (${said})`}`;
    const details = { context: { host: url.host, status } };
    const { what } = request;
    switch (status) {
      case 404:
        return new NyxError("not_found", `Could not find ${what}: ${answer}. Check the name and the tag`, details);
      case 401:
        return new NyxError(
          "unauthenticated",
          `Could not get ${what}: ${answer}. It does not exist, or it needs a login: nyx login ${context.domain}`,
          details,
        );
      case 403:
        return new NyxError(
          "permission_denied",
          `Could not get ${what}: ${answer}. The account has no access to it`,
          details,
        );
    }
    return new NyxError("unavailable", `Could not get ${what}: ${answer}`, {
      retryable: isRetryableStatus(status),
      context: { ...details.context, ...retryAfterContext(response) },
    });
  }
}

function redirectTarget(from: URL, location: string, what: string): URL {
  const fail = (why: string) =>
    new NyxError("unavailable", `Could not get ${what}: ${from.host} redirects ${why}`, {
      context: { host: from.host },
    });
  if (!URL.canParse(location, from.href)) throw fail("to something that is no URL");
  const to = new URL(location, from.href);
  if (to.protocol !== "https:" && to.protocol !== "http:") throw fail(`to a URL of scheme ${to.protocol.slice(0, 20)}`);
  if (from.protocol === "https:" && to.protocol === "http:") {
    throw fail(`from https to plain http (${to.host}), which is refused`);
  }
  to.username = "";
  to.password = "";
  return to;
}

/** Host part that a login is for, from what a user may write: `docker.io`, `https://index.docker.io/v1/`, `host:5000`. */
export function loginDomain(registry: string): string {
  const host = registry.replace(/^https?:\/\//i, "").replace(/\/.*$/, "");
  const ref = tryParseReference(`${host}/any/name`);
  if (ref === undefined || ref.path !== "any/name") {
    throw invalid("registry", registry, "give its host, such as ghcr.io or localhost:5000");
  }
  return ref.domain;
}
