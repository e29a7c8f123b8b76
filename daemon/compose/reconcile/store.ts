/**
 * What the daemon keeps of each project: `compose/<project>.json`, mode 0600, since the environment of services is in it. Contents of
 * configs and secrets are not: they lie beside it, as files that containers mount.
 */

import type { Logger } from "../../log/logger.ts";
import { syncDirectory, writeFileAtomic } from "../../persist/atomic.ts";
import type { ComposeModel } from "../../spec/compose.ts";
import { mapValues } from "../dictionary.ts";
import { PROJECT_NAME } from "../name.ts";
import type { ComposeProject } from "../project.ts";

const VERSION = 1;

/** A project as it was last brought up. */
export interface StoredProject {
  v: typeof VERSION;
  name: string;
  /** On the caller's side. */
  directory: string;
  /** Compose files, on the caller's side. */
  files: string[];
  profiles: string[];
  model: ComposeModel;
}

/** A model without the contents of secrets that the files spell out. */
function withoutSecrets(model: ComposeModel): ComposeModel {
  if (model.secrets === undefined) return model;
  const secrets = mapValues(model.secrets, ({ content: _, ...source }) => source);
  return { ...model, secrets };
}

/** The directory of projects. */
export class ProjectStore {
  readonly #dir: string;
  readonly #log: Pick<Logger, "warn">;

  /** @param dir compose/ below the base directory */
  constructor(dir: string, log: Pick<Logger, "warn">) {
    this.#dir = dir;
    this.#log = log;
  }

  /** Makes the directory. */
  async prepare(): Promise<void> {
    await Deno.mkdir(this.#dir, { recursive: true, mode: 0o700 });
    await Deno.chmod(this.#dir, 0o700);
  }

  /** Keeps a project; the same content again writes nothing. */
  async save(project: ComposeProject): Promise<void> {
    const { directory, files, profiles } = project;
    const model = withoutSecrets(project.model);
    const stored: StoredProject = { v: VERSION, name: model.name, directory, files, profiles, model };
    const text = `${JSON.stringify(stored)}\n`;
    if (await this.#text(model.name) === text) return;
    await writeFileAtomic(this.#path(model.name), text);
  }

  /** A project; undefined when it is not known. One that cannot be read is reported and taken for unknown. */
  async find(name: string): Promise<StoredProject | undefined> {
    const text = PROJECT_NAME.test(name) ? await this.#text(name) : undefined;
    if (text === undefined) return undefined;
    try {
      const stored = JSON.parse(text) as StoredProject;
      if (stored.v === VERSION && stored.name === name && typeof stored.model.services === "object") return stored;
    } catch {
      // Told below.
    }
    this.#log.warn("What is kept of a compose project cannot be read; containers and their labels go on counting", {
      project: name,
      path: this.#path(name),
    });
    return undefined;
  }

  /** Names of all projects that are kept. */
  async names(): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of Deno.readDir(this.#dir)) {
      const project = name.endsWith(".json") ? name.slice(0, -".json".length) : "";
      if (PROJECT_NAME.test(project)) names.push(project);
    }
    return names.sort();
  }

  /** Forgets a project. */
  async remove(name: string): Promise<void> {
    if (!PROJECT_NAME.test(name)) return;
    await Deno.remove(this.#path(name)).catch((e) => {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    });
    await syncDirectory(this.#dir);
  }

  #path(name: string): string {
    return `${this.#dir}/${name}.json`;
  }

  async #text(name: string): Promise<string | undefined> {
    try {
      return await Deno.readTextFile(this.#path(name));
    } catch (e) {
      if (e instanceof Deno.errors.NotFound) return undefined;
      throw e;
    }
  }
}
