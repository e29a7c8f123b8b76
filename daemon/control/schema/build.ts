/** Requests and answers about builds. */

import { z } from "zod";
import type { BuildPruneResult, BuildRequest } from "../../spec/build.ts";
import { formatPlatform, parsePlatform } from "../../spec/platform.ts";
import { formatReference, parseReference } from "../../spec/reference.ts";
import { imageRef, integer, line, parsed, textMap } from "./values.ts";

/** Longest Dockerfile, characters. */
const MAX_DOCKERFILE = 4 * 1024 * 1024;
const base64 = z.string().max(16 * 1024 * 1024).regex(
  /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
  "send base64",
);
/** Names of secrets, agents and contexts meet an argument of buildah in which `,` and `=` have a meaning. */
const id = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/, "use letters, digits, '_', '.' and '-'");
const contextName = z.string().regex(
  /^[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,254}$/,
  "use letters, digits and '_.:@/-', beginning with a letter or digit",
);
const argumentName = /^[A-Za-z_][A-Za-z0-9_.-]{0,254}$/;

const credentials = z.strictObject({
  username: line(1024).exactOptional(),
  password: z.string().max(64 * 1024).exactOptional(),
  identityToken: z.string().max(64 * 1024).exactOptional(),
});

/** First frame of POST /v1/build. */
export const buildFrame = z.strictObject({
  dockerfile: z.string().min(1, "it is empty; begin it with FROM").max(MAX_DOCKERFILE),
  tags: z.array(parsed((text) => formatReference(parseReference(text)))).max(256).exactOptional(),
  args: z.record(z.string().regex(argumentName, "a build argument's name has letters, digits and '_'"), z.string())
    .exactOptional(),
  target: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/, "name a stage, or give its number").exactOptional(),
  platform: parsed((text) => formatPlatform(parsePlatform(text))).exactOptional(),
  labels: textMap.exactOptional(),
  network: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,254}$/, "give default, none, host or a network's name")
    .exactOptional(),
  no_cache: z.boolean().exactOptional(),
  pull: z.boolean().exactOptional(),
  extra_hosts: z.array(z.string().regex(/^[^\s:=,]+[:=][0-9a-fA-F:.[\]a-z-]+$/, "write name:address")).max(1024)
    .exactOptional(),
  shm_size_bytes: integer(1).exactOptional(),
  ulimits: z.array(z.string().regex(/^[a-z]+=-?\d+(:-?\d+)?$/, "write name=soft:hard")).max(64).exactOptional(),
  privileged: z.boolean().exactOptional(),
  secrets: z.array(z.strictObject({ id, content: base64 })).max(256).exactOptional(),
  ssh: z.array(z.strictObject({ id, key: base64.exactOptional() })).max(64).exactOptional(),
  cache_from: z.array(imageRef).max(64).exactOptional(),
  contexts: z.array(z.strictObject({ name: contextName, image: imageRef.exactOptional() })).max(256).exactOptional(),
  upload: z.boolean().exactOptional(),
  credentials: z.record(z.string(), credentials).exactOptional(),
}) satisfies z.ZodType<BuildRequest>;

/** Answer of POST /v1/build/prune. */
export const buildPruneResult = z.strictObject({
  ok: z.literal(true),
  reclaimed: z.number().int().min(0),
}) satisfies z.ZodType<BuildPruneResult>;

/** Answer of a POST /v1/build that is not framed. */
export const buildResult = z.strictObject({ ok: z.literal(true), id: z.string(), refs: z.array(z.string()) });
