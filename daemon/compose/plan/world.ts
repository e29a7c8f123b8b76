/** What runs: the part of the host's state that a plan looks at. */

import type { ContainerConfig, ContainerStatus } from "../../spec/container.ts";
import { canonicalJson, own } from "../dictionary.ts";
import { sha256 } from "../hash.ts";
import { LABEL } from "../labels.ts";

/** One container of the project, or one whose name the project asks for. */
export interface ObservedContainer {
  id: string;
  name: string;
  labels: Record<string, string>;
  status: ContainerStatus;
  exitCode?: number;
  /** A user asked for it to be down. */
  stoppedByUser?: boolean;
  /** Image id (config digest) that it was made from. */
  imageId?: string;
  /** As asked for; for explaining what changed, and for limits that are changed in place. */
  config: ContainerConfig;
}

/** A network on the host. */
export interface ObservedNetwork {
  name: string;
  labels: Record<string, string>;
}

/** A volume on the host. */
export interface ObservedVolume {
  name: string;
  labels: Record<string, string>;
}

/** An image in the store. */
export interface ObservedImage {
  /** As services write it. */
  ref: string;
  id: string;
  /** When it was last pulled, in milliseconds since the epoch. */
  pulledAtMs?: number;
}

/** Everything that a plan looks at. Order does not matter. */
export interface ObservedWorld {
  containers: ObservedContainer[];
  networks: ObservedNetwork[];
  volumes: ObservedVolume[];
  images: ObservedImage[];
}

/** Service of a container of the project, and its number; undefined for others and for one-off containers. */
export function ownership(
  container: ObservedContainer,
  project: string,
): { service: string; number: number } | undefined {
  const label = (key: string) => own(container.labels, key);
  const service = label(LABEL.service);
  if (label(LABEL.project) !== project || service === undefined) return undefined;
  if (label(LABEL.oneoff)?.toLowerCase() === "true") return undefined;
  return { service, number: Number(label(LABEL.number) ?? "0") };
}

/** Whether a container is up, or on its way there. */
export function isUp(status: ContainerStatus): boolean {
  return status === "running" || status === "starting" || status === "restarting" || status === "paused";
}

/** Digest of a world: it changes when a plan made from it may no longer hold. */
export function worldDigest(world: ObservedWorld): string {
  const byName = <T extends { name: string }>(list: readonly T[]) =>
    [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
  const containers = byName(world.containers).map((
    c,
  ) => [c.id, c.name, isUp(c.status), own(c.labels, LABEL.hash) ?? "", c.imageId ?? ""]);
  const objects = (list: readonly { name: string; labels: Record<string, string> }[]) =>
    byName(list).map((o) => [o.name, own(o.labels, LABEL.hash) ?? ""]);
  const images = [...world.images].sort((a, b) => (a.ref < b.ref ? -1 : 1)).map((i) => [i.ref, i.id]);
  return sha256(canonicalJson([containers, objects(world.networks), objects(world.volumes), images]));
}
