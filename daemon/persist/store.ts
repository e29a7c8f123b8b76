/**
 * Durable container records: supervisor/containers/<id>.json, with bundles/<id>/nyxd-meta.json as the spare from which a
 * missing or corrupt record is rebuilt. A corrupt file is moved aside and reported, and goes only with its container. A record of a
 * newer nyxd stays where it is. Whose record cannot be had is `unreadable`: nobody may take its files, mounts or processes for nobody's.
 */

import { CONTAINER_ID } from "../spec/container.ts";
import { toNyxError } from "../spec/errors.ts";
import type { Logger } from "../log/logger.ts";
import { removeIfPresent, writeFileAtomic } from "./atomic.ts";
import { type ContainerRecord, parseRecord } from "./record.ts";

interface Writer {
  dirty: boolean;
  running: Promise<void> | undefined;
  removed: boolean;
}

/** Store of all records of one base directory. */
export class RecordStore {
  readonly #dir: string;
  readonly #bundlesDir: string;
  readonly #log: Logger;
  readonly #writers = new Map<string, Writer>();
  readonly #unreadable = new Set<string>();
  /** Corrupt files that were moved aside, by container. */
  readonly #aside = new Map<string, Set<string>>();

  /**
   * @param baseDir the daemon's base directory
   * @param log where quarantined files are reported
   */
  constructor(baseDir: string, log: Logger) {
    this.#dir = `${baseDir}/supervisor/containers`;
    this.#bundlesDir = `${baseDir}/bundles`;
    this.#log = log;
  }

  /** Ids of containers that there are, or were, whose record could neither be read nor rebuilt. */
  get unreadable(): ReadonlySet<string> {
    return this.#unreadable;
  }

  /** Makes the directory. */
  async prepare(): Promise<void> {
    await Deno.mkdir(this.#dir, { recursive: true, mode: 0o700 });
  }

  /**
   * Saves the record's present content; resolves when that or a newer state is on disk. Saves of one record coalesce, so
   * that a burst of transitions costs two writes at most.
   */
  save(record: ContainerRecord): Promise<void> {
    const writer = this.#writers.get(record.id) ?? { dirty: false, running: undefined, removed: false };
    this.#writers.set(record.id, writer);
    writer.dirty = true;
    if (writer.running === undefined) {
      writer.running = this.#drain(record, writer).finally(() => writer.running = undefined);
      return writer.running;
    }
    return writer.running.then(() => (writer.dirty && !writer.removed ? this.save(record) : undefined));
  }

  async #drain(record: ContainerRecord, writer: Writer): Promise<void> {
    while (writer.dirty && !writer.removed) {
      writer.dirty = false;
      await writeFileAtomic(`${this.#dir}/${record.id}.json`, JSON.stringify(record));
    }
  }

  /** Writes the spare beside the bundle; not synced, since it only has to survive the daemon, not the host. */
  async saveSpare(record: ContainerRecord): Promise<void> {
    await writeFileAtomic(`${record.bundleDir}/nyxd-meta.json`, JSON.stringify(record), { durable: false });
  }

  /** Deletes a record, and what was moved aside of it, which would say that there is a container. Missing is no error. */
  async remove(id: string): Promise<void> {
    const writer = this.#writers.get(id);
    if (writer !== undefined) {
      writer.removed = true;
      await writer.running?.catch(() => {});
      this.#writers.delete(id);
    }
    // The record last: what is left after a failure or a crash is deleted when its container is.
    for (const path of this.#aside.get(id) ?? []) await removeIfPresent(path);
    this.#aside.delete(id);
    await removeIfPresent(`${this.#dir}/${id}.json`);
  }

  /** Resolves when nothing is being written. */
  async flush(): Promise<void> {
    await Promise.allSettled([...this.#writers.values()].map((w) => w.running));
  }

  /** All records; corrupt ones are set aside and rebuilt from their spare where that is possible. */
  async load(): Promise<ContainerRecord[]> {
    const records = new Map<string, ContainerRecord>();
    const ofNoRecord = new Set<string>();
    for await (const entry of Deno.readDir(this.#dir)) {
      const path = `${this.#dir}/${entry.name}`;
      if (entry.name.endsWith(".tmp")) await removeIfPresent(path);
      const setAside = /^([0-9a-f]{64})\.json\.corrupt-\d+$/.exec(entry.name)?.[1];
      if (setAside !== undefined) this.#remember(setAside, path);
      if (!entry.name.endsWith(".json")) continue;
      const id = entry.name.slice(0, -".json".length);
      if (!CONTAINER_ID.test(id)) continue;
      const record = await this.#read(path, id) ?? await this.#rebuild(id);
      if (record !== undefined) records.set(id, record);
      else ofNoRecord.add(id);
    }
    for (const id of await this.#bundleIds()) {
      if (records.has(id)) continue;
      const record = await this.#rebuild(id);
      if (record !== undefined) records.set(id, record);
    }
    for (const id of [...ofNoRecord, ...this.#aside.keys()]) if (!records.has(id)) this.#unreadable.add(id);
    if (this.#unreadable.size > 0) {
      this.#log.error(
        "Containers without a readable record are left alone: restore their record, or delete what is left of it",
        {
          dir: this.#dir,
          ids: [...this.#unreadable],
        },
      );
    }
    return [...records.values()];
  }

  #remember(id: string, aside: string): void {
    const paths = this.#aside.get(id) ?? new Set();
    this.#aside.set(id, paths.add(aside));
  }

  async #read(path: string, id: string): Promise<ContainerRecord | undefined> {
    try {
      const record = parseRecord(await Deno.readTextFile(path));
      if (record.id !== id) throw new Error(`it is the record of ${record.id}`);
      return record;
    } catch (e) {
      if (toNyxError(e).code === "failed_precondition") {
        this.#unreadable.add(id);
        this.#log.error("A container record is of another version", { id, path, error: e });
        return undefined;
      }
      const aside = `${path}.corrupt-${Date.now()}`;
      await Deno.rename(path, aside).catch(() => {});
      this.#remember(id, aside);
      this.#log.error("A container record cannot be read; it was moved aside", { id, movedTo: aside, error: e });
      return undefined;
    }
  }

  /** The record that the spare holds, saved; not where there is a record that stays, or a spare that was of no use already. */
  async #rebuild(id: string): Promise<ContainerRecord | undefined> {
    if (this.#unreadable.has(id)) return undefined;
    const path = `${this.#bundlesDir}/${id}/nyxd-meta.json`;
    try {
      const record = parseRecord(await Deno.readTextFile(path));
      if (record.id !== id) return undefined;
      this.#log.warn("A container record was rebuilt from its bundle", { id });
      await this.save(record);
      return record;
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) {
        this.#unreadable.add(id);
        this.#log.error("A container cannot be rebuilt from its bundle", { id, path, error: e });
      }
      return undefined;
    }
  }

  async #bundleIds(): Promise<string[]> {
    const ids: string[] = [];
    try {
      for await (const entry of Deno.readDir(this.#bundlesDir)) if (CONTAINER_ID.test(entry.name)) ids.push(entry.name);
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    }
    return ids;
  }
}
