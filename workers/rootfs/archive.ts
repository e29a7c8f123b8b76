/**
 * Files in and out of a container as tar streams.
 *
 * A running container is reached through /proc/<pid>/root, so that volumes and tmpfs are seen as it sees them; a stopped one
 * through its mounted root. Whatever the path, and whatever the container does to it meanwhile, the kernel resolves it with
 * that root as `/` (openat2 RESOLVE_IN_ROOT, no magic links): a link swapped in at any moment leads to another place in the
 * same container at worst. Each member that is written is resolved anew, made under a name of its own with O_EXCL and
 * O_NOFOLLOW, and never opens a file that was there before.
 */

import { createHash } from "node:crypto";
import { NyxError } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import { AT_FDCWD, type FileKernel, O, OwnedFd, S, writeAll } from "../../ffi/file.ts";
import { ByteReceiver, ByteSender } from "../channel.ts";
import { fromBytes, toPath } from "../extract/byte_string.ts";
import { LayerWriter } from "../extract/layer_writer.ts";
import { cleanName } from "../extract/name.ts";
import type { TarEntry, TarSink } from "../extract/tar/entry.ts";
import { TarReader } from "../extract/tar/reader.ts";
import type { RootfsStage } from "../protocol.ts";
import { openInRoot } from "./in_root.ts";
import { overlayPaths } from "./paths.ts";
import { Slice } from "./slice.ts";
import { isKernelFilesystem, TarOut } from "./tar_out.ts";

type Ops = RootfsStage["ops"];
type Root = Ops["pathStat"]["request"]["root"];

const READ_DIR = O.RDONLY | O.DIRECTORY | O.CLOEXEC;
/** Bounds on what one upload may bring: those of a layer. */
const WRITE_LIMITS = { maxBytes: 2 ** 50, maxEntries: 1_000_000 };

function openRoot(kernel: FileKernel, root: Root): OwnedFd {
  const path = root.kind === "process" ? `/proc/${root.pid}/root` : root.path;
  const fd = new OwnedFd(kernel, kernel.openat(AT_FDCWD, path, O.PATH | O.DIRECTORY | O.CLOEXEC));
  if (root.kind === "dir" || !isHostRoot(kernel, fd.fd)) return fd;
  fd[Symbol.dispose]();
  throw new NyxError(
    "failed_precondition",
    "Could not reach the container's files: it has just ended, and its pid is another process's; try again",
    { retryable: true, context: { pid: root.pid } },
  );
}

/** A container can choose when it ends, and make many processes before: its pid may be one of the host's a moment later. */
function isHostRoot(kernel: FileKernel, fd: number): boolean {
  const [host, found] = [kernel.statx(AT_FDCWD, "/", 0), kernel.fstat(fd)];
  return host.ino === found.ino && host.devMajor === found.devMajor && host.devMinor === found.devMinor;
}

function missing(path: string, cause: unknown): NyxError {
  return new NyxError("not_found", `There is no ${JSON.stringify(path)} in the container`, {
    cause,
    context: { path },
  });
}

/** Opens a path of the root; a final link is followed inside the root, unless `nofollow`. */
function find(kernel: FileKernel, rootFd: number, path: string, nofollow: boolean): OwnedFd {
  try {
    const fd = openInRoot(kernel, rootFd, path, O.PATH | (nofollow ? O.NOFOLLOW : 0));
    if (!isKernelFilesystem(kernel, fd.fd)) return fd;
    fd[Symbol.dispose]();
    throw new NyxError("failed_precondition", `Could not copy ${JSON.stringify(path)}: it is the kernel's, not a file`);
  } catch (e) {
    if (isErrno(e, "ENOENT", "ENOTDIR", "ELOOP")) throw missing(path, e);
    throw e;
  }
}

/** Last name of a path; the root is `/`. */
function baseName(path: string): string {
  return path.split("/").filter((p) => p !== "" && p !== ".").at(-1) ?? "/";
}

/** What a path of a container is; a final link is not followed. */
export function pathStat(kernel: FileKernel, { root, path }: Ops["pathStat"]["request"]): Ops["pathStat"]["result"] {
  using rootFd = openRoot(kernel, root);
  using found = find(kernel, rootFd.fd, path, true);
  const stat = kernel.fstat(found.fd);
  const type = stat.mode & S.IFMT;
  const link = type === S.IFLNK ? new TextDecoder().decode(kernel.readlinkat(found.fd, "")) : undefined;
  let targetIsDir = type === S.IFDIR;
  if (link !== undefined) {
    try {
      using target = find(kernel, rootFd.fd, path, false);
      targetIsDir = (kernel.fstat(target.fd).mode & S.IFMT) === S.IFDIR;
    } catch (e) {
      if (!(e instanceof NyxError)) throw e;
    }
  }
  return {
    name: baseName(path),
    kind: type === S.IFDIR ? "dir" : type === S.IFREG ? "file" : type === S.IFLNK ? "link" : "other",
    size: Number(stat.size),
    mode: stat.mode & 0o7777,
    mtime: new Date(Number(stat.mtime.sec) * 1000).toISOString(),
    ...(link === undefined ? {} : { linkTarget: link }),
    targetIsDir,
  };
}

/** Sends a path as tar: under its own name, or with `contents` what is in it. */
export async function archive(
  kernel: FileKernel,
  request: Ops["archive"]["request"],
  signal?: AbortSignal,
): Promise<Ops["archive"]["result"]> {
  const { root, path, port, contents, follow } = request;
  const sender = new ByteSender(port);
  try {
    using rootFd = openRoot(kernel, root);
    using found = find(kernel, rootFd.fd, path, !follow && !contents);
    const out = new TarOut(kernel, (b) => sender.send(b), signal === undefined ? {} : { signal });
    const type = kernel.fstat(found.fd).mode & S.IFMT;
    if (type === S.IFDIR) {
      using dir = new OwnedFd(kernel, kernel.openat(found.fd, ".", READ_DIR));
      const name = byteString(request.name ?? baseName(path));
      if (contents || name === "/") await out.contents(dir.fd, "");
      else await out.directory(dir.fd, name);
    } else if (contents) {
      throw new NyxError("invalid_argument", `Could not copy what is in ${JSON.stringify(path)}: it is no directory`);
    } else if (type === S.IFREG) {
      using file = reopen(kernel, found.fd);
      await out.file(file.fd, byteString(request.name ?? baseName(path)));
    } else {
      using parent = find(kernel, rootFd.fd, parentOf(path), false);
      const name = toPath(byteString(baseName(path)));
      await out.member(parent.fd, name, byteString(request.name ?? baseName(path)));
    }
    await out.end();
    sender.end();
    return { entries: out.entries, bytes: out.bytes };
  } catch (e) {
    sender.fail(e);
    throw e;
  }
}

function byteString(text: string): string {
  return fromBytes(new TextEncoder().encode(text));
}

function parentOf(path: string): string {
  return `/${path.split("/").filter((p) => p !== "" && p !== ".").slice(0, -1).join("/")}`;
}

/** The very file behind an O_PATH descriptor, for reading. */
function reopen(kernel: FileKernel, fd: number): OwnedFd {
  return new OwnedFd(kernel, kernel.openat(AT_FDCWD, `/proc/self/fd/${fd}`, O.RDONLY | O.CLOEXEC | O.NOCTTY));
}

/** Puts members below a directory of the container. */
class Below implements TarSink {
  constructor(readonly writer: LayerWriter, readonly prefix: string, readonly first: string | undefined) {}

  begin(entry: TarEntry): void {
    const name = cleanName(entry.name);
    if (name === "") return;
    const linkName = entry.type === "link" ? this.#below(cleanName(entry.linkName, entry.name)) : entry.linkName;
    this.writer.begin({ ...entry, name: this.#below(name), linkName });
  }

  #below(name: string): string {
    if (this.first === undefined) return `${this.prefix}/${name}`;
    const slash = name.indexOf("/");
    return `${this.prefix}/${this.first}${slash < 0 ? "" : name.slice(slash)}`;
  }

  data(bytes: Uint8Array<ArrayBuffer>): void {
    this.writer.data(bytes);
  }

  end(): void {
    this.writer.end();
  }
}

/** Unpacks a tar into a directory of the container. */
export async function unarchive(
  kernel: FileKernel,
  request: Ops["unarchive"]["request"],
  signal?: AbortSignal,
): Promise<Ops["unarchive"]["result"]> {
  const receiver = new ByteReceiver(request.port);
  try {
    using rootFd = openRoot(kernel, request.root);
    using target = find(kernel, rootFd.fd, request.path, false);
    if ((kernel.fstat(target.fd).mode & S.IFMT) !== S.IFDIR) {
      throw new NyxError(
        "failed_precondition",
        `Could not copy into ${JSON.stringify(request.path)}: it is no directory`,
        { context: { path: request.path } },
      );
    }
    using writable = new OwnedFd(kernel, kernel.openat(rootFd.fd, ".", READ_DIR));
    using writer = new LayerWriter(kernel, writable.fd, { ...WRITE_LIMITS, plain: true });
    const reader = new TarReader(
      new Below(
        writer,
        byteString(request.path),
        request.name === undefined ? undefined : byteString(request.name),
      ),
    );
    const slice = new Slice();
    for await (const chunk of receiver) {
      reader.push(chunk);
      if (slice.due) await slice.pause(signal);
    }
    reader.finish();
    for (const step = writer.finish(); step.next().done !== true;) if (slice.due) await slice.pause(signal);
    return { entries: reader.entries };
  } catch (e) {
    receiver.cancel(e);
    throw e;
  }
}

/** Writes the container's own layer as tar into a file, for an image. */
export async function layerTar(
  kernel: FileKernel,
  { id, baseDir, file }: Ops["layerTar"]["request"],
  signal?: AbortSignal,
): Promise<Ops["layerTar"]["result"]> {
  const hash = createHash("sha256");
  using out = new OwnedFd(
    kernel,
    kernel.openat(AT_FDCWD, file, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW | O.CLOEXEC, 0o600),
  );
  const write = (bytes: Uint8Array<ArrayBuffer>) => {
    hash.update(bytes);
    writeAll(kernel, out.fd, bytes);
    return Promise.resolve();
  };
  const tar = new TarOut(kernel, write, { layer: true, ...(signal === undefined ? {} : { signal }) });
  try {
    using upper = new OwnedFd(kernel, kernel.openat(AT_FDCWD, overlayPaths(baseDir, id).upper, READ_DIR));
    await tar.contents(upper.fd, "");
  } catch (e) {
    // A container that never ran has no layer of its own.
    if (!isErrno(e, "ENOENT")) throw e;
  }
  await tar.end();
  kernel.fsync(out.fd);
  return { digest: `sha256:${hash.digest("hex")}`, size: tar.bytes };
}
