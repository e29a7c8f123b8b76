/** Finding where a part of the model was written. */

import type { Origin } from "./diagnostics.ts";
import { type MapNode, type Node, pathOf } from "./node.ts";

/** Steps from the root of a model to a part of it. */
export type ModelPath = readonly (string | number)[];

/** The place of the deepest part of a path that was written; undefined when nothing of it was. */
export function locate(tree: MapNode, path: ModelPath): Origin | undefined {
  let node: Node | undefined = tree;
  let found: Origin | undefined;
  for (const step of path) {
    if (node?.kind === "map") {
      const entry = node.entries.get(String(step));
      if (entry === undefined) break;
      found = entry.key;
      node = entry.value;
    } else if (node?.kind === "list" && typeof step === "number") {
      node = node.items[step];
      if (node === undefined) break;
      found = node.origin;
    } else break;
  }
  return found;
}

/** A path as text, such as `services.web.ports[0]`. */
export function pathText(path: ModelPath): string {
  return path.reduce<string>((text, step) => pathOf(text, step), "");
}
