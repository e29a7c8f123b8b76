/** The daemon's own containers, networks, volumes and images as {@linkcode ComposeEngine}. */

import type { ImageStore } from "../../images/store.ts";
import type { ImageService, NetworkService } from "../../control/services.ts";
import { toNyxError } from "../../spec/errors.ts";
import { registrationOf } from "../../dns/registration.ts";
import { formatRestart } from "../../spec/parse/restart.ts";
import type { Container } from "../../supervisor/container.ts";
import type { SupervisorDeps } from "../../supervisor/deps.ts";
import type { Supervisor } from "../../supervisor/supervisor.ts";
import type { Volumes } from "../../volumes/volumes.ts";
import type { ComposeEngine, EngineContainer } from "./engine.ts";

/** The parts that take part. */
export interface SupervisedParts {
  supervisor: Supervisor;
  deps: SupervisorDeps;
  images: ImageService & Pick<ImageStore, "assignedAt">;
  volumes: Volumes;
  networks: NetworkService;
}

/** How long a container may take to accept one connection, milliseconds. */
const LISTEN_MS = 1000;
/** Names that the volume store gives to anonymous volumes. */
const ANONYMOUS_NAME = /^[0-9a-f]{64}$/;

function observed({ record }: Container): EngineContainer {
  const { spec, state } = record;
  const anonymous = record.mounts.flatMap((m) =>
    m.type === "volume" && m.name !== undefined && ANONYMOUS_NAME.test(m.name) ? [[m.target, m.name] as const] : []
  );
  // An anonymous volume that was carried over is still one that nobody named.
  const mounts = spec.mounts?.map((m) => {
    if (m.type !== "volume" || m.source === undefined || !ANONYMOUS_NAME.test(m.source)) return m;
    const { source: _, ...rest } = m;
    return rest;
  });
  return {
    id: record.id,
    name: record.name,
    labels: spec.labels ?? {},
    status: state.status,
    ...(state.exitCode === undefined ? {} : { exitCode: state.exitCode }),
    ...(state.health === undefined ? {} : { health: state.health.status }),
    stoppedByUser: state.stoppedByUser,
    imageId: record.image.id,
    config: mounts === undefined ? spec : { ...spec, mounts },
    anonymous: Object.fromEntries(anonymous),
    binds: (spec.mounts ?? []).flatMap((m) => m.type === "bind" ? [m.source] : []),
  };
}

/** Connects the reconciler with the daemon's parts. */
export function supervisedEngine({ supervisor, deps, images, volumes, networks }: SupervisedParts): ComposeEngine {
  const known = (id: string) => supervisor.all.find((c) => c.id === id);
  const grace = (timeoutS: number | undefined) => timeoutS === undefined ? {} : { timeoutS };
  return {
    containers: () => supervisor.all.map(observed),
    container: (id) => {
      const found = known(id);
      return found === undefined ? undefined : observed(found);
    },
    changed: (id, signal) => known(id)?.changed(signal) ?? Promise.resolve(),
    create: (config) => supervisor.create(config),
    start: async (id, byUser = true) => {
      const container = supervisor.find(id);
      if (byUser) await supervisor.start(id);
      else await container.start({}, false);
      await container.hooked;
    },
    stop: async (id, timeoutS) => void await supervisor.stop(id, grace(timeoutS)),
    restart: async (id, timeoutS) => {
      await supervisor.restart(id, grace(timeoutS));
      await supervisor.find(id).hooked;
    },
    pause: async (id) => void await supervisor.pause(id),
    unpause: async (id) => void await supervisor.unpause(id),
    kill: async (id, signal) => void await supervisor.kill(id, signal),
    rename: async (id, name) => void await supervisor.rename(id, name),
    update: async (id, resources, restart) =>
      void await supervisor.update(id, resources, restart === undefined ? undefined : formatRestart(restart)),
    remove: async (id, withVolumes) => {
      const container = known(id);
      const names = container === undefined ? [] : Object.values(observed(container).anonymous);
      await supervisor.remove(id, { force: true, volumes: withVolumes });
      if (withVolumes && names.length > 0) await volumes.removeAnonymous(names);
    },
    release: async (id) => void await deps.stages.network.call("release", { id }),
    movePorts: async (from, to, ports) => void await supervisor.movePorts(from, to, [...ports]),
    restorePorts: async (id, ports) => {
      const container = supervisor.find(id);
      container.record.spec.publish = [...container.record.spec.publish ?? [], ...ports];
      await container.save();
    },
    openConnections: async (id) => (await supervisor.openConnections(id)).tcp,
    listening: async (id, port) => {
      const container = known(id);
      const { ip, netNS, state } = container?.record ?? {};
      if (container === undefined || ip === undefined || !container.live) return false;
      const netnsPath = netNS ?? `/proc/${state?.pid}/ns/net`;
      const target = `${ip.includes(":") ? `[${ip}]` : ip}:${port}`;
      const probe = { netnsPath, type: "tcp", target, timeoutMs: LISTEN_MS } as const;
      return (await deps.stages.network.call("probe", probe)).exitCode === 0;
    },
    setAliases: async (id, attachments) => {
      const container = supervisor.find(id);
      const aliasesOf = (network: string) => attachments.find((a) => a.network === network)?.aliases;
      container.record.spec.networks = container.record.spec.networks?.map(({ aliases: _, ...attachment }) => {
        const aliases = aliasesOf(attachment.network);
        return aliases === undefined ? attachment : { ...attachment, aliases };
      }) ?? [];
      if (container.live) deps.dns.register(registrationOf(container.record, deps.defaults.network));
      await container.save();
    },

    networks: () => networks.list(),
    createNetwork: async (request) => void await networks.create(request),
    removeNetwork: async (name) => void await networks.remove(name),
    connect: (network, request) => networks.connect(network, request),
    disconnect: (network, container) => networks.disconnect(network, container),

    volumes: () => volumes.list(),
    createVolume: async (request) => void await volumes.create(request),
    removeVolume: (name) => volumes.remove(name, true),

    image: async (ref) => {
      try {
        const { id } = await images.inspect(ref);
        const at = images.assignedAt(ref);
        return { ref, id, ...(at === undefined ? {} : { pulledAtMs: Date.parse(at) }) };
      } catch (e) {
        if (toNyxError(e).code === "not_found") return undefined;
        throw e;
      }
    },
    pull: async (ref, options) => void await images.pull(ref, options),
    removeImage: async (ref) => void await images.remove(ref, false),
  };
}
