/** Shapes of the routes about a container's files. */

import { z } from "zod";
import type * as api from "../../spec/api.ts";
import { imageRef, line } from "./values.ts";

/** An absolute path inside a container. */
export const inPath = z.string().max(4095).regex(/^\/[^\0]*$/, "give an absolute path inside the container");

/** One name without slash. */
export const memberName = z.string().max(255).regex(/^(?!\.{1,2}$)[^/\0]+$/, "give one name, without a slash");

/** Answer of the stat route. */
export const pathStatResult = z.strictObject({
  name: z.string(),
  kind: z.enum(["dir", "file", "link", "other"]),
  size: z.number(),
  mode: z.number().int(),
  mtime: z.string(),
  link_target: z.string().exactOptional(),
  target_is_dir: z.boolean(),
}) satisfies z.ZodType<api.PathStat>;

/** Answer of an upload. */
export const unarchiveResult = z.strictObject({ ok: z.literal(true), entries: z.number().int() }) satisfies z.ZodType<
  api.ArchiveWritten
>;

/** Body of a commit. */
export const commitBody = z.strictObject({
  ref: imageRef.exactOptional().meta({ description: "Name of the new image; without one it has none." }),
  message: line().exactOptional(),
  author: line().exactOptional(),
  changes: z.array(z.string().max(65_536)).max(256).default([]).meta({
    description: "Instructions of a Dockerfile that change the configuration.",
  }),
  pause: z.boolean().default(true).meta({ description: "Freeze a running container meanwhile." }),
});

/** Answer of a commit. */
export const commitResult = z.strictObject({
  ok: z.literal(true),
  id: z.string(),
  ref: z.string().exactOptional(),
}) satisfies z.ZodType<api.CommitResult>;
