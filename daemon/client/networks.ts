/** Calls about networks. */

import type {
  ExplainPath,
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkInfo,
  NetworkPruneResult,
} from "../spec/api.ts";
import type { Transport } from "./transport.ts";

/** Calls about networks. A network is named by its name, its id or a unique prefix of its id. */
export class NetworkCalls {
  readonly #transport: Transport;

  /**
   * Made by the client.
   *
   * @param transport connections to the daemon
   */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  #post<T>(network: string, action: string, body: object): Promise<T> {
    return this.#transport.json("POST", `/v1/networks/${encodeURIComponent(network)}/${action}`, { body });
  }

  /** All networks, the default one first. */
  async list(): Promise<NetworkInfo[]> {
    return (await this.#transport.json<{ networks: NetworkInfo[] }>("GET", "/v1/networks")).networks;
  }

  /** Makes a network. */
  create(request: NetworkCreateRequest): Promise<NetworkInfo> {
    return this.#transport.json("POST", "/v1/networks/create", { body: request });
  }

  /** All about one network. */
  inspect(network: string): Promise<NetworkInfo> {
    return this.#transport.json("GET", `/v1/networks/${encodeURIComponent(network)}`);
  }

  /** Removes a network that no container uses. */
  async remove(network: string): Promise<void> {
    await this.#post(network, "remove", {});
  }

  /** Removes networks that no container uses, that have all the labels, `key` or `key=value`, and that are older than `until`, RFC 3339. */
  prune(options: { labels?: string[]; until?: string } = {}): Promise<NetworkPruneResult> {
    return this.#transport.json("POST", "/v1/networks/prune", { body: options });
  }

  /** Attaches a container, running or not. */
  async connect(network: string, request: NetworkConnectRequest): Promise<void> {
    await this.#post(network, "connect", request);
  }

  /** Detaches a container, running or not. */
  async disconnect(network: string, container: string): Promise<void> {
    await this.#post(network, "disconnect", { container });
  }

  /** What lets packets to a published port (`8080`, `8080/udp`, `127.0.0.1:8080`) or a container through, or stops them. */
  async explain(target: string): Promise<ExplainPath[]> {
    const body = { target };
    return (await this.#transport.json<{ paths: ExplainPath[] }>("POST", "/v1/networks/explain", { body })).paths;
  }
}
