/**
 * Named and anonymous volumes (VolumeService of the Control API), and what a container's mounts come down to.
 *
 * All that touches the host outside the base directory goes through the rootfs worker. Operations on one volume run one after the
 * other; different volumes do not wait for each other.
 */

import { createHash } from "node:crypto";
import type { WorkerHost } from "../../workers/host.ts";
import type { ResolvedMount, RootfsStage } from "../../workers/protocol.ts";
import type { VolumeService } from "../control/services.ts";
import type { RecordedMount } from "../persist/record.ts";
import type { VolumeInfo } from "../spec/api.ts";
import type { MountSpec } from "../spec/container.ts";
import { NyxError } from "../spec/errors.ts";
import { readVolume, writeVolume } from "./archive.ts";
import { bindOptions, cleanTarget, tmpfsOptions } from "./mounts.ts";
import { checkDriver, checkVolumeName, type VolumeRecord, VolumeStore, type VolumeTemplate } from "./store.ts";

type VolumeSpec = Extract<MountSpec, { type: "volume" }>;

/** What the volumes need of the rest of the daemon. */
export interface VolumesOptions {
  /** The daemon's base directory. */
  baseDir: string;
  rootfs: Pick<WorkerHost<RootfsStage>, "call">;
  /** Names of the containers, in any state, whose desired spec or record names this volume. */
  usersOf: (name: string) => string[];
  /** Names of those that run; driver mounts of volumes without any are taken off by {@linkcode Volumes.unmountIdle}. */
  runningUsersOf?: (name: string) => string[];
  /** Finds the address of an NFS server named by `addr=`; default is Deno's resolver. */
  resolveHost?: (host: string) => Promise<string>;
}

/** One mount, as recorded and as the bundle gets it. */
interface Resolution {
  recorded: RecordedMount;
  resolved: ResolvedMount;
}

async function resolveByDns(host: string): Promise<string> {
  const [address] = await Deno.resolveDns(host, "A");
  if (address === undefined) throw new NyxError("unavailable", `Could not resolve ${host}: it has no address`);
  return address;
}

/** The volumes of one daemon. */
export class Volumes implements VolumeService {
  readonly #options: VolumesOptions;
  readonly #store: VolumeStore;
  readonly #busy = new Map<string, Promise<unknown>>();
  /** Archives being read or written, by volume: it is not removed meanwhile. */
  readonly #archives = new Map<string, number>();

  /** @param options where volumes live and who knows their users */
  constructor(options: VolumesOptions) {
    this.#options = options;
    this.#store = new VolumeStore(`${options.baseDir}/volumes`);
  }

  /** All volumes by name. */
  async list(): Promise<VolumeInfo[]> {
    const infos: VolumeInfo[] = [];
    for (const name of await this.#store.names()) {
      const record = await this.#store.find(name);
      if (record !== undefined) infos.push(this.#info(record));
    }
    return infos;
  }

  /** Makes a volume; the same request again gives the same volume. */
  async create(
    options: { name?: string; driver?: string; options?: Record<string, string>; labels?: Record<string, string> },
  ): Promise<VolumeInfo> {
    const driverOptions = options.options ?? {};
    checkDriver(options.driver, driverOptions);
    const anonymous = options.name === undefined || options.name === "";
    const name = anonymous ? randomName() : options.name ?? "";
    checkVolumeName(name);
    const template = { labels: options.labels ?? {}, options: driverOptions, anonymous };
    return this.#info(await this.#exclusive(name, () => this.#ensure(name, template, true)));
  }

  /** One volume. */
  async inspect(name: string): Promise<VolumeInfo> {
    return this.#info(await this.#existing(name));
  }

  /** Removes a volume that no container uses; with `force` a missing one is no error. */
  async remove(name: string, force: boolean): Promise<void> {
    checkVolumeName(name);
    await this.#exclusive(name, async () => {
      if (await this.#store.find(name) === undefined && force) return;
      await this.#existing(name);
      const users = this.#options.usersOf(name);
      if (users.length > 0) {
        throw new NyxError(
          "failed_precondition",
          `Could not remove volume ${name}: container ${users.join(", ")} uses it; remove the container first`,
          { context: { name, usedBy: users.join(",") } },
        );
      }
      if (this.#archives.has(name)) {
        throw new NyxError("failed_precondition", `Could not remove volume ${name}: it is being exported or imported`);
      }
      await this.#erase(name);
    });
  }

  /** Removes volumes without users: anonymous ones, or with `all` named ones too. */
  async prune({ all }: { all: boolean }): Promise<{ removed: string[]; reclaimed: number }> {
    const removed: string[] = [];
    let reclaimed = 0;
    for (const name of await this.#store.names()) {
      await this.#exclusive(name, async () => {
        const record = await this.#store.find(name);
        if (record === undefined || (!all && !record.anonymous) || this.#options.usersOf(name).length > 0) return;
        if (this.#archives.has(name)) return;
        const mounted = Object.keys(record.options).length > 0;
        const paths = [`${this.#store.dir}/${name}`];
        const { bytes } = mounted ? { bytes: [0] } : await this.#options.rootfs.call("usage", { paths });
        await this.#erase(name);
        reclaimed += bytes[0] ?? 0;
        removed.push(name);
      });
    }
    return { removed, reclaimed };
  }

  /**
   * What is in a volume, as tar.
   *
   * @throws NyxError not_found, before the first byte
   */
  async exportTar(name: string): Promise<AsyncIterable<Uint8Array>> {
    await this.#existing(name);
    return this.#read(name);
  }

  /** Held from the first byte on: who never reads holds nothing. */
  async *#read(name: string): AsyncGenerator<Uint8Array, void, void> {
    await using held = await this.#hold(await this.#existing(name));
    yield* readVolume(this.#options.rootfs, held.dir);
  }

  /** Unpacks a tar into a volume, which is made where there is none; files of the same name give way. */
  async importTar(name: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<{ entries: number }> {
    checkVolumeName(name);
    const template = { labels: {}, options: {}, anonymous: false };
    await using held = await this.#hold(await this.#exclusive(name, () => this.#ensure(name, template, false)));
    return { entries: await writeVolume(this.#options.rootfs, held.dir, body, signal) };
  }

  /** Keeps a volume from being removed, with what its driver mounts. Containers start and stop with it as they like. */
  async #hold(record: VolumeRecord): Promise<{ dir: string } & AsyncDisposable> {
    const { name } = record;
    const dir = this.#store.dataDir(name);
    this.#archives.set(name, (this.#archives.get(name) ?? 0) + 1);
    const release = async () => {
      const left = (this.#archives.get(name) ?? 1) - 1;
      if (left > 0) this.#archives.set(name, left);
      else this.#archives.delete(name);
      if (Object.keys(record.options).length > 0) await this.unmountIdle();
    };
    try {
      await this.#exclusive(name, () => this.#mountDriver(record, dir));
    } catch (e) {
      await release();
      throw e;
    }
    return { dir, [Symbol.asyncDispose]: release };
  }

  /** Bytes on disk of each volume, for `system df`. */
  async usage(names: readonly string[]): Promise<number[]> {
    const paths = names.map((name) => this.#store.dataDir(name));
    return (await this.#options.rootfs.call("usage", { paths })).bytes;
  }

  /**
   * Makes what a container's mounts need and says what to mount. The same container gets the same anonymous volumes at each start.
   *
   * @param containerId names the anonymous volumes
   * @param mounts as asked for, image volumes included
   * @param rootfs mounted root, for filling empty volumes
   * @throws NyxError naming the mount
   */
  async resolve(
    containerId: string,
    mounts: MountSpec[],
    rootfs: string,
  ): Promise<{ mounts: RecordedMount[]; resolved: ResolvedMount[] }> {
    const all: Resolution[] = [];
    for (const [index, spec] of mounts.entries()) all.push(await this.#one(containerId, spec, rootfs, index));
    return { mounts: all.map((r) => r.recorded), resolved: all.map((r) => r.resolved) };
  }

  /** Removes anonymous volumes of a container that is gone; those that another container uses stay. */
  async removeAnonymous(names: string[]): Promise<void> {
    for (const name of names) {
      await this.#exclusive(name, async () => {
        const record = await this.#store.find(name);
        if (record?.anonymous === true && this.#options.usersOf(name).length === 0) await this.#erase(name);
      });
    }
  }

  /**
   * Takes off driver mounts (NFS, tmpfs…) of volumes that no running container uses: after a container stopped, and at shutdown.
   *
   * @returns names of the volumes
   */
  async unmountIdle(): Promise<string[]> {
    const running = this.#options.runningUsersOf ?? this.#options.usersOf;
    const idle: string[] = [];
    for (const name of await this.#store.names()) {
      await this.#exclusive(name, async () => {
        const record = await this.#store.find(name);
        if (record === undefined || Object.keys(record.options).length === 0 || running(name).length > 0) return;
        if (this.#archives.has(name)) return;
        const { unmounted } = await this.#options.rootfs.call("unmountBelow", { path: this.#store.dataDir(name) });
        if (unmounted.length > 0) idle.push(name);
      });
    }
    return idle;
  }

  async #one(containerId: string, spec: MountSpec, rootfs: string, index: number): Promise<Resolution> {
    const target = cleanTarget(spec.target);
    switch (spec.type) {
      case "bind": {
        const { source } = spec;
        const create = spec.bind?.createSource === true;
        const propagation = spec.bind?.propagation;
        const place = { id: containerId, baseDir: this.#options.baseDir, index };
        const { kind, source: from } = await this.#options.rootfs.call("bindSource", {
          source,
          create,
          ...place,
          ...(propagation === undefined ? {} : { propagation }),
        });
        const { recorded, resolved } = pair("bind", source, target, bindOptions(spec, kind), { anonymous: false });
        return { recorded, resolved: { ...resolved, source: from } };
      }
      case "tmpfs":
        return pair("tmpfs", "tmpfs", target, tmpfsOptions(spec), { anonymous: false });
      case "volume":
        return await this.#volume(containerId, { ...spec, target }, rootfs, index);
    }
  }

  async #volume(containerId: string, spec: VolumeSpec, rootfs: string, index: number): Promise<Resolution> {
    const anonymous = spec.source === undefined || spec.source === "";
    const name = anonymous ? anonymousName(containerId, spec.target) : spec.source ?? "";
    const driverOptions = spec.driverOptions ?? {};
    checkDriver(spec.driver, driverOptions);
    return await this.#exclusive(name, async () => {
      const template = { labels: spec.labels ?? {}, options: driverOptions, anonymous };
      const record = await this.#ensure(name, template, false);
      const volumeDir = this.#store.dataDir(name);
      await this.#mountDriver(record, volumeDir);
      if (spec.noCopy !== true && (spec.subpath ?? "") === "") {
        await this.#options.rootfs.call("populateVolume", { rootfs, target: spec.target, volumeDir });
      }
      const subpath = spec.subpath ?? "";
      const { source, kind } = subpath === ""
        ? { source: volumeDir, kind: "dir" as const }
        : await this.#options.rootfs.call("bindSubpath", {
          id: containerId,
          baseDir: this.#options.baseDir,
          index,
          volumeDir,
          subpath,
        });
      const options = bindOptions(spec.readOnly === true ? { readOnly: true } : {}, kind);
      return pair("volume", source, spec.target, options, { name, anonymous });
    });
  }

  async #mountDriver(record: VolumeRecord, target: string): Promise<void> {
    const { type = "", device = "", o = "" } = record.options;
    if (Object.keys(record.options).length === 0) return;
    const options = type.startsWith("nfs") || type === "cifs" ? await this.#withAddress(o) : o;
    await this.#options.rootfs.call("mountVolume", { target, type, device, options });
  }

  /** mount(2) takes addresses only: replaces a name in addr= by its address. */
  async #withAddress(options: string): Promise<string> {
    const host = /(?:^|,)addr=([^,]+)/.exec(options)?.[1];
    if (host === undefined || /^[0-9.]+$/.test(host) || host.includes(":")) return options;
    const address = await (this.#options.resolveHost ?? resolveByDns)(host);
    return options.replace(`addr=${host}`, `addr=${address}`);
  }

  async #ensure(name: string, template: VolumeTemplate, strict: boolean): Promise<VolumeRecord> {
    const there = await this.#store.find(name);
    if (there === undefined) return await this.#store.make(name, template);
    const wanted = template.options;
    const differs = Object.keys({ ...wanted, ...there.options }).some((k) => wanted[k] !== there.options[k]);
    if (differs && (strict || Object.keys(wanted).length > 0)) {
      throw new NyxError(
        "already_exists",
        `Could not make volume ${name}: it exists with other driver options; choose another name or remove it first`,
        { context: { name } },
      );
    }
    // A removal that a crash cut off has taken the data and left the record.
    await this.#store.ensureData(name);
    return there;
  }

  async #existing(name: string): Promise<VolumeRecord> {
    const record = await this.#store.find(name);
    if (record !== undefined) return record;
    throw new NyxError("not_found", `Could not find volume ${JSON.stringify(name)}; \`nyx volume ls\` lists them`, {
      context: { name },
    });
  }

  /** The record goes last: a removal cut off in the middle is seen as a volume and can be repeated. */
  async #erase(name: string): Promise<void> {
    const dir = `${this.#store.dir}/${name}`;
    await this.#options.rootfs.call("unmountBelow", { path: dir });
    await this.#options.rootfs.call("removeTree", { path: `${dir}/_data` });
    await this.#options.rootfs.call("removeTree", { path: dir });
  }

  #info(record: VolumeRecord): VolumeInfo {
    const { name, driver, created, labels, options, anonymous } = record;
    const usedBy = this.#options.usersOf(name);
    return { name, driver, mountpoint: this.#store.dataDir(name), created, labels, options, anonymous, usedBy };
  }

  /** Runs jobs of one volume in their order. */
  async #exclusive<T>(name: string, job: () => Promise<T>): Promise<T> {
    const before = this.#busy.get(name) ?? Promise.resolve();
    const mine = before.then(job, job);
    const settled = mine.catch(() => {});
    this.#busy.set(name, settled);
    try {
      return await mine;
    } finally {
      if (this.#busy.get(name) === settled) this.#busy.delete(name);
    }
  }
}

function pair(
  type: RecordedMount["type"],
  source: string,
  target: string,
  options: string[],
  more: { name?: string; anonymous: boolean },
): Resolution {
  return {
    recorded: { type, source, target, options, ...more },
    resolved: { type: type === "tmpfs" ? "tmpfs" : "bind", source, target, options },
  };
}

function randomName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** The name of a container's anonymous volume: the same at each start, so that its data is found again. */
export function anonymousName(containerId: string, target: string): string {
  return createHash("sha256").update(`${containerId}\0${target}`).digest("hex");
}
