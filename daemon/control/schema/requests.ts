/** Bodies of requests other than a container's config, and first frames of attached streams. */

import { z } from "zod";
import { parsePlatform, parseUser, parseWorkdir } from "../../spec/parse/modes.ts";
import { parseName } from "../../spec/parse/modes.ts";
import { formatRestart, parseRestart } from "../../spec/parse/restart.ts";
import { argumentList, containerShape, oneName, publishedPorts, resources, toConfig, variables } from "./container.ts";
import { graceSeconds, imageRef, integer, line, parsed, signalName, terminalCells, textMap } from "./values.ts";

/** Longest password or token taken, characters. */
const secret = z.string().max(64 * 1024);
const username = line(1024);

const runShape = {
  ...containerShape,
  stream: z.boolean().exactOptional(),
  pull: z.enum(["always", "missing", "never"]).exactOptional(),
  registry_username: username.exactOptional(),
  registry_password: secret.exactOptional(),
  registry_identity_token: secret.exactOptional(),
};

const attachShape = {
  stdin: z.boolean().default(false),
  stdout: z.boolean().default(true),
  stderr: z.boolean().default(true),
  rows: terminalCells.exactOptional(),
  cols: terminalCells.exactOptional(),
};

const runObject = z.strictObject(runShape);

/** Takes the options of a run apart from the container's config. */
function splitRun(input: z.output<typeof runObject>) {
  const { stream, pull, registry_username, registry_password, registry_identity_token, ...config } = input;
  const credentials = {
    ...(registry_username === undefined ? {} : { username: registry_username }),
    ...(registry_password === undefined ? {} : { password: registry_password }),
    ...(registry_identity_token === undefined ? {} : { identityToken: registry_identity_token }),
  };
  return {
    config: toConfig(config),
    stream: stream ?? false,
    pull: pull ?? "missing",
    ...(Object.keys(credentials).length === 0 ? {} : { credentials }),
  };
}

const hasOneName = ({ id, name }: { id?: string; name?: string }) =>
  id === undefined || name === undefined || id === name;

/** Body of POST /v1/containers/run. */
export const runBody = runObject.refine(hasOneName, oneName).transform(splitRun);

/** What {@linkcode runBody} gives. */
export type RunInput = z.output<typeof runBody>;

/** First frame of a framed POST /v1/containers/run. */
export const attachedRun = z.strictObject({ ...runShape, attach: z.strictObject(attachShape) })
  .refine(hasOneName, oneName)
  .transform(({ attach, ...run }) => ({ ...splitRun(run), attach }));

/** First frame of a framed attach or start. */
export const attachFrame = z.strictObject({ ...attachShape, replay: integer(0, 1_000_000).exactOptional() });

/** Body, or first frame, of POST /v1/containers/{id}/exec. */
export const execBody = z.strictObject({
  argv: argumentList.min(1, "name the program to run"),
  tty: z.boolean().exactOptional(),
  stdin: z.boolean().exactOptional(),
  detach: z.boolean().exactOptional(),
  env: variables.exactOptional(),
  user: parsed((text) => parseUser(text)).exactOptional(),
  workingDir: parsed((text) => parseWorkdir(text)).exactOptional(),
  privileged: z.boolean().exactOptional(),
  rows: terminalCells.exactOptional(),
  cols: terminalCells.exactOptional(),
});

/** Body of the stop route. */
export const stopBody = z.strictObject({
  timeoutS: graceSeconds.exactOptional(),
  signal: signalName.exactOptional(),
});

/** Body of the restart route. */
export const restartBody = z.strictObject({ timeoutS: graceSeconds.exactOptional() });

/** Body of the kill route. */
export const killBody = z.strictObject({ signal: signalName.default("SIGKILL") });

/** Body of the remove route of containers. */
export const removeBody = z.strictObject({
  force: z.boolean().default(false),
  volumes: z.boolean().default(false),
});

/** Body of POST /v1/containers/prune. */
export const containerPruneBody = z.strictObject({
  filters: z.record(z.string().min(1), z.array(z.string())).default({}),
});

/** Body of the rename route. */
export const renameBody = z.strictObject({ name: parsed((text) => parseName(text)) });

/** Body of the update route. */
export const updateBody = z.strictObject({
  resources: resources.exactOptional(),
  restart: parsed((text) => formatRestart(parseRestart(text))).exactOptional(),
  publish: z.strictObject({
    from: z.string().min(1).max(255).exactOptional(),
    add: publishedPorts.exactOptional(),
    remove: publishedPorts.exactOptional(),
  })
    .exactOptional(),
}).refine((body) => body.resources !== undefined || body.restart !== undefined || body.publish !== undefined, {
  error: "give resources, restart, publish, or several of them",
});

/** Body of the resize route. */
export const resizeBody = z.strictObject({ rows: terminalCells, cols: terminalCells });

/** Body of POST /v1/images/pull. */
export const pullBody = z.strictObject({
  ref: imageRef,
  stream: z.boolean().default(false),
  platform: parsed((text) => parsePlatform(text)).exactOptional(),
  username: username.exactOptional(),
  password: secret.exactOptional(),
  identityToken: secret.exactOptional(),
});

/** Body of POST /v1/images/remove. */
export const imageRemoveBody = z.strictObject({ ref: imageRef, force: z.boolean().default(false) });

/** Body of POST /v1/images/prune. */
export const imagePruneBody = z.strictObject({
  dry_run: z.boolean().default(false),
  all: z.boolean().default(false),
});

/** Body of POST /v1/images/tag. */
export const tagBody = z.strictObject({ source: imageRef, target: imageRef });

/** Body of POST /v1/login. */
export const loginBody = z.strictObject({
  registry: line(512).min(1, "name a registry, such as registry.example.org:5000"),
  username: username.exactOptional(),
  password: secret.exactOptional(),
  identityToken: secret.exactOptional(),
});

/** Body of POST /v1/volumes. */
export const volumeBody = z.strictObject({
  name: parsed((text) => parseName(text)).exactOptional(),
  driver: z.literal("local", { error: "nyx has the local driver only" }).exactOptional(),
  options: textMap.exactOptional(),
  labels: textMap.exactOptional(),
});

/** Body of the remove route of volumes. */
export const volumeRemoveBody = z.strictObject({ force: z.boolean().default(false) });

/** Body of POST /v1/volumes/prune. */
export const volumePruneBody = z.strictObject({ all: z.boolean().default(false) });

/** Body of POST /v1/system/shutdown. */
export const shutdownBody = z.strictObject({ timeoutS: integer(0, 86_400).exactOptional() });

/** Payload of a resize frame. */
export const resizeFrame = resizeBody;

/** Payload of a signal frame. */
export const signalFrame = z.strictObject({ signal: signalName });

/** Body of routes that take none. */
export const emptyBody = z.strictObject({});
