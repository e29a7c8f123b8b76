/** Rows of `ps` and `ls`. */

import type { ContainerSummary } from "../../spec/api.ts";
import type { ComposeContainer, ComposeProjectInfo } from "../../spec/compose_api.ts";
import { own } from "../dictionary.ts";
import { LABEL } from "../labels.ts";
import type { ProjectStore } from "./store.ts";

/** Containers of a project, by service and number. */
export function projectRows(summaries: readonly ContainerSummary[], project: string): ComposeContainer[] {
  return summaries.flatMap((row) => {
    const label = (key: string) => own(row.labels, key);
    const service = label(LABEL.service);
    if (label(LABEL.project) !== project || service === undefined) return [];
    const oneoff = label(LABEL.oneoff)?.toLowerCase() === "true";
    const number = oneoff ? 0 : Number(label(LABEL.number) ?? "0");
    return [{ ...row, service, number: Number.isInteger(number) ? number : 0, oneoff }];
  }).sort((a, b) => a.service === b.service ? a.number - b.number : a.service < b.service ? -1 : 1);
}

/** Such as `exited(1), running(2)`. */
function statusText(rows: readonly ContainerSummary[]): string {
  const counts = new Map<string, number>();
  for (const { status } of rows) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([status, n]) => `${status}(${n})`).join(", ");
}

/** All projects: those that have containers, and those that are kept. */
export async function projectList(
  summaries: readonly ContainerSummary[],
  store: ProjectStore,
): Promise<ComposeProjectInfo[]> {
  const byProject = new Map<string, ContainerSummary[]>((await store.names()).map((name) => [name, []]));
  for (const row of summaries) {
    const project = own(row.labels, LABEL.project);
    if (project !== undefined) byProject.set(project, [...byProject.get(project) ?? [], row]);
  }
  const names = [...byProject.keys()].sort();
  return await Promise.all(names.map(async (name) => {
    const rows = byProject.get(name) ?? [];
    const labelled = rows.map((row) => own(row.labels, LABEL.configFiles)).find((files) => files !== undefined);
    const config_files = labelled?.split(",") ?? (await store.find(name))?.files ?? [];
    return { name, status: statusText(rows), config_files, containers: rows.length };
  }));
}
