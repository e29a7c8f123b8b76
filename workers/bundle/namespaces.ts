/** Which namespaces a container gets, joins, or shares with the host. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { ContainerConfig } from "../../daemon/spec/container.ts";
import type { HostFacts } from "../protocol.ts";
import type { NamespaceType } from "./runtime_spec.ts";

/** What the modes of a container come down to. */
export interface NamespacePlan {
  namespaces: { type: NamespaceType; path?: string }[];
  /** Namespaces that are the container's own or another container's, not the host's. */
  own: { network: boolean; ipc: boolean; uts: boolean; cgroup: boolean };
  /** /dev/shm: a tmpfs of its own, the host's, one that containers share (a host path), or none. */
  shm: { kind: "own" } | { kind: "host" } | { kind: "shared"; path: string } | { kind: "none" };
}

/** What of the request decides it. */
export interface NamespaceInput {
  config: Pick<ContainerConfig, "pidMode" | "ipcMode" | "utsMode" | "cgroupnsMode" | "hostname" | "networkMode">;
  netnsPath?: string;
  /** tmpfs on the host for a shared /dev/shm. */
  shmPath?: string;
  joinPids: { pid?: number; ipc?: number; uts?: number };
  host: Pick<HostFacts, "cgroup">;
}

type Mode = { kind: "private" } | { kind: "host" } | { kind: "join"; pid: number };

function mode(field: "pid" | "ipc" | "uts", text: string | undefined, pid: number | undefined): Mode {
  if (text === undefined || text === "" || text === "private") return { kind: "private" };
  if (text === "host") return { kind: "host" };
  if (text.startsWith("container:")) {
    if (pid === undefined || !Number.isInteger(pid) || pid < 1) {
      throw new NyxError(
        "failed_precondition",
        `Could not join the ${field} namespace of ${text}: that container is not running; start it first`,
        { context: { field: `${field}Mode`, value: text } },
      );
    }
    return { kind: "join", pid };
  }
  throw invalid(`${field}Mode`, text, "use private, host or container:<name>");
}

function add(
  plan: NamespacePlan["namespaces"],
  type: NamespaceType,
  chosen: Mode,
): void {
  if (chosen.kind === "private") plan.push({ type });
  else if (chosen.kind === "join") plan.push({ type, path: `/proc/${chosen.pid}/ns/${type}` });
}

/** cgroup namespace: private on v2, the host's on v1 and hybrid, as Docker has it, unless asked otherwise. */
function cgroupIsPrivate(text: string | undefined, layout: HostFacts["cgroup"]): boolean {
  if (text === undefined || text === "") return layout === "v2";
  if (text === "private") return true;
  if (text === "host") return false;
  throw invalid("cgroupnsMode", text, "use host or private");
}

/** A mount of another namespace cannot be bound: a shared /dev/shm has to be on the host. */
function planShm(ipcMode: string | undefined, ipc: Mode, shmPath: string | undefined): NamespacePlan["shm"] {
  if (ipcMode === "none") return { kind: "none" };
  if (ipc.kind === "host") return { kind: "host" };
  if (ipc.kind === "private" && (ipcMode !== "shareable" || shmPath === undefined)) return { kind: "own" };
  if (shmPath !== undefined) return { kind: "shared", path: shmPath };
  throw new NyxError(
    "failed_precondition",
    `Could not join the ipc namespace of ${ipcMode}: it is private; start that container with --ipc shareable`,
    { context: { field: "ipcMode", value: ipcMode ?? "" } },
  );
}

/**
 * Plans the namespaces.
 *
 * @throws NyxError invalid_argument for an unknown mode; failed_precondition when the container to join does not run
 */
export function planNamespaces(input: NamespaceInput): NamespacePlan {
  const { config, joinPids } = input;
  const namespaces: NamespacePlan["namespaces"] = [{ type: "mount" }];
  const pid = mode("pid", config.pidMode, joinPids.pid);
  const uts = mode("uts", config.utsMode, joinPids.uts);
  const ipcText = config.ipcMode === "shareable" || config.ipcMode === "none" ? "private" : config.ipcMode;
  const ipc = mode("ipc", ipcText, joinPids.ipc);
  if (uts.kind === "host" && config.hostname !== undefined) {
    throw invalid("hostname", config.hostname, "a container in the host's uts namespace has the host's name");
  }
  add(namespaces, "pid", pid);
  add(namespaces, "ipc", ipc);
  add(namespaces, "uts", uts);
  if (input.netnsPath !== undefined) namespaces.push({ type: "network", path: input.netnsPath });
  const cgroup = cgroupIsPrivate(config.cgroupnsMode, input.host.cgroup);
  if (cgroup) namespaces.push({ type: "cgroup" });
  return {
    namespaces,
    own: {
      network: input.netnsPath !== undefined && config.networkMode?.startsWith("container:") !== true,
      ipc: ipc.kind === "private",
      uts: uts.kind === "private",
      cgroup,
    },
    shm: planShm(config.ipcMode, ipc, input.shmPath),
  };
}
