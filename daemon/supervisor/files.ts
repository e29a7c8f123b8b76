/** Files of a container from outside: copied in and out, exported, made into a layer. */

import { NyxError } from "../spec/errors.ts";
import type { PathStat } from "../spec/api.ts";
import { sendBody } from "../../workers/channel.ts";
import type { RootLocation } from "../../workers/protocol.ts";
import { following, outputChannel } from "./attachments.ts";
import { untilAvailable } from "./available.ts";
import type { Container } from "./container.ts";
import type { SupervisorDeps } from "./deps.ts";

/** What to read. */
export interface ReadOptions {
  path: string;
  /** Only what is in the directory. */
  contents: boolean;
  /** Follow a final link. */
  follow: boolean;
  /** In place of the path's last name. */
  name?: string;
}

/** A place in a container, held until it is disposed. */
interface Place extends AsyncDisposable {
  root: RootLocation;
  /** Path below that root. */
  path: string;
}

/** Mounts the root of a container that does not run, for as long as it is needed. */
async function holdRoot(container: Container, deps: SupervisorDeps): Promise<{ rootfs: string } & AsyncDisposable> {
  const { id, record } = container;
  const { rootfs } = await container.mailbox.run(() =>
    untilAvailable(() =>
      deps.stages.rootfs.call("mount", {
        id,
        baseDir: deps.baseDir,
        layers: record.image.layers,
        volatile: false,
        ensureDirs: [],
        readFiles: [],
      })
    )
  );
  const release = () =>
    container.mailbox.run(async () => {
      // Somebody may have started it meanwhile; then it is that run's mount.
      if (container.live || !["created", "exited", "restarting"].includes(container.status)) return;
      await deps.stages.rootfs.call("unmount", { id, baseDir: deps.baseDir, removeDirs: false });
    });
  return { rootfs, [Symbol.asyncDispose]: release };
}

/** The volume or bind mount of a stopped container that a path lies in. */
function mountOf(container: Container, path: string): { source: string; rest: string } | undefined {
  const clean = `/${path.split("/").filter((p) => p !== "" && p !== ".").join("/")}`;
  if (clean.split("/").includes("..")) return undefined;
  const found = container.record.mounts
    .filter((m) => m.type !== "tmpfs" && (clean === m.target || clean.startsWith(`${m.target}/`)))
    .sort((a, b) => b.target.length - a.target.length)[0];
  return found === undefined ? undefined : { source: found.source, rest: `/${clean.slice(found.target.length)}` };
}

/**
 * Where a path is found. A running container is looked at as its own processes see it, volumes and tmpfs included; of one
 * that does not run, a path in a volume leads into the volume.
 */
async function locate(container: Container, deps: SupervisorDeps, path: string): Promise<Place> {
  if (!path.startsWith("/") || path.includes("\0")) {
    throw new NyxError("invalid_argument", `Could not use path ${JSON.stringify(path)}: give an absolute path`);
  }
  const { pid } = container.record.state;
  if (container.live && pid > 0) {
    return { root: { kind: "process", pid }, path, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const volume = mountOf(container, path);
  if (volume !== undefined) {
    const root = { kind: "dir" as const, path: volume.source };
    return { root, path: volume.rest, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const held = await holdRoot(container, deps);
  return { root: { kind: "dir", path: held.rootfs }, path, [Symbol.asyncDispose]: () => held[Symbol.asyncDispose]() };
}

/** What a path is. */
export async function statPath(container: Container, deps: SupervisorDeps, path: string): Promise<PathStat> {
  await using place = await locate(container, deps, path);
  const { root } = place;
  const found = await deps.stages.rootfs.call("pathStat", { root, path: place.path });
  const { targetIsDir, linkTarget, ...rest } = found;
  return { ...rest, target_is_dir: targetIsDir, ...(linkTarget === undefined ? {} : { link_target: linkTarget }) };
}

/** A path as tar. The place is held until the archive was read, or left. */
export async function* readArchive(
  container: Container,
  deps: SupervisorDeps,
  options: ReadOptions,
): AsyncGenerator<Uint8Array, void, void> {
  await using place = await locate(container, deps, options.path);
  yield* send(deps, place, options);
}

async function* send(
  deps: SupervisorDeps,
  place: { root: RootLocation; path: string },
  { contents, follow, name }: Omit<ReadOptions, "path">,
): AsyncGenerator<Uint8Array, void, void> {
  const channel = outputChannel();
  const { root, path } = place;
  const operation = deps.stages.rootfs.call("archive", {
    root,
    path,
    contents,
    follow,
    port: channel.port,
    ...(name === undefined ? {} : { name }),
  }, {
    transfer: [channel.port],
  });
  yield* following(channel, operation);
  await operation;
}

/** Unpacks a tar into a directory of the container. */
export async function writeArchive(
  container: Container,
  deps: SupervisorDeps,
  target: { path: string; name?: string },
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<{ entries: number }> {
  const { path, name } = target;
  if (container.record.spec.readOnly === true && !container.live && mountOf(container, path) === undefined) {
    throw new NyxError(
      "failed_precondition",
      `Could not copy into container "${container.name}": its root file system is read-only`,
    );
  }
  await using place = await locate(container, deps, path);
  const { port1, port2 } = new MessageChannel();
  const { root } = place;
  const operation = deps.stages.rootfs.call("unarchive", {
    root,
    path: place.path,
    port: port1,
    ...(name === undefined ? {} : { name }),
  }, {
    transfer: [port1],
    signal,
  });
  return { entries: (await sendBody(port2, body, operation)).entries };
}

/** The whole root without volumes, as the image and the container made it. */
export async function* exportRoot(container: Container, deps: SupervisorDeps): AsyncGenerator<Uint8Array, void, void> {
  const path = "/";
  if (container.live) {
    yield* send(deps, { root: { kind: "dir", path: container.record.rootFS }, path }, {
      contents: true,
      follow: false,
    });
    return;
  }
  await using held = await holdRoot(container, deps);
  yield* send(deps, { root: { kind: "dir", path: held.rootfs }, path }, { contents: true, follow: false });
}
