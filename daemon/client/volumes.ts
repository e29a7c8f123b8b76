/** Calls about volumes. */

import type { PruneResult, VolumeCreateRequest, VolumeInfo } from "../spec/api.ts";
import type { Abortable } from "./containers.ts";
import type { Transport } from "./transport.ts";

/** Calls about volumes. */
export class VolumeCalls {
  readonly #transport: Transport;

  /**
   * Made by the client.
   *
   * @param transport connections to the daemon
   */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** All volumes. */
  async list(): Promise<VolumeInfo[]> {
    return (await this.#transport.json<{ volumes: VolumeInfo[] }>("GET", "/v1/volumes")).volumes;
  }

  /** Makes a volume; without a name an anonymous one. An existing one of that name is returned as it is. */
  create(request: VolumeCreateRequest = {}): Promise<VolumeInfo> {
    return this.#transport.json("POST", "/v1/volumes", { body: request });
  }

  /** All about one volume. */
  inspect(name: string): Promise<VolumeInfo> {
    return this.#transport.json("GET", `/v1/volumes/${encodeURIComponent(name)}`);
  }

  /** Removes a volume that no container uses. */
  async remove(name: string, options: { force?: boolean } = {}): Promise<void> {
    await this.#transport.json("POST", `/v1/volumes/${encodeURIComponent(name)}/remove`, { body: options });
  }

  /** What is in a volume, as tar. */
  exportTar(name: string, options: Abortable = {}): AsyncIterable<Uint8Array> {
    return this.#transport.bytes("GET", `/v1/volumes/${encodeURIComponent(name)}/archive`, { signal: options.signal });
  }

  /**
   * Unpacks a tar into a volume, which is made where there is none; files of the same name give way.
   *
   * @returns how many members were written
   */
  async importTar(name: string, archive: AsyncIterable<Uint8Array>, options: Abortable = {}): Promise<number> {
    const upload = { type: "application/x-tar", bytes: archive };
    const path = `/v1/volumes/${encodeURIComponent(name)}/archive`;
    return (await this.#transport.upload<{ entries: number }>("PUT", path, upload, options)).entries;
  }

  /** Removes volumes that no container uses: anonymous ones, or with `all` named ones too. */
  prune(options: { all?: boolean } = {}): Promise<PruneResult> {
    return this.#transport.json("POST", "/v1/volumes/prune", { body: options });
  }
}
