/** Calls about the daemon itself. */

import type { CheckResult, DiskUsage, DoctorFinding, EventRecord, SystemInfo, VersionInfo } from "../spec/api.ts";
import type { Abortable } from "./containers.ts";
import { filterList } from "./filters.ts";
import type { Transport } from "./transport.ts";

/** Which events to read. Times are RFC 3339, or seconds since 1970. */
export interface EventQuery {
  /** First moment; default now. */
  since?: string;
  /** Last moment; without it the events go on. */
  until?: string;
  /** Such as `{type: ["container"], action: ["die"]}`: values of one key are alternatives, keys add up. */
  filters?: Record<string, string[]>;
}

/** Calls about the daemon itself. */
export class SystemCalls {
  readonly #transport: Transport;

  /**
   * Made by the client.
   *
   * @param transport connections to the daemon
   */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Whether the daemon answers. */
  async ping(): Promise<boolean> {
    return (await this.#transport.json<{ ok: boolean }>("GET", "/v1/ping")).ok;
  }

  /** Versions of the daemon and of what it runs on. */
  version(): Promise<VersionInfo> {
    return this.#transport.json("GET", "/v1/version");
  }

  /** The daemon's state and host. */
  info(): Promise<SystemInfo> {
    return this.#transport.json("GET", "/v1/info");
  }

  /** Disk usage by kind. */
  df(): Promise<DiskUsage> {
    return this.#transport.json("GET", "/v1/system/df");
  }

  /** Compares records with what is there; with `repair` removes what belongs to nobody. */
  check(options: { repair?: boolean } = {}): Promise<CheckResult> {
    return this.#transport.json("POST", "/v1/system/check", { body: options });
  }

  /** What of the host helps or hinders, the worst first. */
  async doctor(): Promise<DoctorFinding[]> {
    return (await this.#transport.json<{ findings: DoctorFinding[] }>("GET", "/v1/system/doctor")).findings;
  }

  /** Metrics in Prometheus's text format. */
  async metrics(): Promise<string> {
    let text = "";
    const decoder = new TextDecoder();
    for await (const bytes of this.#transport.bytes("GET", "/metrics")) text += decoder.decode(bytes, { stream: true });
    return text;
  }

  /** Events as they happen, until the loop is left. */
  events(query: EventQuery = {}, options: Abortable = {}): AsyncIterable<EventRecord> {
    const { since, until, filters } = query;
    return this.#transport.lines("GET", "/v1/events", {
      query: { since, until, filter: filterList(filters) },
      signal: options.signal,
    });
  }

  /** Stops all containers, then the daemon. */
  async shutdown(options: { timeoutS?: number } = {}): Promise<void> {
    await this.#transport.json("POST", "/v1/system/shutdown", { body: options });
  }

  /** The OpenAPI 3.1 document of the API. */
  openapi(): Promise<Record<string, unknown>> {
    return this.#transport.json("GET", "/v1/openapi.json");
  }
}
