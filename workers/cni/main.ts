/**
 * Entry of the CNI worker (D08, --net-driver cni): the operations of the network stage, with containers attached and detached by
 * plugins. Bridges, the table that keeps networks apart, namespaces and port reservations are those of the native worker.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { linuxNamespace } from "../../ffi/linux/namespace.ts";
import { linuxSocket } from "../../ffi/linux/socket.ts";
import { openNft } from "../../ffi/nftables/libnftables.ts";
import { close, type Environment, shutdown } from "../network/lifecycle.ts";
import { audit } from "../network/audit.ts";
import { probe } from "../network/probe.ts";
import { release, restore } from "../network/reservation.ts";
import { inTurn, openConnections, Serial, syncTable } from "../network/session.ts";
import type { NetworkStage } from "../protocol.ts";
import { emitter, serve } from "../serve.ts";
import { change } from "./change.ts";
import { setup, takeDown } from "./container.ts";
import { facts } from "./facts.ts";
import { Chores } from "./chores.ts";
import { ensureNetwork, findings, forgetNetwork, open, removeNetwork } from "./lifecycle.ts";
import { checkRange, plan, reserve } from "./reservation.ts";
import { RuleWatch } from "./rules.ts";
import { type CniSession, discovered } from "./session.ts";
import { ConfigWatch } from "./watch.ts";

const { log, event } = emitter<NetworkStage>();
const env: Environment = {
  kernel: { ns: linuxNamespace(), socket: linuxSocket() },
  openNft,
  log,
  onRepair: (what) => {
    event({ kind: "repaired", what });
    chores?.mend();
  },
};
const serial = new Serial();
let session: CniSession | undefined;
let beside: DisposableStack | undefined;
let chores: Chores | undefined;

function ready(): CniSession {
  if (session !== undefined) return session;
  throw new NyxError("unavailable", "The network worker got no init request yet", { retryable: true });
}

function ofContainer<T>(id: string, work: (s: CniSession) => T | Promise<T>): Promise<T> {
  return inTurn(serial, id, () => work(ready()));
}

function endChores(): void {
  beside?.[Symbol.dispose]();
  beside = undefined;
  chores = undefined;
}

async function end(): Promise<void> {
  endChores();
  if (session !== undefined) await close(session.net);
  session = undefined;
}

function unable(what: string): NyxError {
  return new NyxError(
    "unimplemented",
    `Could not ${what}: CNI's portmap is told of ports when a container is attached, and not later; use --net-driver native`,
  );
}

serve<NetworkStage>("network", {
  init: async (request) => {
    await end();
    const { session: opened, ...result } = await open(env, request);
    session = opened;
    beside = new DisposableStack();
    beside.use(
      new ConfigWatch(
        opened.confDir,
        () => event({ kind: "networks", networks: discovered(opened) }),
        (e) => log("warn", "Could not read the network configurations", { dir: opened.confDir, error: String(e) }),
      ),
    ).start();
    chores = beside.use(new Chores(opened, (id, work) => ofContainer(id, work)));
    chores.start();
    const { kernel: { socket }, buffer } = opened.net;
    beside.use(new RuleWatch(socket, buffer, () => chores?.look())).start();
    return { ...result, warnings: [...result.warnings, ...opened.net.advice.now().map((f) => f.text)] };
  },
  ensureNetwork: async ({ network }) => {
    const s = ready();
    const known = s.managed.has(network.name);
    await ensureNetwork(s, network);
    try {
      syncTable(s.net);
    } catch (e) {
      if (!known) forgetNetwork(s, network.name);
      throw e;
    }
  },
  removeNetwork: ({ name }) => removeNetwork(ready(), name),
  reserve: (request) =>
    ofContainer(request.id, async (s) => {
      checkRange(request.ports);
      const previous = s.net.leases.get(request.id);
      const { ports } = reserve(s, request, plan(s, request));
      try {
        await s.net.leases.commit();
      } catch (e) {
        restore(s.net, request.id, previous);
        throw e;
      }
      return { ports };
    }),
  release: ({ id }) =>
    ofContainer(id, async (s) => {
      if (s.net.active.has(id) || s.cache.of(id).length > 0) await takeDown(s, id);
      release(s.net, id);
      await s.net.leases.commit();
    }),
  setup: (request) => ofContainer(request.id, (s) => setup(s, request)),
  change: (request) => ofContainer(request.id, (s) => change(s, request)),
  movePorts: () => {
    throw unable("move published ports of running containers");
  },
  openConnections: ({ id }) => openConnections(ready().net, id),
  facts: (request) => facts(ready(), request),
  audit: (request) => audit(ready().net, request),
  teardown: ({ id }) => ofContainer(id, (s) => takeDown(s, id)),
  probe: (request, { signal }) => probe(env.kernel, request, signal),
  shutdown: async ({ keepNetworks }) => {
    const s = ready();
    endChores();
    await shutdown(s.net, keepNetworks);
    session = undefined;
  },
  diagnose: async () => {
    const s = ready();
    return { findings: [...s.net.advice.now().map((f) => f.text), ...await findings(s)] };
  },
});
