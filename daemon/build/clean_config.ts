/** The config document of a built image without what buildah leaves of its working container. Pure. */

import { parseJsonObject } from "../images/documents.ts";

/** Settings of the working container, which mean nothing to an image. */
const OF_CONTAINER = [
  "AttachStderr",
  "AttachStdin",
  "AttachStdout",
  "Domainname",
  "Hostname",
  "Image",
  "OpenStdin",
  "StdinOnce",
  "Tty",
];

function isEmpty(value: unknown): boolean {
  if (value === null || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** The document that the image gets; the same input gives the same bytes, so that an unchanged build keeps its id. */
export function cleanConfig(bytes: Uint8Array): Uint8Array {
  const { container: _, container_config: __, parent: ___, config, history, ...rest } = parseJsonObject(
    bytes,
    "built image config",
  );
  const exec = Object.fromEntries(
    Object.entries((config ?? {}) as Record<string, unknown>)
      .filter(([key, value]) => !OF_CONTAINER.includes(key) && !isEmpty(value)),
  );
  const steps = (Array.isArray(history) ? history as Record<string, unknown>[] : []).map(({ comment, ...step }) =>
    typeof comment === "string" && comment !== "" && !comment.startsWith("FROM ") ? { ...step, comment } : step
  );
  return new TextEncoder().encode(JSON.stringify({ ...rest, config: exec, history: steps }));
}
