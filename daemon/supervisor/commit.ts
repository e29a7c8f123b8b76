/** Makes an image of a container. */

import type { CommitRequest } from "../spec/api.ts";
import type { ImageExecConfig } from "../spec/image.ts";
import { applyChange } from "../spec/parse/image_change.ts";
import type { ContainerRecord } from "../persist/record.ts";
import type { Container } from "./container.ts";
import type { SupervisorDeps } from "./deps.ts";

/** The image's settings as the container ran with them. */
function execOf(record: ContainerRecord): ImageExecConfig {
  const { spec, image: { exec } } = record;
  const env = new Map([...exec.Env ?? [], ...spec.env ?? []].map((e) => [e.split("=")[0] ?? "", e]));
  return {
    ...exec,
    ...(spec.entrypoint === undefined ? {} : { Entrypoint: spec.entrypoint }),
    ...(spec.args === undefined || spec.args.length === 0 ? {} : { Cmd: spec.args }),
    ...(env.size === 0 ? {} : { Env: [...env.values()] }),
    ...(spec.user === undefined ? {} : { User: spec.user }),
    ...(spec.workingDir === undefined ? {} : { WorkingDir: spec.workingDir }),
    ...(spec.labels === undefined ? {} : { Labels: { ...exec.Labels, ...spec.labels } }),
  };
}

/** Freezes a running container around a piece of work. */
async function paused<T>(container: Container, wanted: boolean, job: () => Promise<T>): Promise<T> {
  if (!wanted || container.status !== "running") return await job();
  await container.pause();
  try {
    return await job();
  } finally {
    await container.unpause();
  }
}

/**
 * Makes an image: the container's layer as a tar, a configuration with the changes applied, and a name where one is given.
 *
 * @throws NyxError invalid_argument for a change that is not known, before anything is done
 */
export async function commitImage(
  container: Container,
  deps: SupervisorDeps,
  request: CommitRequest,
  signal: AbortSignal,
): Promise<{ id: string; ref?: string }> {
  const { record, id } = container;
  const exec = (request.changes ?? []).reduce(applyChange, execOf(record));
  const file = await deps.images.layerFile();
  try {
    const layer = await paused(
      container,
      request.pause ?? true,
      () => deps.stages.rootfs.call("layerTar", { id, baseDir: deps.baseDir, file }, { signal }),
    );
    const { ref, author, message } = request;
    const made = await deps.images.commit({
      base: record.image.manifestDigest,
      file,
      ...layer,
      exec,
      ...(ref === undefined ? {} : { ref }),
      ...(author === undefined ? {} : { author }),
      ...(message === undefined ? {} : { message }),
    }, signal);
    container.emit("commit", { imageId: made.id });
    return made;
  } finally {
    // Taken by the store when all went well.
    await Deno.remove(file).catch(() => {});
  }
}
