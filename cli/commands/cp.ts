/**
 * `nyx cp`: between a container and this machine, or a tar stream.
 *
 * tar(1) packs and unpacks on this side: it refuses members that leave the directory, and knows sparse files and hard links.
 */

import { type NyxClient, NyxError } from "../../mod.ts";
import { archiveToStdout } from "../archive_output.ts";
import { defineCommand } from "../args/definition.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";

/** One side: a path in a container, or on this machine; `-` is a stream. */
interface Side {
  ref?: string;
  path: string;
}

function side(text: string): Side {
  const at = text.indexOf(":");
  // A colon after a slash or a dot belongs to a path of this machine.
  if (at < 1 || /^[./]/.test(text)) return { path: text };
  const path = text.slice(at + 1);
  return { ref: text.slice(0, at), path: path.startsWith("/") ? path : `/${path}` };
}

function parts(path: string): { parent: string; name: string } {
  const clean = path.replace(/\/+$/, "") || "/";
  const slash = clean.lastIndexOf("/");
  if (slash < 0) return { parent: ".", name: clean };
  return { parent: clean.slice(0, slash) || "/", name: clean.slice(slash + 1) };
}

/** Whether only what is in the directory is meant, as cp(1) says it. */
function meansContents(path: string): boolean {
  return /(^|\/)\.$/.test(path);
}

function wrong(message: string): NyxError {
  return new NyxError("invalid_argument", message);
}

async function lstat(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return undefined;
    throw wrong(`Looking at "${path}" failed: ${e instanceof Error ? e.message : String(e)}`);
  }
}

function tar(args: string[], stdin: "piped" | "null"): Deno.ChildProcess {
  try {
    return new Deno.Command("tar", { args, stdin, stdout: stdin === "piped" ? "null" : "piped", stderr: "piped" })
      .spawn();
  } catch (cause) {
    throw new NyxError("failed_precondition", "Running tar failed: install tar, or copy a stream with -", { cause });
  }
}

async function finish(child: Deno.ChildProcess, said: Promise<string>, what: string): Promise<void> {
  const { success, code } = await child.status;
  const message = (await said).trim();
  if (!success) throw new NyxError("internal", `Could not ${what}: tar ended with ${code}: ${message}`);
}

async function unpack(dir: string, source: AsyncIterable<Uint8Array>, archive: boolean): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  // A refused request leaves nothing behind: tar starts with the first byte.
  let next = await iterator.next();
  const owner = archive ? ["--same-owner", "--numeric-owner"] : ["--no-same-owner"];
  const child = tar(["-x", "-p", "-f", "-", ...owner, "-C", dir], "piped");
  const said = new Response(child.stderr).text();
  const writer = child.stdin.getWriter();
  try {
    for (; next.done !== true; next = await iterator.next()) await writer.write(new Uint8Array(next.value));
    await writer.close();
  } catch (e) {
    await writer.abort().catch(() => {});
    if (e instanceof NyxError) {
      await Promise.all([child.status, said]);
      throw e;
    }
  }
  await finish(child, said, `unpack into "${dir}"`);
}

async function copyOut(client: NyxClient, from: Required<Side>, to: string, flags: CopyFlags): Promise<void> {
  const { follow, archive } = flags;
  const contents = meansContents(from.path);
  const found = await client.containers.statPath(from.ref, from.path);
  const isDir = found.kind === "dir" || ((follow || contents) && found.target_is_dir);
  const there = await lstat(to);
  const read = (name?: string) =>
    client.containers.readArchive(from.ref, from.path, {
      follow,
      contents,
      ...(name === undefined ? {} : { name }),
    });
  if (there?.isDirectory === true) return await unpack(to, read(), archive);
  if (there !== undefined && isDir) throw wrong(`Could not copy a directory over the file "${to}"`);
  if (there === undefined && to.endsWith("/") && !isDir) throw wrong(`There is no directory "${to}"; make it first`);
  if (contents) {
    await Deno.mkdir(to);
    return await unpack(to, read(), archive);
  }
  const { parent, name } = parts(to);
  await unpack(parent, read(name), archive);
}

async function* pack(from: string, flags: CopyFlags): AsyncGenerator<Uint8Array, void, void> {
  const contents = meansContents(from);
  const { parent, name } = parts(from);
  const dir = contents ? from : parent;
  const what = contents ? "." : `./${name}`;
  const owner = flags.archive ? ["--numeric-owner"] : ["--owner=0", "--group=0", "--numeric-owner"];
  const links = flags.follow ? ["-h"] : [];
  const child = tar(["-c", "-f", "-", "--format=pax", ...owner, ...links, "-C", dir, "--", what], "null");
  const said = new Response(child.stderr).text();
  yield* child.stdout;
  await finish(child, said, `pack "${from}"`);
}

async function copyIn(client: NyxClient, from: string, to: Required<Side>, flags: CopyFlags): Promise<void> {
  const { containers } = client;
  const source = flags.follow ? await lstat(from) : await Deno.lstat(from).catch(() => undefined);
  if (source === undefined) throw wrong(`There is no "${from}"`);
  const contents = meansContents(from);
  const target = await containers.statPath(to.ref, to.path).catch((e) => {
    if (e instanceof NyxError && e.code === "not_found" && !/no such|unknown container/i.test(e.message)) {
      return undefined;
    }
    throw e;
  });
  if (target?.target_is_dir === true) {
    await containers.writeArchive(to.ref, to.path, pack(from, flags));
    return;
  }
  if (target !== undefined && source.isDirectory) throw wrong(`Could not copy a directory over the file "${to.path}"`);
  const { parent, name } = parts(to.path);
  if (target === undefined && to.path.endsWith("/") && !source.isDirectory) {
    throw wrong(`There is no directory "${to.path}" in the container; make it first`);
  }
  // A directory that is not there yet takes the place of the source's own name.
  const packed = contents ? pack(from.replace(/\/?\.$/, "") || ".", flags) : pack(from, flags);
  await containers.writeArchive(to.ref, parent, packed, { name });
}

interface CopyFlags {
  follow: boolean;
  archive: boolean;
}

async function copyStream(context: Context, client: NyxClient, from: Side, to: Side, follow: boolean): Promise<void> {
  if (from.ref !== undefined) {
    const options = { follow, contents: meansContents(from.path) };
    return await archiveToStdout(context, client.containers.readArchive(from.ref, from.path, options));
  }
  await client.containers.writeArchive(to.ref ?? "", to.path, Deno.stdin.readable);
}

/** `nyx cp`. */
export const command = defineCommand({
  summary: "Copy files between a container and this machine",
  flags: {
    archive: { type: "bool", short: "a", help: "Keep user and group ids" },
    "follow-link": { type: "bool", short: "L", help: "Follow a symbolic link that is the source" },
    quiet: { type: "bool", short: "q", help: "Accepted for Docker's sake: nothing is printed" },
  },
  operands: [{ name: "CONTAINER:PATH|PATH|-", complete: "containers" }, { name: "CONTAINER:PATH|PATH|-" }],
  notes: "One side names a container.\nA source that ends in /. means what is in it; - is a tar stream.\nRunning " +
    "containers are seen with their volumes.",
  async run(context, flags, [source = "", target = ""]) {
    const from = side(source);
    const to = side(target);
    if ((from.ref === undefined) === (to.ref === undefined)) {
      throw wrong("Exactly one side must be in a container: write it CONTAINER:PATH");
    }
    const options = { follow: flags["follow-link"] === true, archive: flags.archive === true };
    const client = await context.client();
    if (from.path === "-" || to.path === "-") await copyStream(context, client, from, to, options.follow);
    else if (from.ref !== undefined) await copyOut(client, { ref: from.ref, path: from.path }, to.path, options);
    else await copyIn(client, from.path, { ref: to.ref ?? "", path: to.path }, options);
    return EXIT.ok;
  },
});
