/** Spools an image archive to disk: each file under a number, never under a name that the archive chose. */

import { statfs } from "node:fs/promises";
import { NyxError } from "../spec/errors.ts";
import { MAX_DOCUMENT_BYTES } from "./documents.ts";
import type { StoreLimits } from "./state.ts";
import { readTar } from "./tar_reader.ts";

/** A spooled file. */
export interface StagedFile {
  path: string;
  size: number;
}

function refuse(why: string): NyxError {
  return new NyxError("invalid_argument", `Could not load the image archive: ${why}`);
}

/**
 * A member's name without `./`, or the target of a link in the directory of that link.
 *
 * @throws NyxError invalid_argument when it leads out of the archive
 */
export function memberName(name: string, relativeTo = ""): string {
  if (name.startsWith("/")) throw refuse(`member ${JSON.stringify(name)} has an absolute path`);
  const parts = relativeTo === "" ? [] : relativeTo.split("/").slice(0, -1);
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) throw refuse(`member ${JSON.stringify(name)} leads out of the archive`);
  }
  return parts.join("/");
}

/** Bytes of a body that are gathered for one write. */
const WRITE_BYTES = 1024 * 1024;

/** Writes a body in large pieces: a request body comes in many small ones, and each write is a trip to another thread. */
async function writeBody(file: Deno.FsFile, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  const buffer = new Uint8Array(WRITE_BYTES);
  let used = 0;
  const flush = async () => {
    for (let at = 0; at < used;) at += await file.write(buffer.subarray(at, used));
    used = 0;
  };
  for await (const chunk of body) {
    signal.throwIfAborted();
    for (let at = 0; at < chunk.byteLength;) {
      const part = chunk.subarray(at, at + WRITE_BYTES - used);
      buffer.set(part, used);
      used += part.byteLength;
      at += part.byteLength;
      if (used === WRITE_BYTES) await flush();
    }
  }
  await flush();
}

/** The files of one archive. Dispose it to remove what the store did not take over. */
export class ArchiveStage implements AsyncDisposable {
  readonly #dir: string;
  readonly #files = new Map<string, StagedFile>();
  readonly #links = new Map<string, string>();

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * Spools a whole archive.
   *
   * @param stream tar; plain, gzip or zstd
   * @param parentDir where the staging directory is made
   * @throws NyxError invalid_argument for a malformed archive; resource_exhausted beyond the limits or the disk
   */
  static async spool(
    stream: AsyncIterable<Uint8Array>,
    parentDir: string,
    limits: StoreLimits,
    signal: AbortSignal,
  ): Promise<ArchiveStage> {
    const dir = `${parentDir}/${crypto.randomUUID()}`;
    await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
    const stage = new ArchiveStage(dir);
    try {
      await stage.#take(stream, limits, signal);
      return stage;
    } catch (e) {
      await stage[Symbol.asyncDispose]();
      if (signal.aborted) throw signal.reason;
      throw e instanceof Error && /os error 28\b/.test(e.message)
        ? new NyxError("resource_exhausted", "Could not load the image archive: the disk is full", { cause: e })
        : e;
    }
  }

  async #take(stream: AsyncIterable<Uint8Array>, limits: StoreLimits, signal: AbortSignal): Promise<void> {
    let count = 0;
    let bytes = 0;
    for await (const member of readTar(stream)) {
      signal.throwIfAborted();
      if (++count > limits.archiveEntries) throw refuse(`it has more than ${limits.archiveEntries} members`);
      const name = memberName(member.name);
      if (member.type === "symlink") this.#links.set(name, memberName(member.linkName, name));
      else if (member.type === "link") this.#links.set(name, memberName(member.linkName));
      if (member.type !== "file") continue;
      bytes += member.size;
      if (bytes > limits.archiveBytes) {
        throw new NyxError(
          "resource_exhausted",
          `Could not load the image archive: more than ${limits.archiveBytes} bytes`,
        );
      }
      await this.#checkSpace(member.size, limits.minFreeBytes);
      const path = `${this.#dir}/${count}`;
      using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
      await writeBody(file, member.body(), signal);
      this.#links.delete(name);
      this.#files.set(name, { path, size: member.size });
    }
  }

  async #checkSpace(size: number, minFree: number): Promise<void> {
    if (size < 1024 * 1024) return;
    const { bavail, bsize } = await statfs(this.#dir);
    if (bavail * bsize < size + minFree) {
      throw new NyxError(
        "resource_exhausted",
        `Could not load the image archive: a file of ${size} bytes does not fit, ${
          bavail * bsize
        } are free and ${minFree} must stay so`,
      );
    }
  }

  /** A file by its name in the archive; links are followed among the archive's own names. */
  find(name: string): StagedFile | undefined {
    let at = memberName(name);
    for (let hops = 0; hops < 8; hops++) {
      const file = this.#files.get(at);
      if (file !== undefined) return file;
      const next = this.#links.get(at);
      if (next === undefined) return undefined;
      at = next;
    }
    return undefined;
  }

  /** {@linkcode ArchiveStage.find}, but none is an error. */
  require(name: string): StagedFile {
    const file = this.find(name);
    if (file === undefined) throw refuse(`it has no file ${JSON.stringify(name)}`);
    return file;
  }

  /** Content of a document; undefined when there is none of that name. */
  async tryRead(name: string): Promise<Uint8Array | undefined> {
    const file = this.find(name);
    if (file === undefined) return undefined;
    if (file.size > MAX_DOCUMENT_BYTES) {
      throw refuse(`${JSON.stringify(name)} has ${file.size} bytes; documents may have ${MAX_DOCUMENT_BYTES}`);
    }
    return await Deno.readFile(file.path);
  }

  /** {@linkcode ArchiveStage.tryRead}, but none is an error. */
  async read(name: string): Promise<Uint8Array> {
    const bytes = await this.tryRead(name);
    if (bytes === undefined) throw refuse(`it has no file ${JSON.stringify(name)}`);
    return bytes;
  }

  /** Removes the directory with all that is left in it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#dir, { recursive: true }).catch((e) => {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    });
  }
}
