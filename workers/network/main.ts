/** Entry of the network worker (D08, native driver). Each operation on a container runs behind the earlier ones on it. */

import { NyxError } from "../../daemon/spec/errors.ts";
import { linuxNamespace } from "../../ffi/linux/namespace.ts";
import { linuxPriority } from "../../ffi/linux/priority.ts";
import { linuxSocket } from "../../ffi/linux/socket.ts";
import { openNft } from "../../ffi/nftables/libnftables.ts";
import type { NetworkStage } from "../protocol.ts";
import { emitter, serve } from "../serve.ts";
import { takeShortTurns } from "../../ffi/short_turns.ts";
import { change } from "./change.ts";
import { setup, takeDown } from "./container.ts";
import { facts } from "./facts.ts";
import { close, dropNetwork, ensureNetwork, type Environment, open, removeNetwork, shutdown } from "./lifecycle.ts";
import { audit } from "./audit.ts";
import { probe } from "./probe.ts";
import { movePorts } from "./publish.ts";
import { release, reserve, restore } from "./reservation.ts";
import { checkId, inTurn, openConnections, Serial, type Session, syncTable } from "./session.ts";

const { log, event } = emitter<NetworkStage>();
const env: Environment = {
  kernel: { ns: linuxNamespace(), socket: linuxSocket() },
  openNft,
  log,
  onRepair: (what) => event({ kind: "repaired", what }),
};
takeShortTurns(
  linuxPriority(),
  0,
  (error) => log("debug", "No short turns for the network", { error: String(error) }),
);
const serial = new Serial();
let session: Session | undefined;

function ready(): Session {
  if (session === undefined) {
    throw new NyxError("unavailable", "The network worker got no init request yet", { retryable: true });
  }
  return session;
}

function ofContainer<T>(id: string, work: (s: Session) => T | Promise<T>): Promise<T> {
  return inTurn(serial, id, () => work(ready()));
}

serve<NetworkStage>("network", {
  init: async (request) => {
    if (session !== undefined) await close(session);
    session = undefined;
    const opened = await open(env, request);
    session = opened.session;
    const { removed, warnings, failed, attached } = opened;
    return { removed, warnings: [...warnings, ...session.advice.now().map((f) => f.text)], failed, attached };
  },
  ensureNetwork: ({ network }) => {
    const s = ready();
    const known = s.networks.has(network.name);
    ensureNetwork(s, network);
    try {
      syncTable(s);
    } catch (e) {
      if (!known) dropNetwork(s, network.name);
      throw e;
    }
  },
  removeNetwork: ({ name }) => removeNetwork(ready(), name),
  reserve: (request) =>
    ofContainer(request.id, async (s) => {
      const previous = s.leases.get(request.id);
      const { ports } = reserve(s, request);
      try {
        await s.leases.commit();
      } catch (e) {
        restore(s, request.id, previous);
        throw e;
      }
      return { ports };
    }),
  release: ({ id }) =>
    ofContainer(id, async (s) => {
      if (s.active.has(id)) takeDown(s, id).finish(`take down the network of container ${id.slice(0, 12)}`);
      release(s, id);
      await s.leases.commit();
    }),
  setup: (request) => ofContainer(request.id, (s) => setup(s, request)),
  change: (request) => ofContainer(request.id, (s) => change(s, request)),
  movePorts: (request) => {
    checkId(request.to);
    // In the order of ids, so that two moves never wait for each other.
    const [first, second] = [request.from, request.to].sort() as [string, string];
    if (first === second) throw new NyxError("invalid_argument", "Could not move ports from a container to itself");
    return ofContainer(first, () => ofContainer(second, (s) => movePorts(s, request)));
  },
  openConnections: ({ id }) => openConnections(ready(), id),
  facts: (request) => facts(ready(), request),
  teardown: ({ id }) =>
    ofContainer(id, (s) => takeDown(s, id).finish(`take down the network of container ${id.slice(0, 12)}`)),
  probe: (request, { signal }) => probe(env.kernel, request, signal),
  shutdown: async ({ keepNetworks }) => {
    const s = ready();
    await shutdown(s, keepNetworks);
    session = undefined;
  },
  diagnose: () => ({ findings: ready().advice.now().map((f) => f.text) }),
  audit: (request) => audit(ready(), request),
});
