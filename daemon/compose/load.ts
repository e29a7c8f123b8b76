/** Loading a project: compose files, environment and contents in, model and diagnostics out. */

import type { ComposeFileSource, ComposeModel, ComposeService, NullableStringMap } from "../spec/compose.ts";
import { NyxError } from "../spec/errors.ts";
import { cleanAbsolute } from "../spec/parse/paths.ts";
import { parseKeyValueFile } from "../spec/parse/key_values.ts";
import { checkConsistency } from "./check.ts";
import { Diagnostics, type Origin } from "./diagnostics.ts";
import { own, sortedKeys } from "./dictionary.ts";
import type { FileContent } from "./files.ts";
import { checkHonoured } from "./honour.ts";
import { interpolate, InterpolationError } from "./interpolate.ts";
import { Loader } from "./loader.ts";
import { locate } from "./locate.ts";
import { directoryProjectName, PROJECT_NAME, PROJECT_NAME_RULE } from "./name.ts";
import { child, type MapNode, scalarText, toPlain } from "./node.ts";
import { normaliseModel, type WrittenModel } from "./normalise.ts";
import { dirname } from "./paths.ts";
import type { ComposeProject, LoadRequest } from "./project.ts";
import { enabledServices, selectServices } from "./select.ts";
import { pruned } from "./shape/shape.ts";

/** What the files say of the services that take part. */
function writtenModel(
  written: WrittenModel,
  services: Record<string, ComposeService>,
  { name, services: enabled }: ComposeModel,
): ComposeModel {
  const kept = Object.entries(services).filter(([service]) => Object.hasOwn(enabled, service));
  return { ...written, name, services: Object.fromEntries(kept) } as ComposeModel;
}

class ProjectLoader {
  readonly #request: LoadRequest;
  readonly #diagnostics = new Diagnostics();
  readonly #loader: Loader;
  readonly #directory: string;
  readonly #files: string[];

  constructor(request: LoadRequest) {
    const [first] = request.files;
    if (first === undefined) {
      throw new NyxError("invalid_argument", "Could not load a compose project: no compose file was named");
    }
    this.#request = request;
    this.#files = request.files.map(cleanAbsolute);
    this.#directory = cleanAbsolute(request.projectDirectory ?? dirname(cleanAbsolute(first)));
    const home = request.home ?? own(request.environment, "HOME");
    this.#loader = new Loader({
      reader: request.reader,
      diagnostics: this.#diagnostics,
      interpolate: request.interpolate ?? true,
      resolvePaths: request.resolvePaths ?? true,
      resolveEnv: request.resolveEnv ?? true,
      ...(home === undefined ? {} : { home }),
    });
  }

  async load(): Promise<ComposeProject> {
    const environment = await this.#environment();
    const name = await this.#name(environment);
    environment.set("COMPOSE_PROJECT_NAME", name);
    const merged = await this.#loader.merge(this.#files, { dir: this.#directory, environment, chain: [] });
    const tree: MapNode | undefined = merged === undefined ? undefined : pruned(merged) as MapNode;
    const written: WrittenModel = tree === undefined ? {} : toPlain(tree) as unknown as WrittenModel;
    const services = tree === undefined ? {} : await this.#services(written, tree, environment);
    const whole = normaliseModel({ ...written, services }, { name, directory: this.#directory });
    const profiles = this.#profiles(environment);
    const model = this.#select(whole, written, tree, profiles);
    const contents = tree === undefined
      ? new Map<string, FileContent>()
      : await this.#contents(model, tree, environment);
    return {
      model,
      written: writtenModel(written, services, model),
      whole,
      diagnostics: [...this.#diagnostics.all],
      files: this.#loader.files,
      directory: this.#directory,
      profiles,
      environment,
      variables: this.#loader.variables,
      contents,
      missing: this.#loader.missing,
    };
  }

  async #environment(): Promise<Map<string, string>> {
    const base = new Map(Object.entries(this.#request.environment ?? {}));
    const named = (base.get("COMPOSE_ENV_FILES") ?? "").split(",").filter((path) => path !== "")
      .map((path) => path.startsWith("/") ? path : `${this.#directory}/${path}`);
    const envFiles = this.#request.envFiles ?? (named.length > 0 ? named : undefined);
    if (envFiles !== undefined) return await this.#loader.environment(envFiles.map(cleanAbsolute), base);
    const path = `${this.#directory === "/" ? "" : this.#directory}/.env`;
    const content = await this.#request.reader.read(path);
    const fromFile = new Map<string, string>();
    if (content !== undefined) {
      const text = typeof content === "string" ? content : new TextDecoder().decode(content);
      this.#loader.readDotenv(text, path, (name) => base.get(name), (name, value) => fromFile.set(name, value));
    }
    return new Map([...fromFile, ...base]);
  }

  /** The project's name: flag, COMPOSE_PROJECT_NAME, the last `name:`, the directory's name. */
  async #name(environment: ReadonlyMap<string, string>): Promise<string> {
    const explicit = this.#request.projectName ?? environment.get("COMPOSE_PROJECT_NAME");
    if (explicit !== undefined && explicit !== "") return this.#checkedName(explicit, undefined);
    let found: { name: string; at: Origin } | undefined;
    for (const file of this.#files) {
      for (const document of await this.#loader.documents(file) ?? []) {
        const node = child(document, "name");
        const text = scalarText(node);
        if (node === undefined || text === undefined) continue;
        try {
          found = { name: interpolate(text, (variable) => environment.get(variable)), at: node.origin };
        } catch (e) {
          // Reported with its place when the whole file is interpolated.
          if (!(e instanceof InterpolationError)) throw e;
        }
      }
    }
    if (found !== undefined && found.name !== "") return this.#checkedName(found.name, found.at);
    return directoryProjectName(this.#directory);
  }

  #checkedName(name: string, at: Origin | undefined): string {
    if (PROJECT_NAME.test(name)) return name;
    const fix = directoryProjectName(`/${name}`);
    this.#diagnostics.error(at, {
      code: "project-name",
      path: "name",
      message: `${JSON.stringify(name.slice(0, 100))} is no project name`,
      rule: PROJECT_NAME_RULE,
      fix: `such as ${fix}`,
    });
    return fix;
  }

  #profiles(environment: ReadonlyMap<string, string>): string[] {
    const fromEnvironment = (environment.get("COMPOSE_PROFILES") ?? "").split(",").map((p) => p.trim()).filter((p) =>
      p !== ""
    );
    return [...new Set([...this.#request.profiles ?? [], ...fromEnvironment])];
  }

  #select(
    whole: ComposeModel,
    written: WrittenModel,
    tree: MapNode | undefined,
    profiles: readonly string[],
  ): ComposeModel {
    const named = this.#request.services ?? [];
    for (const name of named) {
      if (Object.hasOwn(whole.services, name)) continue;
      this.#diagnostics.error(undefined, {
        code: "undefined-reference",
        path: "services",
        message: `there is no service "${name}"`,
        fix: `defined are ${sortedKeys(whole.services).join(", ")}`,
      });
    }
    const enabled = enabledServices(whole, profiles, named);
    const model = selectServices(whole, enabled);
    if (tree === undefined || this.#request.checkConsistency === false) return model;
    checkConsistency(whole, written, tree, this.#diagnostics);
    checkHonoured(model, tree, this.#diagnostics);
    for (const [name, service] of Object.entries(model.services)) {
      for (const other of sortedKeys(service.depends_on)) {
        if (enabled.has(other) || !Object.hasOwn(whole.services, other)) continue;
        const needed = (own(whole.services, other)?.profiles ?? []).join(" or ");
        this.#diagnostics.error(locate(tree, ["services", name, "depends_on", other]), {
          code: "disabled-dependency",
          path: `services.${name}.depends_on.${other}`,
          message: `service "${name}" needs "${other}", whose profile is not enabled`,
          fix: `add --profile ${needed}, or write required: false`,
        });
      }
    }
    return model;
  }

  /** Services with their env files and label files taken in. */
  async #services(
    written: WrittenModel,
    tree: MapNode,
    environment: ReadonlyMap<string, string>,
  ): Promise<Record<string, ComposeService>> {
    const out: [string, ComposeService][] = [];
    const enabled = this.#request.resolveEnv === false || this.#request.interpolate === false
      ? new Set<string>()
      : enabledServices(
        { name: "", services: written.services ?? {} },
        this.#profiles(environment),
        this.#request.services ?? [],
      );
    for (const [name, service] of Object.entries(written.services ?? {})) {
      // Files of services that take no part may be absent.
      out.push([name, enabled.has(name) ? await this.#withFiles(name, service, tree, environment) : service]);
    }
    return Object.fromEntries(out);
  }

  async #withFiles(
    name: string,
    service: ComposeService,
    tree: MapNode,
    environment: ReadonlyMap<string, string>,
  ): Promise<ComposeService> {
    const { env_file, label_file, ...out } = service;
    if (env_file !== undefined) {
      const values = new Map<string, string | null>();
      for (const [index, file] of env_file.entries()) {
        const at = locate(tree, ["services", name, "env_file", index]);
        await this.#envFile(file, at, `services.${name}.env_file[${index}]`, environment, values);
      }
      const merged: NullableStringMap = { ...Object.fromEntries(values), ...out.environment };
      out.environment = merged;
    }
    if (label_file !== undefined) {
      const values = new Map<string, string>();
      for (const [index, path] of label_file.entries()) {
        const text = await this.#needed(
          path,
          locate(tree, ["services", name, "label_file", index]),
          `services.${name}.label_file[${index}]`,
        );
        if (text !== undefined) {
          this.#loader.readDotenv(text, path, () => undefined, (key, value) => values.set(key, value));
        }
      }
      out.labels = { ...Object.fromEntries(values), ...out.labels };
    }
    return out;
  }

  async #needed(path: string, at: Origin | undefined, where: string): Promise<string | undefined> {
    const text = await this.#loader.text(path);
    if (text === undefined) {
      // The model can be read without it, and printed and planned; nothing may start without it.
      this.#diagnostics.warn(at, {
        code: "file-missing",
        path: where,
        message: `the file ${path} does not exist`,
        fix: "make it, or write required: false for an env file",
        blocks: true,
      });
    }
    return text;
  }

  async #envFile(
    file: { path: string; required: boolean; format?: string },
    at: Origin | undefined,
    where: string,
    environment: ReadonlyMap<string, string>,
    values: Map<string, string | null>,
  ): Promise<void> {
    const text = file.required ? await this.#needed(file.path, at, where) : await this.#loader.text(file.path);
    if (text === undefined) return;
    if (file.format === "raw") {
      try {
        for (const { key, value } of parseKeyValueFile(new TextEncoder().encode(text), "env file", file.path)) {
          const resolved = value ?? environment.get(key);
          if (resolved !== undefined) values.set(key, resolved);
        }
      } catch (e) {
        if (!(e instanceof NyxError)) throw e;
        this.#diagnostics.error(at, { code: "env-file", path: where, message: e.message });
      }
      return;
    }
    if (file.format !== undefined) {
      this.#diagnostics.error(at, {
        code: "bad-value",
        path: where,
        message: `the format ${JSON.stringify(file.format)} is unknown`,
        fix: "remove it, or write raw",
      });
      return;
    }
    const lookup = (name: string) => environment.get(name) ?? values.get(name) ?? undefined;
    this.#loader.readDotenv(text, file.path, lookup, (key, value) => values.set(key, value));
  }

  /** Contents of the configs and secrets that the model uses. */
  async #contents(
    model: ComposeModel,
    tree: MapNode,
    environment: ReadonlyMap<string, string>,
  ): Promise<Map<string, FileContent>> {
    const contents = new Map<string, FileContent>();
    for (const kind of ["configs", "secrets"] as const) {
      for (const [name, source] of Object.entries(model[kind] ?? {})) {
        const content = await this.#content(source, environment);
        if (content !== undefined) contents.set(`${kind}.${name}`, content);
        else if (source.external !== true) this.#contentMissing(kind, name, source, tree);
      }
    }
    for (const service of Object.values(model.services)) {
      for (const option of service.security_opt ?? []) {
        const profile = /^seccomp[:=](.+)$/.exec(option)?.[1];
        if (profile === undefined || profile === "unconfined" || profile === "builtin") continue;
        const path = cleanAbsolute(profile.startsWith("/") ? profile : `${this.#directory}/${profile}`);
        const content = await this.#request.reader.read(path);
        if (content !== undefined) contents.set(`security.${path}`, content);
        else if (!this.#loader.missing.includes(path)) this.#loader.missing.push(path);
      }
    }
    return contents;
  }

  async #content(
    source: ComposeFileSource,
    environment: ReadonlyMap<string, string>,
  ): Promise<FileContent | undefined> {
    if (source.content !== undefined) return source.content;
    if (source.environment !== undefined) return environment.get(source.environment);
    if (source.file === undefined) return undefined;
    const content = await this.#request.reader.read(source.file);
    if (content === undefined && !this.#loader.missing.includes(source.file)) this.#loader.missing.push(source.file);
    return content;
  }

  #contentMissing(kind: "configs" | "secrets", name: string, source: ComposeFileSource, tree: MapNode): void {
    const [key, message] = source.file === undefined
      ? ["environment", `the variable ${source.environment} is not set, so it has no content`]
      : ["file", `the file ${source.file} does not exist, so it has no content`];
    if (source.file === undefined && source.environment === undefined) return;
    this.#diagnostics.warn(locate(tree, [kind, name, key]), {
      code: "content-missing",
      path: `${kind}.${name}.${key}`,
      message,
    });
  }
}

/**
 * Loads a project. Everything that is wrong is in the result's diagnostics; nothing is thrown for what a file says.
 *
 * @throws NyxError invalid_argument when no file is named; whatever the reader throws
 */
export function loadProject(request: LoadRequest): Promise<ComposeProject> {
  return new ProjectLoader(request).load();
}
