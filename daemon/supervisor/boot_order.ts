/** In which order containers start at boot. */

import type { ContainerConfig } from "../spec/container.ts";

/** What the order depends on. */
export interface Bootable {
  id: string;
  /** RFC 3339. */
  created: string;
  spec: Pick<ContainerConfig, "networkMode" | "pidMode" | "ipcMode" | "utsMode">;
}

/** Ids of the containers whose namespaces a container joins. */
function joins(spec: Bootable["spec"]): string[] {
  return [spec.networkMode, spec.pidMode, spec.ipcMode, spec.utsMode].flatMap((mode) =>
    mode?.startsWith("container:") ? [mode.slice("container:".length)] : []
  );
}

/**
 * The oldest first, but whose namespaces are joined before those who join them. A circle, which nobody can start, is left
 * in the order of age.
 */
export function bootOrder<T>(items: readonly T[], of: (item: T) => Bootable): T[] {
  const byAge = [...items].sort((a, b) => of(a).created.localeCompare(of(b).created));
  const byId = new Map(byAge.map((item) => [of(item).id, item]));
  const ordered = new Set<T>();
  const visiting = new Set<T>();
  const visit = (item: T) => {
    if (ordered.has(item) || visiting.has(item)) return;
    visiting.add(item);
    for (const id of joins(of(item).spec)) {
      const target = byId.get(id);
      if (target !== undefined) visit(target);
    }
    ordered.add(item);
  };
  for (const item of byAge) visit(item);
  return [...ordered];
}
