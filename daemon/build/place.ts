/**
 * Where builds keep what, below the daemon's base directory:
 *
 *     build/*.conf, policy.json    settings of buildah: nothing of the host's /etc/containers is used
 *     build/storage/               steps of earlier builds and working containers, buildah's own
 *     build/jobs/<id>/             one build: context, Dockerfile, secrets, agents' sockets, result; removed with it
 */

/** PATH of the programs that a build starts. */
export const PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Paths of one build. */
export interface JobPaths {
  dir: string;
  /** Directory that the upload is unpacked into. */
  upload: string;
  dockerfile: string;
  /** Stands in for .dockerignore, which the client has applied. */
  ignore: string;
  /** Files that stand for here-documents. */
  heredocs: string;
  secrets: string;
  ssh: string;
  tmp: string;
  runroot: string;
  bases: string;
  /** OCI layout of the result. */
  out: string;
  /** Where buildah writes the id. */
  idFile: string;
}

/** Paths of all builds. */
export class BuildPaths {
  /**
   * @param baseDir the daemon's
   * @param programPath where buildah and what it starts are found
   */
  constructor(readonly baseDir: string, readonly programPath: string = PROGRAM_PATH) {}

  /** All of it. */
  get root(): string {
    return `${this.baseDir}/build`;
  }

  /** Steps of earlier builds. */
  get storage(): string {
    return `${this.root}/storage`;
  }

  /** Directory of the builds under way. */
  get jobs(): string {
    return `${this.root}/jobs`;
  }

  /** Paths of one build. */
  job(id: string): JobPaths {
    const dir = `${this.jobs}/${id}`;
    return {
      dir,
      upload: `${dir}/upload`,
      dockerfile: `${dir}/Dockerfile`,
      ignore: `${dir}/ignore`,
      heredocs: `${dir}/heredocs`,
      secrets: `${dir}/secrets`,
      ssh: `${dir}/ssh`,
      tmp: `${dir}/tmp`,
      runroot: `${dir}/run`,
      bases: `${dir}/bases`,
      out: `${dir}/out`,
      idFile: `${dir}/id`,
    };
  }

  /** Environment of buildah in one build; nothing of the daemon's own goes along but proxies. */
  environment(job: JobPaths, proxies: Readonly<Record<string, string>>): Record<string, string> {
    return {
      ...proxies,
      PATH: this.programPath,
      HOME: this.root,
      TMPDIR: job.tmp,
      CONTAINERS_CONF: `${this.root}/containers.conf`,
      CONTAINERS_STORAGE_CONF: `${this.root}/storage.conf`,
      CONTAINERS_REGISTRIES_CONF: `${this.root}/registries.conf`,
    };
  }

  /** Options before buildah's command. */
  globalOptions(job: JobPaths): string[] {
    return ["--root", this.storage, "--runroot", job.runroot, "--storage-driver", "overlay"];
  }

  /** Policy that buildah wants for reading directories. */
  get policy(): string {
    return `${this.root}/policy.json`;
  }

  /** Makes the directories and settings. */
  async prepare(crun: string): Promise<void> {
    for (const dir of [this.root, this.storage, this.jobs]) await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
    const text = JSON.stringify;
    const files: Record<string, string> = {
      "containers.conf": `[engine]\ncgroup_manager = "cgroupfs"\nruntime = "crun"\n[engine.runtimes]\ncrun = [${
        text(crun)
      }]\n`,
      "storage.conf": `[storage]\ndriver = "overlay"\ngraphroot = ${text(this.storage)}\nrunroot = ${
        text(`${this.root}/run`)
      }\n`,
      // What is not here is nyx's to pull; buildah finds no registry by a short name.
      "registries.conf": 'unqualified-search-registries = ["docker.io"]\nshort-name-mode = "disabled"\n',
      "policy.json": '{"default":[{"type":"insecureAcceptAnything"}]}\n',
    };
    for (const [name, content] of Object.entries(files)) await Deno.writeTextFile(`${this.root}/${name}`, content);
  }

  /** Makes the directories of one build. */
  async prepareJob(job: JobPaths, uploads: number): Promise<void> {
    for (const dir of [job.dir, job.upload, job.secrets, job.ssh, job.tmp, job.runroot, job.bases]) {
      await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
    }
    for (let i = 0; i < uploads; i++) await Deno.mkdir(`${job.upload}/${i}`, { mode: 0o755 });
    await Deno.writeTextFile(job.ignore, "");
  }
}
