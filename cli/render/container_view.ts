/** Containers as lists show them: Docker's field names. */

import type { ContainerSummary, PortMapping } from "../../mod.ts";
import { type View, withLabel } from "./rows.ts";
import { timeAgo } from "./time.ts";
import { truncate } from "./width.ts";

/** Headings that are not just the field's name. */
export const CONTAINER_HEADS: Readonly<Record<string, string>> = {
  ID: "CONTAINER ID",
  Names: "NAMES",
  Image: "IMAGE",
  Command: "COMMAND",
  CreatedAt: "CREATED AT",
  RunningFor: "CREATED",
  Ports: "PORTS",
  Status: "STATUS",
  State: "STATE",
  Size: "SIZE",
  Labels: "LABELS",
  Mounts: "MOUNTS",
  LocalVolumes: "LOCAL VOLUMES",
  Networks: "NETWORKS",
  Health: "HEALTH",
  ExitCode: "EXIT CODE",
  IP: "IP",
  RestartCount: "RESTARTS",
};

/** `0.0.0.0:8080->80/tcp`, ranges as `8000-8002->8000-8002/udp`. */
export function portText(mapping: PortMapping): string {
  const { hostIp = "", hostPort, containerPort, count = 1, protocol = "tcp" } = mapping;
  const range = (start: number) => count > 1 ? `${start}-${start + count - 1}` : String(start);
  const ip = hostIp === "" ? "0.0.0.0" : hostIp.includes(":") ? `[${hostIp}]` : hostIp;
  return `${ip}:${range(hostPort)}->${range(containerPort)}/${protocol}`;
}

/** `a=b,c=d`. */
export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(",");
}

/** One container for lists and templates. */
export function containerView(container: ContainerSummary, options: { noTrunc: boolean; nowMs: number }): View {
  const { noTrunc, nowMs } = options;
  const view = {
    ID: noTrunc ? container.id : container.short_id,
    Names: container.name,
    Image: container.image,
    Command: `"${noTrunc ? container.command : truncate(container.command, 20)}"`,
    CreatedAt: container.created,
    RunningFor: timeAgo(container.created, nowMs),
    Ports: container.ports.map(portText).join(", "),
    Status: container.status_text,
    State: container.status,
    Labels: labelsText(container.labels),
    Mounts: container.mounts.map((mount) => noTrunc ? mount : truncate(mount, 15)).join(","),
    LocalVolumes: String(container.mounts.filter((mount) => !mount.startsWith("/")).length),
    Networks: container.networks.join(","),
    Health: container.health ?? "",
    ExitCode: container.exit_code === undefined ? "" : String(container.exit_code),
    IP: container.ip ?? "",
    RestartCount: String(container.restart_count),
  };
  return withLabel(view, container.labels);
}
