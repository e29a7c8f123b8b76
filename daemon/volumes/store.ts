/** Volumes on disk: volumes/<name>/_data beside volume.json. A volume without its record is half made and is made again. */

import { writeFileAtomic } from "../persist/atomic.ts";
import { OBJECT_NAME } from "../spec/container.ts";
import { invalid, NyxError } from "../spec/errors.ts";

/** Version of {@linkcode VolumeRecord}. */
const VOLUME_VERSION = 1;

/** Content of volume.json. */
export interface VolumeRecord {
  v: typeof VOLUME_VERSION;
  name: string;
  driver: "local";
  /** RFC 3339. */
  created: string;
  labels: Record<string, string>;
  /** Driver options: type, device, o. */
  options: Record<string, string>;
  /** Made without a name. */
  anonymous: boolean;
}

/** What a new volume is like. */
export type VolumeTemplate = Pick<VolumeRecord, "labels" | "options" | "anonymous">;

/** Driver options that the local driver knows. */
const OPTION_KEYS = new Set(["type", "device", "o"]);

/**
 * Checks driver and options.
 *
 * @throws NyxError invalid_argument for another driver, an unknown option, or a device without what mount(2) needs
 */
export function checkDriver(driver: string | undefined, options: Readonly<Record<string, string>>): void {
  if (driver !== undefined && driver !== "" && driver !== "local") {
    throw invalid("volume driver", driver, "nyx has the local driver only; leave it out");
  }
  for (const key of Object.keys(options)) {
    if (!OPTION_KEYS.has(key)) throw invalid("volume option", key, "the local driver knows type, device and o");
  }
  const flags = (options["o"] ?? "").split(",");
  const bind = flags.includes("bind") || flags.includes("rbind");
  if (Object.keys(options).length === 0) return;
  if (!bind && (options["type"] ?? "") === "") {
    throw invalid("volume option type", options["type"] ?? "", "say what to mount, such as tmpfs or nfs, or o=bind");
  }
  if ((options["device"] ?? "") === "") {
    throw invalid("volume option device", "", "name the directory, server path or tmpfs to mount");
  }
}

/**
 * Checks a volume's name.
 *
 * @throws NyxError invalid_argument
 */
export function checkVolumeName(name: string): void {
  if (OBJECT_NAME.test(name)) return;
  throw invalid("volume name", name, "use letters, digits, '_', '.' and '-', beginning with a letter or digit");
}

function parseRecord(text: string, name: string): VolumeRecord {
  const broken = () =>
    new NyxError("data_loss", `Could not read volume ${name}: its volume.json is damaged; its data is kept in _data`, {
      context: { name },
    });
  let value: Partial<VolumeRecord> | null;
  try {
    value = JSON.parse(text) as Partial<VolumeRecord> | null;
  } catch {
    throw broken();
  }
  if (value === null || typeof value !== "object" || value.v !== VOLUME_VERSION || value.name !== name) throw broken();
  return {
    v: VOLUME_VERSION,
    name,
    driver: "local",
    created: value.created ?? "",
    labels: value.labels ?? {},
    options: value.options ?? {},
    anonymous: value.anonymous === true,
  };
}

/** Reads and writes the directory of volumes. Callers serialise by name. */
export class VolumeStore {
  /** @param dir volumes/ below the base directory */
  constructor(readonly dir: string) {}

  /** Where a volume's content is. */
  dataDir(name: string): string {
    return `${this.dir}/${name}/_data`;
  }

  /** The record; undefined when there is no such volume. */
  async find(name: string): Promise<VolumeRecord | undefined> {
    checkVolumeName(name);
    try {
      return parseRecord(await Deno.readTextFile(`${this.dir}/${name}/volume.json`), name);
    } catch (e) {
      if (e instanceof Deno.errors.NotFound || e instanceof Deno.errors.NotADirectory) return undefined;
      throw e;
    }
  }

  /** Makes a volume: data first, then the record, so that a record always has data. */
  async make(name: string, template: VolumeTemplate): Promise<VolumeRecord> {
    const record: VolumeRecord = {
      v: VOLUME_VERSION,
      name,
      driver: "local",
      created: new Date().toISOString(),
      ...template,
    };
    await Deno.mkdir(this.dir, { recursive: true, mode: 0o700 });
    // Its own directory is closed, so that no user of the host reaches setuid files in _data.
    await Deno.mkdir(`${this.dir}/${name}`, { recursive: true, mode: 0o700 });
    await this.ensureData(name);
    await writeFileAtomic(`${this.dir}/${name}/volume.json`, `${JSON.stringify(record)}\n`, {
      durable: !template.anonymous,
    });
    return record;
  }

  /** Makes the directory of a volume's content where it is missing; what is there stays as it is. */
  async ensureData(name: string): Promise<void> {
    try {
      await Deno.mkdir(this.dataDir(name), { mode: 0o755 });
      await Deno.chmod(this.dataDir(name), 0o755);
    } catch (e) {
      if (!(e instanceof Deno.errors.AlreadyExists)) throw e;
    }
  }

  /** Names of all volumes with a record, sorted. */
  async names(): Promise<string[]> {
    const names: string[] = [];
    try {
      for await (const entry of Deno.readDir(this.dir)) {
        if (entry.isDirectory && OBJECT_NAME.test(entry.name)) names.push(entry.name);
      }
    } catch (e) {
      if (!(e instanceof Deno.errors.NotFound)) throw e;
    }
    return names.sort();
  }
}
