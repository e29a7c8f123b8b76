/** Files that are replaced durably: after a crash at any point a reader finds the old content or the new, never a part. */

/**
 * Replaces a file: temporary file beside it, fsync, rename, fsync of the directory (rename(2), fsync(2)).
 *
 * @param path file to replace; its directory must exist
 * @param data new content
 * @param options `mode` of the file, default 0600; `durable` false skips both fsyncs, for state that a power cut may take
 */
export async function writeFileAtomic(
  path: string,
  data: Uint8Array | string,
  options: { mode?: number; durable?: boolean } = {},
): Promise<void> {
  const { mode = 0o600, durable = true } = options;
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    const file = await Deno.open(temporary, { write: true, createNew: true, mode });
    try {
      for (let at = 0; at < bytes.byteLength;) at += await file.write(bytes.subarray(at));
      if (durable) await file.sync();
    } finally {
      file.close();
    }
    await Deno.rename(temporary, path);
  } catch (e) {
    await Deno.remove(temporary).catch(() => {});
    throw e;
  }
  if (durable) await syncDirectory(path.slice(0, path.lastIndexOf("/")) || "/");
}

/** fsync of a directory, which makes renames and unlinks in it durable. */
export async function syncDirectory(path: string): Promise<void> {
  const dir = await Deno.open(path, { read: true });
  try {
    await dir.sync();
  } finally {
    dir.close();
  }
}

/** Deletes a file. Missing is no error. */
export async function removeIfPresent(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
}
