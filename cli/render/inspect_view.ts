/** Container details for templates: nyx's own fields, and Docker's names for what scripts ask most. */

import type { ContainerDetails } from "../../mod.ts";

/** Docker's port map: `{"80/tcp": [{HostIp, HostPort}]}`. */
function portMap(details: ContainerDetails): Record<string, { HostIp: string; HostPort: string }[]> {
  const map: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const { hostIp, hostPort, containerPort, count, protocol } of details.network.ports) {
    for (let at = 0; at < count; at++) {
      (map[`${containerPort + at}/${protocol}`] ??= []).push({ HostIp: hostIp, HostPort: String(hostPort + at) });
    }
  }
  return map;
}

/** Docker's set of exposed ports. */
function exposed(ports: readonly string[] = []): Record<string, Record<string, never>> {
  return Object.fromEntries(ports.map((port) => [port.includes("/") ? port : `${port}/tcp`, {}]));
}

/** Details with Docker's sections beside nyx's. Field lookup ignores case and underscores, so `.State.ExitCode` needs no copy. */
export function dockerNames(details: ContainerDetails): Record<string, unknown> {
  const [first] = details.network.endpoints;
  const networks = Object.fromEntries(details.network.endpoints.map((endpoint) => [endpoint.network, {
    IPAddress: endpoint.ip ?? "",
    IPPrefixLen: endpoint.prefix ?? 0,
    Gateway: endpoint.gateway ?? "",
    MacAddress: endpoint.mac,
    GlobalIPv6Address: endpoint.ip6 ?? "",
    GlobalIPv6PrefixLen: endpoint.prefix6 ?? 0,
    IPv6Gateway: endpoint.gateway6 ?? "",
    Aliases: endpoint.aliases,
  }]));
  const { config, image_config: image = {} } = details;
  const named = (variable: string) => variable.split("=", 1)[0];
  const own = new Set((config.env ?? []).map(named));
  return {
    ...details,
    config: {
      ...config,
      Hostname: config.hostname ?? details.short_id,
      User: config.user ?? image.User ?? "",
      WorkingDir: config.workingDir ?? image.WorkingDir ?? "",
      Entrypoint: config.entrypoint ?? image.Entrypoint ?? [],
      Cmd: config.args ?? (config.entrypoint === undefined ? image.Cmd ?? [] : []),
      Labels: { ...image.Labels, ...config.labels },
      Env: [
        ...(image.Env ?? []).filter((v) => !own.has(named(v))),
        ...(config.env ?? []).filter((v) => v.includes("=")),
      ],
      ExposedPorts: { ...image.ExposedPorts, ...exposed(config.expose) },
      Volumes: image.Volumes ?? {},
      StopSignal: details.stop_signal,
      StopTimeout: config.stopTimeoutS ?? 10,
      Image: details.image,
      Tty: config.tty ?? false,
    },
    state: {
      exit_code: 0,
      started_at: "0001-01-01T00:00:00Z",
      finished_at: "0001-01-01T00:00:00Z",
      error: "",
      ...details.state,
      paused: details.state.status === "paused",
      restarting: details.state.status === "restarting",
      dead: details.state.status === "dead",
    },
    Path: details.argv[0] ?? "",
    Args: details.argv.slice(1),
    RestartCount: details.state.restart_count,
    LogPath: details.paths.log,
    ResolvConfPath: details.paths.resolv_conf,
    HostsPath: details.paths.hosts,
    HostnamePath: details.paths.hostname,
    NetworkSettings: {
      IPAddress: first?.ip ?? "",
      Gateway: first?.gateway ?? "",
      MacAddress: first?.mac ?? "",
      Ports: portMap(details),
      Networks: networks,
      SandboxKey: details.network.netns ?? "",
    },
    HostConfig: {
      NetworkMode: details.network.mode,
      RestartPolicy: { Name: config.restart?.name ?? "no", MaximumRetryCount: config.restart?.maxRetries ?? 0 },
      AutoRemove: config.autoRemove ?? false,
      Privileged: config.privileged ?? false,
      ReadonlyRootfs: config.readOnly ?? false,
      Memory: config.resources?.memoryBytes ?? 0,
      NanoCpus: config.resources?.nanoCpus ?? 0,
      PidsLimit: config.resources?.pidsLimit ?? 0,
      CapAdd: config.capAdd ?? [],
      CapDrop: config.capDrop ?? [],
      PortBindings: portMap(details),
    },
    Mounts: details.mounts.map((mount) => ({ ...mount, Destination: mount.target })),
  };
}
