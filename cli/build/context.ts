/** The files that a build gets, as one tar: the context without what .dockerignore leaves out, and further directories. */

import { NyxError } from "../../mod.ts";
import { IgnoreRules } from "./ignore.ts";

/** A directory to send. */
export interface ContextDirectory {
  path: string;
  /** Text of its .dockerignore; without one all is sent. */
  ignore?: string;
}

/** Most files of one context. */
const MAX_FILES = 2_000_000;

/** Paths below a directory that are not left out, directories with a slash at their end. */
export function* walk(root: string, rules: IgnoreRules, below = ""): Generator<string, void, void> {
  const entries = [...Deno.readDirSync(below === "" ? root : `${root}/${below}`)];
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  for (const { name, isDirectory, isFile, isSymlink } of entries) {
    const path = below === "" ? name : `${below}/${name}`;
    const excluded = rules.excludes(path);
    if (isDirectory) {
      if (!excluded) yield `${path}/`;
      if (!excluded || rules.mayHoldExceptions(path)) yield* walk(root, rules, path);
    } else if (!excluded && (isFile || isSymlink)) yield path;
  }
}

function unreadable(path: string, cause: unknown): NyxError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new NyxError("invalid_argument", `Reading the build context "${path}" failed: ${reason}`, { cause });
}

function* names(directories: readonly ContextDirectory[]): Generator<string, void, void> {
  let count = 0;
  for (const [index, { path, ignore }] of directories.entries()) {
    try {
      for (const name of walk(path, new IgnoreRules(ignore ?? ""))) {
        if (++count > MAX_FILES) {
          throw new NyxError(
            "invalid_argument",
            `The build context "${path}" has more than ${MAX_FILES} files; leave some out by .dockerignore`,
          );
        }
        yield `${index}/${name}`;
      }
    } catch (e) {
      throw e instanceof NyxError ? e : unreadable(path, e);
    }
  }
}

async function writeNames(list: WritableStream<Uint8Array>, directories: readonly ContextDirectory[]): Promise<void> {
  const encoder = new TextEncoder();
  const writer = list.getWriter();
  let held = "";
  for (const name of names(directories)) {
    held += `${name}\0`;
    if (held.length < 64 * 1024) continue;
    await writer.write(encoder.encode(held));
    held = "";
  }
  await writer.write(encoder.encode(held));
  await writer.close();
}

/**
 * One tar of all directories, the first below `0/`, the next below `1/` and so on. Owners are root, so that the same files give the same
 * image whoever builds.
 *
 * tar(1) reads the files: it knows hard links, sparse files and names of any length. It is shown the directories under their numbers.
 */
export async function* packContexts(directories: readonly ContextDirectory[]): AsyncGenerator<Uint8Array, void, void> {
  const links = await Deno.makeTempDir({ prefix: "nyx-build-" });
  try {
    for (const [index, { path }] of directories.entries()) {
      await Deno.symlink(
        await Deno.realPath(path).catch((e) => Promise.reject(unreadable(path, e))),
        `${links}/${index}`,
      );
    }
    const child = spawnTar(links);
    const said = new Response(child.stderr).text();
    let failed: { error: unknown } | undefined;
    const listed = writeNames(child.stdin, directories).catch((error) => {
      failed = { error };
      try {
        child.kill("SIGTERM");
      } catch {
        // It has ended, and says why.
      }
    });
    let whole = false;
    try {
      yield* child.stdout;
      whole = true;
    } finally {
      if (!whole) child.kill("SIGTERM");
    }
    await listed;
    const { success, code } = await child.status;
    const message = (await said).trim();
    if (failed !== undefined && failed.error instanceof NyxError) throw failed.error;
    // 1: a file changed while it was read, or went; what was read is whole all the same.
    if (!success && code !== 1) {
      throw new NyxError("invalid_argument", `Packing the build context failed: tar ended with ${code}: ${message}`);
    }
  } finally {
    await Deno.remove(links, { recursive: true });
  }
}

/**
 * Starts tar(1), which writes a tar of the files below a directory whose names it reads, each ended by a zero byte.
 *
 * @param more further options
 */
export function spawnTar(dir: string, more: readonly string[] = []): Deno.ChildProcess {
  const args = ["-c", "-f", "-", "--format=pax", "--owner=0", "--group=0", "--numeric-owner", "--no-recursion"];
  // Access and change times would make the tar another at each build.
  const options = [
    "--pax-option=delete=atime,delete=ctime",
    "--null",
    "--verbatim-files-from",
    ...more,
    "-C",
    dir,
    "-T",
    "-",
  ];
  try {
    return new Deno.Command("tar", { args: [...args, ...options], stdin: "piped", stdout: "piped", stderr: "piped" })
      .spawn();
  } catch (cause) {
    throw new NyxError("failed_precondition", "Running tar failed: install tar, which packs files", {
      cause,
    });
  }
}
