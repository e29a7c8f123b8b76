/** A network namespace for the RUN steps of a build, as a container of that network has it. */

import { NyxError } from "../spec/errors.ts";
import type { WorkerHost } from "../../workers/host.ts";
import type { NetworkStage } from "../../workers/protocol.ts";
import type { DnsRegistry } from "../dns/backend.ts";
import type { NetworkSource } from "../supervisor/deps.ts";
import { randomId } from "../supervisor/names.ts";
import type { JobNetwork } from "./deps.ts";

/** What makes it. */
export interface JobNetworkDeps {
  worker: Pick<WorkerHost<NetworkStage>, "call">;
  networks: NetworkSource;
  dns: Pick<DnsRegistry, "nameservers">;
  /** Name of the default network. */
  defaultNetwork: string;
  /** Address of the host on it. */
  gateway: () => string;
}

const NOTHING = () => Promise.resolve();

/**
 * Makes the network.
 *
 * @param name default, none, host, or the name of a network
 * @throws NyxError not_found for a network that is not there
 */
export async function makeJobNetwork(deps: JobNetworkDeps, name: string): Promise<JobNetwork> {
  const gateway = deps.gateway();
  if (name === "host" || name === "none") return { option: name, dns: [], gateway, release: NOTHING };
  if (name.startsWith("container:") || name.startsWith("service:")) {
    throw new NyxError(
      "unimplemented",
      `Could not build in network ${JSON.stringify(name)}: name a network, none or host`,
    );
  }
  const network = name === "default" || name === "bridge" ? deps.defaultNetwork : deps.networks.resolve(name);
  const hold = deps.networks.use([network]);
  const id = randomId();
  const release = async () => {
    try {
      // All is tried: what one cannot take down is no reason to leave the other.
      const results = await Promise.allSettled([deps.worker.call("teardown", { id })]);
      await deps.worker.call("release", { id });
      for (const result of results) if (result.status === "rejected") throw result.reason;
    } finally {
      hold[Symbol.dispose]();
    }
  };
  try {
    await deps.networks.ready([network]);
    const { netnsPath } = await deps.worker.call("setup", {
      id,
      name: `build-${id.slice(0, 12)}`,
      mode: "bridge",
      attachments: [{ network }],
      ports: [],
      sysctls: {},
    });
    const { servers } = await deps.dns.nameservers([network], netnsPath);
    return { option: netnsPath, dns: servers, gateway, release };
  } catch (e) {
    await release().catch(() => {});
    throw e;
  }
}
