/** Where a build's context is: a directory, a repository, or standard input. */

import { NyxError } from "../../mod.ts";
import { readNamedFile } from "../read_file.ts";

/** A context that was found. */
export interface Source extends AsyncDisposable {
  /** Missing: there is none, and the Dockerfile is all. */
  directory?: string;
  /** Text of the Dockerfile, when it came by itself. */
  dockerfile?: string;
}

const NOTHING = () => Promise.resolve();
const GIT =
  /^(?:git@|git:\/\/|ssh:\/\/git@|github\.com\/|https?:\/\/[^#]+\.git(?:#|$)|https?:\/\/(?:www\.)?(?:github|gitlab)\.com\/[^/]+\/[^/#]+(?:#|$))/;

/** Whether a context is a repository. */
export function isRepository(context: string): boolean {
  return GIT.test(context);
}

async function run(program: string, args: string[], cwd: string): Promise<void> {
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command(program, { args, cwd, stdin: "null", stdout: "null", stderr: "piped" }).output();
  } catch (cause) {
    throw new NyxError("failed_precondition", `Running ${program} failed: install it (apt-get install ${program})`, {
      cause,
    });
  }
  if (output.success) return;
  const said = new TextDecoder().decode(output.stderr).trim();
  throw new NyxError("invalid_argument", `${program} ${args[0] ?? ""} failed with ${output.code}: ${said}`);
}

/** A repository's files: `URL#REF:DIRECTORY`. */
async function repository(url: string): Promise<Source> {
  const dir = await Deno.makeTempDir({ prefix: "nyx-context-" });
  const dispose = () => Deno.remove(dir, { recursive: true });
  const at = url.indexOf("#");
  const [ref = "", below = ""] = at < 0 ? [] : url.slice(at + 1).split(":");
  const address = (at < 0 ? url : url.slice(0, at)).replace(/^github\.com\//, "https://github.com/");
  if (address.startsWith("-") || ref.startsWith("-")) {
    throw new NyxError("invalid_argument", `${JSON.stringify(url)} is no repository`);
  }
  try {
    await run("git", ["init", "--quiet"], dir);
    await run("git", ["fetch", "--quiet", "--depth=1", "--", address, ref === "" ? "HEAD" : ref], dir);
    await run("git", ["checkout", "--quiet", "FETCH_HEAD"], dir);
    const directory = below === "" ? dir : `${dir}/${below}`;
    const real = await Deno.realPath(directory).catch(() => "");
    if (real !== dir && !real.startsWith(`${dir}/`)) {
      throw new NyxError("invalid_argument", `There is no directory ${JSON.stringify(below)} in ${address}`);
    }
    return { directory: real, [Symbol.asyncDispose]: dispose };
  } catch (e) {
    await dispose();
    throw e;
  }
}

function looksLikeTar(bytes: Uint8Array): boolean {
  const magic = new TextDecoder("latin1").decode(bytes.subarray(257, 262));
  const compressed = bytes[0] === 0x1f && bytes[1] === 0x8b || bytes[0] === 0x28 && bytes[1] === 0xb5 ||
    bytes[0] === 0x42 && bytes[1] === 0x5a && bytes[2] === 0x68 || bytes[0] === 0xfd && bytes[1] === 0x37;
  return magic === "ustar" || compressed;
}

/** Standard input: a tar that is the context, or a Dockerfile. */
async function standardInput(): Promise<Source> {
  if (Deno.stdin.isTerminal()) {
    throw new NyxError("invalid_argument", "Standard input is a terminal: pipe a Dockerfile or a tar archive in");
  }
  const dir = await Deno.makeTempDir({ prefix: "nyx-context-" });
  const dispose = () => Deno.remove(dir, { recursive: true });
  try {
    const path = `${dir}/input`;
    {
      using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
      await Deno.stdin.readable.pipeTo(file.writable, { preventClose: true });
    }
    const head = new Uint8Array(512);
    {
      using file = await Deno.open(path, { read: true });
      await file.read(head);
    }
    if (!looksLikeTar(head)) {
      return { dockerfile: new TextDecoder().decode(await Deno.readFile(path)), [Symbol.asyncDispose]: dispose };
    }
    await Deno.mkdir(`${dir}/context`);
    await run("tar", ["-x", "-f", path, "-C", `${dir}/context`, "--no-same-owner"], dir);
    return { directory: `${dir}/context`, [Symbol.asyncDispose]: dispose };
  } catch (e) {
    await dispose();
    throw e;
  }
}

/** Finds a context. Dispose it after the build. */
export async function findSource(context: string): Promise<Source> {
  if (context === "-") return await standardInput();
  if (isRepository(context)) return await repository(context);
  if (/^https?:\/\//.test(context)) {
    throw new NyxError("unimplemented", `Building from ${JSON.stringify(context)} is not possible: download it first`);
  }
  try {
    if (Deno.statSync(context).isDirectory) return { directory: context, [Symbol.asyncDispose]: NOTHING };
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound ? "there is no such directory" : (cause as Error).message;
    throw new NyxError("invalid_argument", `Reading the build context "${context}" failed: ${reason}`, { cause });
  }
  throw new NyxError("invalid_argument", `The build context "${context}" is no directory`);
}

/** Text of a Dockerfile: as named, else Dockerfile or Containerfile of the context. */
export function readDockerfile(directory: string, named: string | undefined): { text: string; path: string } {
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (named !== undefined) return { text: decode(readNamedFile(named, "the Dockerfile")), path: named };
  for (const name of ["Dockerfile", "Containerfile"]) {
    const path = `${directory}/${name}`;
    try {
      return { text: decode(Deno.readFileSync(path)), path };
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    }
  }
  throw new NyxError("invalid_argument", `There is no Dockerfile in ${directory}; name one with -f`);
}

/** Text of the ignore file that goes with a Dockerfile: its own, else the context's. */
export function readIgnore(directory: string, dockerfile: string | undefined): string {
  for (
    const path of [...(dockerfile === undefined ? [] : [`${dockerfile}.dockerignore`]), `${directory}/.dockerignore`]
  ) {
    try {
      return Deno.readTextFileSync(path);
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound || e instanceof Deno.errors.NotADirectory)) throw e;
    }
  }
  return "";
}
