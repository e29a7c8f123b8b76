/** What `run` does: a container made, its image pulled when it is missing or when a new one is asked for. */

import type { CreateResult, RunResult } from "../spec/api.ts";
import type { ContainerConfig } from "../spec/container.ts";
import { NyxError, toErrorData } from "../spec/errors.ts";
import type { PullEvent } from "../spec/image.ts";
import type { RunInput } from "./schema/requests.ts";
import type { AttachOptions, PullOptions, Services } from "./services.ts";

/** Who is told of a pull, and who can end it. */
export interface RunWatch {
  /** Ends the pull, and what was made but not yet started. */
  signal: AbortSignal;
  /** Hears the pull's events. */
  onEvent?: (event: PullEvent) => void;
}

type Wanted = Pick<RunInput, "config" | "pull" | "credentials">;

/**
 * Makes the container, to be started at once. The image is looked up by making it: on the usual path, with the image present,
 * nothing is asked twice.
 *
 * @throws NyxError of create and pull; not_found with the fix when the image is missing and must not be pulled
 */
export async function prepare(services: Services, wanted: Wanted, watch: RunWatch): Promise<CreateResult> {
  const { config, pull } = wanted;
  if (pull === "always") await pullFor(services, wanted, watch);
  try {
    return await create(services, config, watch);
  } catch (e) {
    if (pull === "always" || !await isImageMissing(services, config.image, e)) throw e;
    if (pull === "never") {
      throw new NyxError(
        "not_found",
        `Cannot run ${config.image}: there is no such image here, and pull is "never"; pull it, or allow pull "missing"`,
        { context: { image: config.image }, cause: e },
      );
    }
  }
  await pullFor(services, wanted, watch);
  return await create(services, config, watch);
}

/** Makes the container, and takes it back when the client left meanwhile: nobody knows of it. */
async function create(services: Services, config: ContainerConfig, { signal }: RunWatch): Promise<CreateResult> {
  const created = await services.containers.create(config, { durable: false });
  if (!signal.aborted) return created;
  await services.containers.remove(created.id, { force: true, volumes: true });
  throw signal.reason;
}

/**
 * Starts what {@linkcode prepare} made. A container that cannot be started stays, for its error to be looked at, unless it
 * is one that removes itself.
 */
export async function startPrepared(
  services: Services,
  created: CreateResult,
  config: ContainerConfig,
  attach?: AttachOptions,
): ReturnType<Services["containers"]["start"]> {
  try {
    return await services.containers.start(created.id, attach);
  } catch (e) {
    if (config.autoRemove === true) {
      // Gone already, when the failed start removed it.
      await services.containers.remove(created.id, { force: true, volumes: true }).catch(() => {});
    }
    throw e;
  }
}

/** Makes and starts. */
export async function runInBackground(services: Services, wanted: Wanted, watch: RunWatch): Promise<RunResult> {
  const created = await prepare(services, wanted, watch);
  const { pid } = await startPrepared(services, created, wanted.config);
  return { ...created, pid };
}

async function pullFor(services: Services, { config, credentials }: Wanted, watch: RunWatch): Promise<void> {
  const options: PullOptions = { ...watch };
  if (config.platform !== undefined) options.platform = config.platform;
  if (credentials !== undefined) options.credentials = credentials;
  await services.images.pull(config.image, options);
}

/** Whether `create` failed for want of its image, rather than of a network or a volume. */
async function isImageMissing(services: Services, image: string, e: unknown): Promise<boolean> {
  const error = toErrorData(e);
  if (error.code !== "not_found") return false;
  if (error.context?.["image"] !== undefined) return true;
  return await services.images.inspect(image).then(() => false, (missing) => toErrorData(missing).code === "not_found");
}
