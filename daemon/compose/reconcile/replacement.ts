/** What the ways of replacing a container have in common. */

import type { ContainerConfig, PortMapping } from "../../spec/container.ts";
import type { EngineContainer } from "./engine.ts";

/** How to replace. */
export interface ReplaceOptions {
  /** Seconds from the stop signal to KILL. */
  timeoutS?: number;
  /** New anonymous volumes. */
  renewVolumes: boolean;
  /** Leave the new one unstarted. */
  noStart: boolean;
  /** Leave the old one, stopped, for a way back. */
  keepOld: boolean;
  signal: AbortSignal;
  onWarning: (message: string) => void;
}

/** One replacement that was made. */
export interface Replaced {
  /** The container before it, as it was. */
  old: EngineContainer;
  /** The new container. */
  id: string;
  /** Published ports that went over. */
  moved: PortMapping[];
  /** The old one gave up its name. */
  aside: boolean;
}

/** The configuration with the anonymous volumes of the container that is replaced. */
export function withVolumesOf(config: ContainerConfig, old: EngineContainer): ContainerConfig {
  const mounts = [...config.mounts ?? []];
  for (const [target, source] of Object.entries(old.anonymous)) {
    const at = mounts.findIndex((m) => m.target === target);
    const there = mounts[at];
    if (there === undefined) mounts.push({ type: "volume", source, target });
    else if (there.type === "volume" && there.source === undefined) mounts[at] = { ...there, source };
  }
  return mounts.length === 0 ? config : { ...config, mounts };
}

/** A name for a container that makes way, as Docker Compose forms it. */
export function asideName({ id, name }: Pick<EngineContainer, "id" | "name">): string {
  return `${id.slice(0, 12)}_${name}`.slice(0, 128);
}
