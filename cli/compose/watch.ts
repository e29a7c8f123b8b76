/**
 * `develop.watch`: this side watches the caller's files, and sends what changes through the API. The daemon reads none of them.
 */

import { NyxError } from "../../mod.ts";
import { toNyxError } from "../../daemon/spec/errors.ts";
import type { ComposeModel } from "../../daemon/spec/compose.ts";
import { IgnoreRules } from "../build/ignore.ts";
import { spawnTar, walk } from "../build/context.ts";
import type { Context } from "../context.ts";
import { escapeControls } from "../render/escape.ts";
import { FileChanges } from "./changes.ts";
import { membersOf } from "./members.ts";
import { progressWriter } from "./progress.ts";
import type { Project } from "./source.ts";
import { type WatchRule, watchRules, type WatchWork, workOf } from "./watch_rules.ts";

function tryRead(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined;
  }
}

function kindOf(path: string): "file" | "dir" | undefined {
  try {
    return Deno.lstatSync(path).isDirectory ? "dir" : "file";
  } catch {
    return undefined;
  }
}

/** Watches the files of a project. */
export class ProjectWatch {
  readonly #context: Context;
  readonly #project: Project;
  readonly #fresh: () => Promise<Project>;
  readonly #rules: WatchRule[];

  private constructor(context: Context, project: Project, fresh: () => Promise<Project>, rules: WatchRule[]) {
    this.#context = context;
    this.#project = project;
    this.#fresh = fresh;
    this.#rules = rules;
  }

  /**
   * Reads the rules.
   *
   * @param fresh finds the project anew, for builds: what was built once is built again
   * @returns undefined when no service has any
   */
  static async of(
    context: Context,
    project: Project,
    fresh: () => Promise<Project>,
    services: readonly string[],
  ): Promise<ProjectWatch | undefined> {
    const client = await context.client();
    const { text } = await project.request((source) => client.compose.config({ ...source, format: "json" }));
    const rules = watchRules(JSON.parse(text) as ComposeModel, services, tryRead);
    for (const { service, action, target, path } of rules) {
      if (action.startsWith("sync") && target === undefined) {
        throw new NyxError("invalid_argument", `Could not watch ${path} for ${service}: ${action} needs a target`);
      }
      if (kindOf(path) === undefined) {
        throw new NyxError("invalid_argument", `Could not watch ${path} for ${service}: there is no such path`);
      }
    }
    return rules.length === 0 ? undefined : new ProjectWatch(context, project, fresh, rules);
  }

  /** Watches until the signal aborts. A change that cannot be carried over is told, and the watch goes on. */
  async run(signal: AbortSignal): Promise<void> {
    const changes = new FileChanges(this.#rules.map((rule) => rule.path), signal);
    const services = [...new Set(this.#rules.map((r) => r.service))].join(", ");
    this.#say(`Watching files of ${services}`);
    const initial = this.#rules.filter((r) => r.initialSync && r.action.startsWith("sync"));
    for (const rule of initial) await this.#attempt(() => this.#sync(rule, [""]));
    for await (const paths of changes) {
      for (const work of workOf(this.#rules, paths)) await this.#attempt(() => this.#do(work));
    }
  }

  async #attempt(job: () => Promise<void>): Promise<void> {
    try {
      await job();
    } catch (e) {
      // Such as a file that went while it was looked at.
      const { message } = toNyxError(e);
      this.#context.err.text(`${this.#context.paintErr.yellow("nyx: warning:")} ${escapeControls(message)}\n`);
    }
  }

  #say(text: string): void {
    this.#context.err.text(` ${this.#context.paintErr.cyan("⟳")} ${escapeControls(text)}\n`);
  }

  async #do(work: WatchWork): Promise<void> {
    const { service } = work;
    const client = await this.#context.client();
    if (work.rebuild) {
      this.#say(`Rebuilding ${service}`);
      const options = { services: [service], no_deps: true, build: true };
      const onEvent = progressWriter(this.#context);
      const project = await this.#fresh();
      await project.request((source) => client.compose.up({ ...source, ...options }, { onEvent }));
      return;
    }
    for (const { rule, relative } of work.sync) await this.#sync(rule, relative);
    for (const hook of work.exec) await this.#exec(service, hook);
    if (!work.restart) return;
    this.#say(`Restarting ${service}`);
    await this.#project.request((source) =>
      client.compose.act("restart", { ...source, services: [service], no_deps: true })
    );
  }

  async #running(service: string): Promise<string[]> {
    const { containers } = await membersOf(this.#context, this.#project, [service]);
    return containers.filter((c) => c.status === "running").map((c) => c.id);
  }

  /** Brings paths below a rule's to what they are on this side: contents, or gone. */
  async #sync(rule: WatchRule, relative: readonly string[]): Promise<void> {
    const at = (path: string) => path === "" ? rule.path : `${rule.path}/${path}`;
    const gone = relative.filter((path) => kindOf(at(path)) === undefined);
    const present = new Set<string>();
    for (const path of relative) {
      const kind = kindOf(at(path));
      if (kind === "file") present.add(path);
      // What was made in a new directory before it was watched.
      if (kind === "dir") {
        for (const name of walk(rule.path, new IgnoreRules(""), path)) {
          if (rule.covers(name.replace(/\/$/, ""))) present.add(name);
        }
      }
    }
    if (present.size + gone.length === 0) return;
    const containers = await this.#running(rule.service);
    const client = await this.#context.client();
    for (const id of containers) {
      if (present.size > 0) await client.containers.writeArchive(id, "/", pack(rule, [...present]));
      if (gone.length > 0) await this.#remove(id, gone.map((path) => inside(rule, path)));
    }
    const what = [...present, ...gone].sort().map((path) => path === "" ? rule.path : path);
    this.#say(
      `Synced ${rule.service}: ${what.slice(0, 5).join(", ")}${what.length > 5 ? ` and ${what.length - 5} more` : ""}`,
    );
  }

  async #remove(id: string, paths: readonly string[]): Promise<void> {
    const code = await this.#run(id, { argv: ["rm", "-rf", "--", ...paths], user: "0" });
    if (code !== 0) throw new NyxError("failed_precondition", `Could not remove ${paths.join(", ")} in the container`);
  }

  async #exec(service: string, hook: NonNullable<WatchRule["exec"]>): Promise<void> {
    const { command, user, working_dir, environment, privileged } = hook;
    if (command === undefined || command === null || command.length === 0) return;
    const env = Object.entries(environment ?? {}).flatMap(([name, value]) =>
      value === null ? [] : [`${name}=${value}`]
    );
    for (const id of await this.#running(service)) {
      const code = await this.#run(id, {
        argv: command,
        ...(user === undefined ? {} : { user }),
        ...(working_dir === undefined ? {} : { workingDir: working_dir }),
        ...(env.length === 0 ? {} : { env }),
        ...(privileged === undefined ? {} : { privileged }),
      });
      this.#say(`Ran ${command.join(" ")} in ${service}${code === 0 ? "" : `: it ended with code ${code}`}`);
    }
  }

  /** Runs a command in a container, its output to standard error. @returns exit code */
  async #run(
    id: string,
    request: { argv: string[]; user?: string; workingDir?: string; env?: string[]; privileged?: boolean },
  ): Promise<number> {
    const client = await this.#context.client();
    const stream = await client.containers.exec(id, request);
    let code = 0;
    for await (const item of stream) {
      if (item.kind === "stdout" || item.kind === "stderr") await this.#context.err.bytes(item.bytes);
      else if (item.kind === "event" && item.event.event === "exit") code = item.event.exitCode;
      else if (item.kind === "event" && item.event.event === "error") code = 126;
    }
    return code;
  }
}

/** Where a path below a rule's lies in the container. */
function inside({ target = "/" }: WatchRule, relative: string): string {
  return relative === "" ? target : target === "/" ? `/${relative}` : `${target}/${relative}`;
}

/** A tar of these paths under the names that they have in the container, from its root. */
async function* pack(rule: WatchRule, relative: readonly string[]): AsyncGenerator<Uint8Array, void, void> {
  const single = relative.length === 1 && relative[0] === "";
  const slash = rule.path.lastIndexOf("/");
  const dir = single ? rule.path.slice(0, slash) || "/" : rule.path;
  const names = single ? [rule.path.slice(slash + 1)] : relative.map((name) => name.replace(/\/$/, ""));
  const target = (rule.target ?? "/").replace(/^\//, "");
  const escaped = target.replace(/[\\&,]/g, "\\$&");
  const rename = single ? `s,.*,${escaped},rSh` : `s,^,${target === "" ? "" : `${escaped}/`},rSh`;
  const child = spawnTar(dir, ["--ignore-failed-read", "--transform", rename]);
  const said = new Response(child.stderr).text();
  const writer = child.stdin.getWriter();
  void writer.write(new TextEncoder().encode(names.map((name) => `${name}\0`).join(""))).then(() => writer.close())
    .catch(() => {});
  yield* child.stdout;
  const { success } = await child.status;
  if (!success) throw new NyxError("internal", `Could not pack ${rule.path}: ${(await said).trim()}`);
}
