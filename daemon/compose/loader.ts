/** From files to one canonical tree: parse, interpolate, check, extend, include, merge. */

import { type Diagnostics, type Origin, SourceFile } from "./diagnostics.ts";
import { canonicalJson } from "./dictionary.ts";
import { DotenvError, parseDotenv } from "./dotenv.ts";
import { contentText, type FileReader } from "./files.ts";
import { interpolate, InterpolationError, type Lookup, variablesOf, type VariableUse } from "./interpolate.ts";
import {
  child,
  type MapEntry,
  type MapNode,
  type Node,
  pathOf,
  scalarAt,
  scalarText,
  toPlain,
  withEntry,
} from "./node.ts";
import { dirname } from "./paths.ts";
import { extension, includes, isMap, root, service } from "./shape/root.ts";
import { canonical, merged, type Shape, type ShapeContext } from "./shape/shape.ts";
import { parseYaml } from "./yaml.ts";

/** Most files that one project may consist of. */
const MAX_FILES = 1000;
/** Deepest chain of includes or extends. */
const MAX_CHAIN = 50;

type Visit = (node: Node, path: string, shape: Shape | undefined) => Node;

/** How files are read. */
export interface LoaderOptions {
  reader: FileReader;
  diagnostics: Diagnostics;
  interpolate: boolean;
  resolvePaths: boolean;
  resolveEnv: boolean;
  home?: string;
}

/** What a file sees of its surroundings. */
export interface Surroundings {
  /** What relative paths start from. */
  dir: string;
  environment: ReadonlyMap<string, string>;
  /** Files being loaded, for finding circles. */
  chain: readonly string[];
}

/** Reads files; keeps what it learned about them. */
export class Loader {
  /** Compose files in the order of reading. */
  readonly files: string[] = [];
  /** Variables that were used. */
  readonly variables: VariableUse[] = [];
  /** Files that do not exist. */
  readonly missing: string[] = [];
  readonly #options: LoaderOptions;
  readonly #documents = new Map<string, Node[] | undefined>();

  /** @param options where contents come from and findings go */
  constructor(options: LoaderOptions) {
    this.#options = options;
  }

  /** Text of a file; undefined (and remembered as missing) when there is none. */
  async text(path: string): Promise<string | undefined> {
    const content = await this.#options.reader.read(path);
    if (content === undefined) {
      if (!this.missing.includes(path)) this.missing.push(path);
      return undefined;
    }
    const text = contentText(content);
    if (text === undefined) {
      this.#options.diagnostics.error(undefined, {
        code: "encoding",
        path: "",
        message: `${path} is not valid UTF-8`,
        fix: "save it as UTF-8",
      });
    }
    return text;
  }

  /** Variables of an env file on top of others that win. */
  async environment(
    paths: readonly string[],
    base: ReadonlyMap<string, string>,
    at?: Origin,
  ): Promise<Map<string, string>> {
    const fromFiles = new Map<string, string>();
    for (const path of paths) {
      const text = await this.text(path);
      if (text === undefined) {
        this.#options.diagnostics.error(at, {
          code: "file-missing",
          path: "",
          message: `the env file ${path} does not exist`,
        });
        continue;
      }
      this.readDotenv(
        text,
        path,
        (name) => base.get(name) ?? fromFiles.get(name),
        (name, value) => fromFiles.set(name, value),
      );
    }
    return new Map([...fromFiles, ...base]);
  }

  /** Variables of an env file's text, each handed to `take`. */
  readDotenv(text: string, path: string, lookup: Lookup, take: (name: string, value: string) => void): void {
    try {
      for (const [name, value] of parseDotenv(text, lookup)) take(name, value);
    } catch (e) {
      if (!(e instanceof DotenvError)) throw e;
      const file = new SourceFile(path, text);
      const offset = text.split("\n").slice(0, e.line - 1).reduce((sum, line) => sum + line.length + 1, 0);
      this.#options.diagnostics.error({ file, offset }, { code: "env-file", path: "", message: e.message });
    }
  }

  /** Parsed documents of a compose file; undefined when there is no such file. */
  async documents(path: string, at?: Origin): Promise<Node[] | undefined> {
    if (this.#documents.has(path)) return this.#documents.get(path);
    const text = await this.text(path);
    let documents: Node[] | undefined;
    if (text === undefined) {
      this.#options.diagnostics.error(at, {
        code: "file-missing",
        path: "",
        message: /^\/.*(:\/|\.git)/.test(path) && at !== undefined
          ? `${path} cannot be read; nyx takes local files only`
          : `the file ${path} does not exist`,
      });
    } else if (this.files.length >= MAX_FILES) {
      this.#options.diagnostics.error(at, {
        code: "too-many-files",
        path: "",
        message: `more than ${MAX_FILES} files take part`,
      });
    } else {
      this.files.push(path);
      documents = parseYaml(text, path, this.#options.diagnostics);
    }
    this.#documents.set(path, documents);
    return documents;
  }

  /** Several files on top of each other, as `-f a -f b` and `include: {path: [a, b]}` mean them. */
  async merge(paths: readonly string[], around: Surroundings, at?: Origin): Promise<MapNode | undefined> {
    let whole: MapNode | undefined;
    for (const path of paths) {
      if (around.chain.includes(path) || around.chain.length > MAX_CHAIN) {
        this.#options.diagnostics.error(at, {
          code: "include-circle",
          path: "include",
          message: `the includes form a circle: ${[...around.chain, path].join(" → ")}`,
          fix: "remove one of them",
        });
        continue;
      }
      for (const document of await this.documents(path, at) ?? []) {
        const tree = await this.#document(document, path, { ...around, chain: [...around.chain, path] });
        if (tree === undefined) continue;
        const joined: Node = whole === undefined ? tree : merged(root, whole, tree);
        if (isMap(joined)) whole = joined;
      }
    }
    return whole;
  }

  #context(around: Surroundings): ShapeContext {
    const { diagnostics, interpolate, resolvePaths, resolveEnv, home } = this.#options;
    return {
      diagnostics,
      base: home === undefined ? { dir: around.dir } : { dir: around.dir, home },
      lookup: (name) => around.environment.get(name),
      interpolated: interpolate,
      resolvePaths,
      resolveEnv: resolveEnv && interpolate,
    };
  }

  async #document(document: Node, path: string, around: Surroundings): Promise<MapNode | undefined> {
    const ctx = this.#context(around);
    const written = this.interpolated(document, around, root);
    const canon = canonical(root, written, ctx, "");
    if (!isMap(canon)) return undefined;
    let tree = withEntry(canon, "include", undefined);
    const services = tree.entries.get("services")?.value;
    if (isMap(services)) tree = withEntry(tree, "services", await this.#extendAll(services, path, around));
    const included = child(written, "include");
    return included === undefined ? tree : await this.#include(tree, included, ctx, around);
  }

  /** Extends every service of a file; those that cannot be extended stay as they are. */
  async #extendAll(services: MapNode, path: string, around: Surroundings): Promise<MapNode> {
    const entries = new Map<string, MapEntry>();
    const sibling = (name: string) => services.entries.get(name)?.value;
    for (const [name, entry] of services.entries) {
      const value = isMap(entry.value)
        ? await this.#extend(entry.value, name, path, sibling, around, [`${path}#${name}`])
        : entry.value;
      entries.set(name, { key: entry.key, value });
    }
    return { ...services, entries };
  }

  async #extend(
    own: MapNode,
    name: string,
    path: string,
    sibling: (name: string) => Node | undefined,
    around: Surroundings,
    chain: readonly string[],
  ): Promise<MapNode> {
    const written = own.entries.get("extends");
    const bare = withEntry(own, "extends", undefined);
    if (written === undefined || written.value.tag === "reset") return bare;
    const at = written.key;
    const where = `services.${name}.extends`;
    const target = canonical(extension, written.value, { ...this.#context(around), resolvePaths: true }, where);
    const baseName = scalarText(child(target, "service"));
    if (baseName === undefined) return bare;
    const file = scalarText(child(target, "file")) ?? path;
    const link = `${file}#${baseName}`;
    if (chain.includes(link) || chain.length > MAX_CHAIN) {
      const names = [...chain, link].map((l) => l.slice(l.lastIndexOf("#") + 1));
      this.#options.diagnostics.error(at, {
        code: "extends-circle",
        path: where,
        message: `services extend each other in a circle: ${names.join(" → ")}`,
      });
      return bare;
    }
    const other = file === path ? undefined : await this.#foreign(file, around, at);
    if (file !== path && other === undefined) return bare;
    const base = other === undefined ? sibling(baseName) : other.service(baseName);
    if (!isMap(base)) {
      this.#options.diagnostics.error(at, {
        code: "extends-missing",
        path: where,
        message: `there is no service "${baseName}" in ${file}`,
      });
      return bare;
    }
    const extended = await this.#extend(base, baseName, file, other?.service ?? sibling, other?.around ?? around, [
      ...chain,
      link,
    ]);
    const joined = merged(service, extended, bare);
    return isMap(joined) ? joined : bare;
  }

  /** Services of another file, canonical when asked for; its paths start from its own directory. */
  async #foreign(file: string, around: Surroundings, at: Origin) {
    const documents = await this.documents(file, at);
    if (documents === undefined) return undefined;
    const there = { ...around, dir: dirname(file) };
    const ctx = this.#context(there);
    const known = new Map<string, Node | undefined>();
    const find = (name: string): Node | undefined => {
      if (known.has(name)) return known.get(name);
      const raw = documents.map((d) => child(child(d, "services"), name)).findLast((node) => node !== undefined);
      const where = `services.${name}`;
      const canon = raw === undefined
        ? undefined
        : canonical(service, this.interpolated(raw, there, service, where), ctx, where);
      known.set(name, canon);
      return canon;
    };
    return { service: find, around: there };
  }

  async #include(tree: MapNode, written: Node, ctx: ShapeContext, around: Surroundings): Promise<MapNode> {
    let whole = tree;
    const list = canonical(includes, written, { ...ctx, resolvePaths: true }, "include");
    for (const item of list?.kind === "list" ? list.items : []) {
      const texts = (key: string) => {
        const node = child(item, key);
        return node?.kind === "list" ? node.items.flatMap((i) => scalarText(i) ?? []) : undefined;
      };
      const paths = texts("path") ?? [];
      const [first] = paths;
      if (first === undefined) continue;
      const dir = scalarText(child(item, "project_directory")) ?? dirname(first);
      const environment = await this.#includedEnvironment(texts("env_file"), dir, around.environment, item.origin);
      const imported = await this.merge(paths, { dir, environment, chain: around.chain }, item.origin);
      if (imported !== undefined) whole = this.#import(whole, imported);
    }
    return whole;
  }

  async #includedEnvironment(
    files: string[] | undefined,
    dir: string,
    base: ReadonlyMap<string, string>,
    at: Origin,
  ): Promise<ReadonlyMap<string, string>> {
    if (files !== undefined && files.length > 0) return await this.environment(files, base, at);
    const text = await this.#options.reader.read(`${dir === "/" ? "" : dir}/.env`);
    const own = new Map<string, string>();
    const plain = text === undefined ? undefined : contentText(text);
    if (plain !== undefined) {
      this.readDotenv(plain, `${dir}/.env`, (name) => base.get(name), (name, value) => own.set(name, value));
    }
    return new Map([...own, ...base]);
  }

  /** Takes in what an included project defines; the same name with another meaning is an error. */
  #import(tree: MapNode, imported: MapNode): MapNode {
    let whole = tree;
    for (const [section, entry] of imported.entries) {
      if (section === "name" || !isMap(entry.value)) continue;
      const own = whole.entries.get(section)?.value;
      const entries = new Map(isMap(own) ? own.entries : []);
      for (const [name, theirs] of entry.value.entries) {
        const ours = entries.get(name);
        if (
          ours !== undefined &&
          canonicalJson(toPlain(ours.value)) !== canonicalJson(toPlain(theirs.value))
        ) {
          this.#options.diagnostics.error(ours.key, {
            code: "include-conflict",
            path: `${section}.${name}`,
            message: `it is also defined by the included file ${theirs.key.file.path}`,
            rule: "an included file and the file that includes it define different things",
            fix: "rename one, or move the changes to an override file",
          });
        } else if (ours === undefined) entries.set(name, theirs);
      }
      whole = withEntry(whole, section, { kind: "map", entries, origin: isMap(own) ? own.origin : entry.value.origin });
    }
    return whole;
  }

  /**
   * A tree with its variables replaced; shared parts stay shared. What is under unknown keys (extensions hold scripts and prose) is left
   * as it is.
   */
  interpolated(tree: Node, around: Surroundings, shape: Shape, path = ""): Node {
    const done = new Map<Shape | undefined, Map<Node, Node>>();
    const visit: Visit = (node, at, as) => {
      const known = done.get(as)?.get(node);
      if (known !== undefined) return known;
      const value = this.#interpolateNode(node, around, at, as, visit);
      if (!done.has(as)) done.set(as, new Map());
      done.get(as)?.set(node, value);
      return value;
    };
    return visit(tree, path, shape);
  }

  #interpolateNode(node: Node, around: Surroundings, path: string, shape: Shape | undefined, visit: Visit): Node {
    if (node.kind === "list") {
      return { ...node, items: node.items.map((item, index) => visit(item, pathOf(path, index), shape?.item)) };
    }
    if (node.kind === "map") {
      const entries = new Map<string, MapEntry>();
      const closed = shape?.fields !== undefined && shape.item === undefined;
      for (const [key, entry] of node.entries) {
        const as = shape?.fields?.get(key) ?? shape?.item;
        const unknown = closed && as === undefined;
        entries.set(key, unknown ? entry : { key: entry.key, value: visit(entry.value, pathOf(path, key), as) });
      }
      return { ...node, entries };
    }
    if (typeof node.value !== "string" || !node.value.includes("$")) return node;
    this.variables.push(...variablesOf(node.value));
    if (!this.#options.interpolate) return node;
    const { diagnostics } = this.#options;
    try {
      const unset: string[] = [];
      const value = interpolate(node.value, (name) => around.environment.get(name), {
        missing: (name) => {
          unset.push(name);
          diagnostics.warn(node.origin, {
            code: "variable-unset",
            path,
            message: `the variable "${name}" is not set; a blank text stands in for it`,
            fix: `set ${name} in the environment or in .env, or write \${${name}:-default}`,
          });
        },
      });
      const { tag } = node;
      return {
        ...scalarAt(node.origin, value),
        ...(tag === undefined ? {} : { tag }),
        ...(unset.length === 0 ? {} : { unset }),
      };
    } catch (e) {
      if (!(e instanceof InterpolationError)) throw e;
      diagnostics.error(node.origin, { code: "interpolation", path, message: e.message, fix: e.fix });
      return scalarAt(node.origin, null);
    }
  }
}
