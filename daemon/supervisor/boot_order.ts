/** In which order containers start at boot, and stop with the daemon. */

import { LABEL } from "../compose/labels.ts";
import { labelledDependencies } from "../compose/reconcile/waiting.ts";
import type { ContainerConfig } from "../spec/container.ts";

/** What the order depends on. */
export interface Bootable {
  id: string;
  /** RFC 3339. */
  created: string;
  spec: Pick<ContainerConfig, "networkMode" | "pidMode" | "ipcMode" | "utsMode" | "labels">;
}

/** Ids of the containers whose namespaces a container joins. */
export function joins(spec: Bootable["spec"]): string[] {
  return [spec.networkMode, spec.pidMode, spec.ipcMode, spec.utsMode].flatMap((mode) =>
    mode?.startsWith("container:") ? [mode.slice("container:".length)] : []
  );
}

/** Depth first through `edges`, the oldest first: whom an edge leads to before whose edge it is, but for circles. */
function ordered<T>(byAge: readonly T[], edges: (item: T) => readonly T[]): T[] {
  const done = new Set<T>();
  const visiting = new Set<T>();
  const visit = (item: T) => {
    if (visiting.has(item)) return;
    visiting.add(item);
    for (const other of edges(item)) visit(other);
    done.add(item);
  };
  for (const item of byAge) visit(item);
  return [...done];
}

/** Items from the oldest on, and by their ids. */
function sorted<T>(items: readonly T[], of: (item: T) => Bootable): { byAge: T[]; byId: Map<string, T> } {
  const byAge = [...items].sort((a, b) => of(a).created.localeCompare(of(b).created));
  return { byAge, byId: new Map(byAge.map((item) => [of(item).id, item])) };
}

/**
 * The oldest first, but whose namespaces are joined before those who join them. A circle, which nobody can start, is left
 * in the order of age.
 */
export function bootOrder<T>(items: readonly T[], of: (item: T) => Bootable): T[] {
  const { byAge, byId } = sorted(items, of);
  return ordered(byAge, (item) => joins(of(item).spec).flatMap((id) => byId.get(id) ?? []));
}

/** Ids of the containers that an item needs: those it joins, and those that its compose project says it depends on. */
function needs<T>(spec: Bootable["spec"], items: readonly T[], of: (item: T) => Bootable): string[] {
  const labels = spec.labels ?? {};
  const project = labels[LABEL.project];
  if (project === undefined) return joins(spec);
  const services = new Set(labelledDependencies(labels).map((d) => d.service));
  const others = items.map(of).filter(({ spec: { labels: l = {} } }) =>
    l[LABEL.project] === project && services.has(l[LABEL.service] ?? "")
  );
  return [...joins(spec), ...others.map((o) => o.id)];
}

/**
 * For each item those that have to be stopped before it: all that need it. A circle is cut where the youngest closes it.
 */
export function stopsAfter<T>(items: readonly T[], of: (item: T) => Bootable): Map<T, T[]> {
  const { byAge, byId } = sorted(items, of);
  const needed = new Map(
    byAge.map((item) => [item, needs(of(item).spec, byAge, of).flatMap((id) => byId.get(id) ?? [])]),
  );
  const position = new Map(ordered(byAge, (item) => needed.get(item) ?? []).map((item, i) => [item, i]));
  const at = (item: T) => position.get(item) ?? 0;
  const waits = new Map<T, T[]>(byAge.map((item) => [item, []]));
  for (const [item, others] of needed) {
    for (const other of others) if (at(other) < at(item)) waits.get(other)?.push(item);
  }
  return waits;
}
