/**
 * The project that a command line means: finds its compose files, and sends the contents of what they name. The daemon says what
 * that is, and reads nothing itself, so that nobody gets it to read what he may not.
 */

import {
  type ComposeBuildSpec,
  type ComposeContent,
  type ComposeDiagnostic,
  type ComposeSource,
  NyxError,
  type RegistryCredentials,
} from "../../mod.ts";
import { findComposeFiles, splitComposeFile } from "../../daemon/spec/compose.ts";
import type { Context } from "../context.ts";
import { credentialsFor, showWarnings } from "../run_request.ts";
import type { ProjectFlags } from "./flags.ts";

/** Most rounds in which the daemon may ask for more: includes that include others. */
const MAX_ROUNDS = 50;
/** Name under which standard input is sent. */
const STDIN_NAME = "compose.yaml";

function absolute(path: string, base: string): string {
  const joined = path.startsWith("/") ? path : `${base}/${path}`;
  const parts: string[] = [];
  for (const part of joined.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function toContent(path: string, bytes: Uint8Array): ComposeContent {
  try {
    return { path, content: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { path, base64: (bytes as Uint8Array & { toBase64(): string }).toBase64() };
  }
}

function read(path: string, cause: string): ComposeContent {
  try {
    return toContent(path, Deno.readFileSync(path));
  } catch (e) {
    if (e instanceof Deno.errors.NotFound || e instanceof Deno.errors.NotADirectory) return { path, missing: true };
    const reason = e instanceof Error ? e.message : String(e);
    throw new NyxError("invalid_argument", `Could not read ${path}, ${cause}: ${reason}`, { cause: e });
  }
}

/** Compose files of a directory or, when it has none, of the nearest one above. */
function discover(directory: string): string[] {
  for (let at = directory;; at = at.slice(0, at.lastIndexOf("/"))) {
    const found = findComposeFiles((name) => exists(`${at}/${name}`));
    if (found.length > 0) return found.map((name) => `${at}/${name}`);
    if (at === "" || at === "/") return [];
  }
}

/** COMPOSE_FILE of the environment, or of .env beside the user. */
function composeFileVariable(context: Context, cwd: string): string | undefined {
  const given = context.env("COMPOSE_FILE");
  if (given !== undefined && given !== "") return given;
  const env = read(`${cwd}/.env`, "which may set COMPOSE_FILE");
  const value = /^\s*(?:export\s+)?COMPOSE_FILE\s*=\s*(.*?)\s*$/m.exec(env.content ?? "")?.[1];
  return value?.replace(/^(["'])(.*)\1$/, "$2");
}

async function readStdin(): Promise<Uint8Array> {
  return new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer());
}

/** A project with what the daemon asked for. */
export type AskedSource = ComposeSource & {
  credentials?: Record<string, RegistryCredentials>;
  built?: string[];
};

/** A project as the command line names it. */
export class Project {
  readonly #context: Context;
  readonly #source: ComposeSource;
  readonly #contents = new Map<string, ComposeContent>();
  readonly #built: string[] = [];
  /** False: images that are to be built are an error. */
  mayBuild = true;
  #credentials: Record<string, RegistryCredentials> | undefined;

  private constructor(context: Context, source: ComposeSource) {
    this.#context = context;
    this.#source = source;
  }

  /**
   * Finds the files.
   *
   * @param needsFiles false: `-p NAME` alone, or COMPOSE_PROJECT_NAME, is enough where no file is found
   * @throws NyxError invalid_argument when there is no file
   */
  static async find(context: Context, flags: ProjectFlags, needsFiles: boolean): Promise<Project> {
    const cwd = Deno.cwd();
    const given = flags["project-directory"];
    const directory = given === undefined ? undefined : absolute(given, cwd);
    const named = flags.file.length > 0 ? flags.file : splitComposeFile(
      composeFileVariable(context, cwd) ?? "",
      context.env("COMPOSE_PATH_SEPARATOR") ?? ":",
    );
    const files = await Promise.all(named.map(async (path) => {
      if (path === "-") return toContent(`${directory ?? cwd}/${STDIN_NAME}`, await readStdin());
      const found = read(absolute(path, cwd), "which was named as a compose file");
      if (found.missing !== true) return found;
      throw new NyxError("invalid_argument", `Could not find compose file ${path}: there is no such file`);
    }));
    if (named.length === 0) files.push(...discover(directory ?? cwd).map((path) => read(path, "a compose file")));
    const name = flags["project-name"] ?? (context.env("COMPOSE_PROJECT_NAME") || undefined);
    const projectName = flags["project-name"] === undefined ? {} : { project: flags["project-name"] };
    if (files.length === 0) {
      if (!needsFiles && name !== undefined) return new Project(context, { project: name });
      throw new NyxError(
        "invalid_argument",
        `Could not find a compose file in ${directory ?? cwd} or above it; name one with -f${
          needsFiles ? "" : ", or a project that runs with -p"
        }`,
      );
    }
    const envFiles = flags["env-file"].length > 0
      ? flags["env-file"]
      : splitComposeFile(context.env("COMPOSE_ENV_FILES") ?? "", ",");
    return new Project(context, {
      ...projectName,
      files,
      ask: true,
      env: Deno.env.toObject(),
      profiles: flags.profile,
      ...(envFiles.length === 0 ? {} : { env_files: envFiles.map((path) => absolute(path, cwd)) }),
      ...(directory === undefined ? {} : { project_directory: directory }),
    });
  }

  /** Paths of the compose files. */
  get files(): string[] {
    return (this.#source.files ?? []).map((file) => file.path);
  }

  /**
   * Makes a request about the project, as often as the daemon asks for more.
   *
   * @param call sends the request; gets the source, and the credentials if the daemon asked for any
   */
  async request<T>(
    call: (source: AskedSource) => Promise<T>,
  ): Promise<T> {
    for (let round = 0;; round++) {
      const contents = [...this.#contents.values()];
      const credentials = this.#credentials === undefined ? {} : { credentials: this.#credentials };
      try {
        return await call({
          ...this.#source,
          ...(contents.length === 0 ? {} : { contents }),
          ...credentials,
          ...this.built,
        });
      } catch (e) {
        if (round >= MAX_ROUNDS || !(e instanceof NyxError) || e.details.op !== "compose.ask") throw e;
        await this.#bring(e.details.context ?? {});
      }
    }
  }

  /** Services whose images were built for this request. */
  get built(): { built?: string[] } {
    return this.#built.length === 0 ? {} : { built: this.#built };
  }

  /** Gets what the daemon asked for. */
  async #bring(asked: Record<string, string | number | boolean>): Promise<void> {
    const list = (key: string): string[] => typeof asked[key] === "string" ? JSON.parse(asked[key]) : [];
    for (const path of list("wanted")) this.#contents.set(path, read(path, "which a compose file names"));
    if (typeof asked["builds"] === "string") await this.#build(JSON.parse(asked["builds"]));
    const images = list("images");
    if (images.length === 0) return;
    const found = await Promise.all(images.map(async (ref) => [ref, await credentialsFor(ref)] as const));
    this.#credentials = Object.fromEntries(found.flatMap(([ref, c]) => c === undefined ? [] : [[ref, c]]));
  }

  async #build(specs: ComposeBuildSpec[]): Promise<void> {
    if (!this.mayBuild) {
      const list = specs.map((s) => `${s.service} (${s.image})`).join(", ");
      throw new NyxError("failed_precondition", `Images are to be built, and --no-build was given: ${list}`);
    }
    const { buildAll } = await import("./build.ts");
    await buildAll(this.#context, specs);
    this.#built.push(...specs.map((s) => s.service));
  }

  /** What the files say that should be known, on standard error. */
  warn(messages: readonly string[]): void {
    showWarnings(this.#context, messages);
  }

  /**
   * The warnings among what was found in the files.
   *
   * @param placed with file, line and column
   */
  warnOf(diagnostics: readonly ComposeDiagnostic[], placed = false): void {
    this.warn(
      diagnostics.filter((d) => d.severity === "warning").map((d) =>
        `${!placed || d.file === undefined ? "" : `${d.file}:${d.line}:${d.column}: `}${d.path}: ${d.message}`
      ),
    );
  }
}
