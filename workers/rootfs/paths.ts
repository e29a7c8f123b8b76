/** Where a container's overlay lives below the base directory, and the grammar that keeps ids inside it. */

import { OBJECT_NAME } from "../../daemon/spec/container.ts";
import { invalid } from "../../daemon/spec/errors.ts";

/** Directory of committed layers, relative to the base directory; the image store commits there. */
export const LAYERS_DIR = "layers";

/** Start of the name of a container's directory that is being removed. */
export const TRASH_PREFIX = ".trash-";

/** Directories of one container. */
export interface OverlayPaths {
  /** overlay/<id> */
  dir: string;
  upper: string;
  work: string;
  merged: string;
}

/**
 * Checks an absolute path without `..` or doubled slashes.
 *
 * @throws NyxError invalid_argument for another
 */
export function checkAbsolute(field: string, path: string): string {
  const clean = path.startsWith("/") && !path.includes("\0") && !path.includes("//") &&
    !path.split("/").some((part) => part === ".." || part === ".");
  if (!clean) throw invalid(field, path, "use an absolute path without .. or doubled slashes");
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}

/**
 * Paths of a container's overlay.
 *
 * @throws NyxError invalid_argument for an id that is no name, so that none leads out of the base directory
 */
export function overlayPaths(baseDir: string, id: string): OverlayPaths {
  const base = checkAbsolute("baseDir", baseDir);
  if (!OBJECT_NAME.test(id)) throw invalid("id", id, "use letters, digits and _.-");
  const dir = `${base}/overlay/${id}`;
  return { dir, upper: `${dir}/diff`, work: `${dir}/work`, merged: `${dir}/merged` };
}
