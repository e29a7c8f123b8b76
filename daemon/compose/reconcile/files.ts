/**
 * Contents of configs and secrets as files that containers mount, under names that their content decides, with the owner and mode that
 * the service asks for inside, below directories that root alone can enter.
 *
 * Secrets lie on a tmpfs that is never swapped out where the kernel can promise that. On disk there is a second copy of those only
 * that belong to containers which nyxd starts by itself after a reboot, when nobody is there to send them again.
 */

import { writeFileAtomic } from "../../persist/atomic.ts";
import type { RestartPolicy } from "../../spec/container.ts";
import { toNyxError } from "../../spec/errors.ts";
import type { ServiceFile } from "../service_files.ts";

/** Most that all secrets may take together; memory is taken as it is used. */
const TMPFS_SIZE = "size=256m,nr_inodes=64k";

/** Where the files of one project lie, and who puts them there. */
export interface ProjectFiles {
  /** Below it lie configs/, and copies of secrets that outlive a reboot. */
  readonly filesDir: string;
  /** Below it lies secrets/. */
  readonly secretsDir: string;
  /** Lays out files; `kept`: also for after a reboot. */
  layOut(files: readonly ServiceFile[], kept: boolean): Promise<void>;
  /** Whether some of these paths are secrets that are not there any more. */
  lost(paths: readonly string[]): Promise<boolean>;
}

/** For plans that make no container. */
export const NO_FILES: ProjectFiles = {
  filesDir: "",
  secretsDir: "",
  layOut: () => Promise.resolve(),
  lost: () => Promise.resolve(false),
};

/** Whether nyxd starts a container by itself after a reboot. */
export function startsByItself(restart: RestartPolicy | undefined): boolean {
  return restart !== undefined && restart.name !== "no";
}

/** What decides which files are in use. */
export interface FileUser {
  binds: readonly string[];
  config: { restart?: RestartPolicy };
}

/** The files of all projects of one daemon. */
export class FileStore {
  readonly #disk: string;
  readonly #memory: string;
  readonly #mount: (path: string, options: string) => Promise<void>;
  #mounted: Promise<void> | undefined;

  /**
   * @param disk directory of projects, below the base directory
   * @param memory where the tmpfs of secrets is mounted
   * @param mount mounts a tmpfs, unless something is mounted there
   */
  constructor(disk: string, memory: string, mount: (path: string, options: string) => Promise<void>) {
    this.#disk = disk;
    this.#memory = memory;
    this.#mount = mount;
  }

  /** Files of one project. */
  of(project: string): ProjectFiles {
    const filesDir = `${this.#disk}/${project}`;
    const secretsDir = `${this.#memory}/${project}`;
    return {
      filesDir,
      secretsDir,
      layOut: async (files, kept) => {
        if (files.some((f) => f.kind === "secret")) await this.#ready();
        await layOut(files);
        if (kept) await layOut(files.filter((f) => f.kind === "secret").map((f) => copyOf(f, secretsDir, filesDir)));
      },
      lost: async (paths) => {
        const secrets = paths.filter((path) => path.startsWith(`${secretsDir}/`));
        return (await Promise.all(secrets.map(exists))).includes(false);
      },
    };
  }

  /** Mounts the tmpfs at its first use. */
  #ready(): Promise<void> {
    return this.#mounted ??= this.#make().catch((e) => {
      this.#mounted = undefined;
      throw e;
    });
  }

  async #make(): Promise<void> {
    await Deno.mkdir(this.#memory, { recursive: true, mode: 0o700 });
    const options = `nosuid,nodev,noexec,mode=0700,${TMPFS_SIZE}`;
    try {
      await this.#mount(this.#memory, `${options},noswap`);
    } catch (e) {
      // Linux before 6.4 has no such option.
      if (toNyxError(e).code !== "failed_precondition") throw e;
      await this.#mount(this.#memory, options);
    }
  }

  /** Puts secrets back that went with a reboot; what containers mount has to be there before they start. */
  async restore(): Promise<void> {
    for (const project of names(this.#disk)) {
      const { filesDir, secretsDir } = this.of(project);
      for (const name of names(`${filesDir}/secrets`)) {
        await this.#ready();
        const from = `${filesDir}/secrets/${name}`;
        const { uid, gid, mode } = await Deno.stat(from);
        const content = await Deno.readFile(from);
        const file = { hostPath: `${secretsDir}/secrets/${name}`, content, uid: uid ?? 0, gid: gid ?? 0 };
        await layOut([{ ...file, mode: (mode ?? 0) & 0o7777 }]);
      }
    }
  }

  /** Removes files that no container mounts. */
  async removeUnused(project: string, users: readonly FileUser[]): Promise<void> {
    const { filesDir, secretsDir } = this.of(project);
    const used = new Set(users.flatMap((user) => user.binds));
    const kept = new Set(users.filter((user) => startsByItself(user.config.restart)).flatMap((user) => user.binds));
    await removeExcept(`${filesDir}/configs`, (name) => used.has(`${filesDir}/configs/${name}`));
    await removeExcept(`${secretsDir}/secrets`, (name) => used.has(`${secretsDir}/secrets/${name}`));
    await removeExcept(`${filesDir}/secrets`, (name) => kept.has(`${secretsDir}/secrets/${name}`));
  }

  /** Removes all files of a project. */
  async remove(project: string): Promise<void> {
    const { filesDir, secretsDir } = this.of(project);
    for (const path of [filesDir, secretsDir]) {
      await Deno.remove(path, { recursive: true }).catch((e) => {
        if (!(e instanceof Deno.errors.NotFound)) throw e;
      });
    }
  }
}

/** The same file below another directory. */
function copyOf(file: ServiceFile, from: string, to: string): ServiceFile {
  return { ...file, hostPath: `${to}${file.hostPath.slice(from.length)}` };
}

/** Lays out files; those that are there are right, since their name is their digest. */
export async function layOut(
  files: readonly Pick<ServiceFile, "hostPath" | "content" | "uid" | "gid" | "mode">[],
): Promise<void> {
  for (const { hostPath, content, uid, gid, mode } of files) {
    if (await exists(hostPath)) continue;
    await Deno.mkdir(hostPath.slice(0, hostPath.lastIndexOf("/")), { recursive: true, mode: 0o700 });
    const temporary = `${hostPath}.${crypto.randomUUID().slice(0, 8)}`;
    try {
      await writeFileAtomic(temporary, content);
      await Deno.chown(temporary, uid, gid);
      await Deno.chmod(temporary, mode);
      await Deno.rename(temporary, hostPath);
    } catch (e) {
      await Deno.remove(temporary).catch(() => {});
      throw e;
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return false;
    throw e;
  }
}

/** Names in a directory; none when there is no such directory. */
function names(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map((entry) => entry.name);
  } catch (e) {
    if (e instanceof Deno.errors.NotFound || e instanceof Deno.errors.NotADirectory) return [];
    throw e;
  }
}

async function removeExcept(dir: string, keep: (name: string) => boolean): Promise<void> {
  for (const name of names(dir)) if (!keep(name)) await Deno.remove(`${dir}/${name}`);
}
