/** Where a registry is reached, and over what. */

import { DEFAULT_DOMAIN } from "../../daemon/spec/reference.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { Stall } from "./stall.ts";
import { discard, exchange, isLoopbackHost } from "./transport.ts";

/** Where Docker's registry answers. */
const DOCKER_ENDPOINT = "registry-1.docker.io";

/** How one registry is reached. */
export interface Endpoint {
  origin: URL;
  /** Accept any certificate. */
  insecureTls: boolean;
}

/** Host that serves the API for a reference's domain. */
export function endpointDomain(domain: string): string {
  return domain === DEFAULT_DOMAIN || domain === "index.docker.io" ? DOCKER_ENDPOINT : domain;
}

/**
 * Finds endpoints: https with verification for every host; plain http for loopback hosts; for hosts declared insecure https
 * without verification or, where nothing speaks https, plain http. What was found for an insecure host is remembered.
 */
export class EndpointFinder {
  readonly #insecure = new Map<string, Endpoint>();
  readonly #stallMs: number;

  /** @param stallMs silence allowed while an insecure host is tried */
  constructor(stallMs: number) {
    this.#stallMs = stallMs;
  }

  /**
   * @param domain of the reference
   * @param insecure whether the user allows anything
   * @throws NyxError unavailable when an insecure host speaks neither
   */
  async find(domain: string, insecure: boolean, signal: AbortSignal): Promise<Endpoint> {
    const host = endpointDomain(domain);
    const plain: Endpoint = { origin: new URL(`http://${host}`), insecureTls: false };
    if (!insecure) {
      return isLoopbackHost(host) ? plain : { origin: new URL(`https://${host}`), insecureTls: false };
    }
    const known = this.#insecure.get(host);
    if (known !== undefined) return known;
    const protectedEndpoint: Endpoint = { origin: new URL(`https://${host}`), insecureTls: true };
    const found = await this.#answers(protectedEndpoint, signal) ? protectedEndpoint : plain;
    if (found === plain && !await this.#answers(plain, signal)) {
      throw new NyxError("unavailable", `Could not reach ${host}: it answers neither https nor http`, {
        retryable: true,
        context: { host },
      });
    }
    this.#insecure.set(host, found);
    return found;
  }

  /** Forgets what was found for an insecure host, after it could not be reached. */
  forget(domain: string): void {
    this.#insecure.delete(endpointDomain(domain));
  }

  async #answers(endpoint: Endpoint, signal: AbortSignal): Promise<boolean> {
    using stall = new Stall(signal, Math.min(this.#stallMs, 10_000), endpoint.origin.host);
    try {
      const response = await stall.wait(exchange({
        method: "GET",
        url: new URL("/v2/", endpoint.origin),
        headers: {},
        signal: stall.signal,
        insecureTls: endpoint.insecureTls,
      }));
      await discard(response);
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }
}
