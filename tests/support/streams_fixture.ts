/** A streams worker with a scratch base directory and busybox bundles, for tests and benches. */

import { WorkerHost } from "../../workers/host.ts";
import { ByteReceiver } from "../../workers/channel.ts";
import type { HostFacts, StreamsStage } from "../../workers/protocol.ts";
import type { LogOptions } from "../../daemon/spec/container.ts";
import { FrameDecoder } from "../../daemon/spec/frames.ts";

/** An event of the stage. */
export type StreamsEvent = StreamsStage["event"];

/** A 64-digit container id that no other test uses. */
export function uniqueId(): string {
  return [...crypto.getRandomValues(new Uint8Array(32))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** Layout of the cgroup mounts of this host. */
export function cgroupLayout(): HostFacts["cgroup"] {
  const exists = (p: string) => {
    try {
      Deno.statSync(p);
      return true;
    } catch {
      return false;
    }
  };
  if (exists("/sys/fs/cgroup/cgroup.controllers")) return "v2";
  return exists("/sys/fs/cgroup/unified/cgroup.controllers") ? "hybrid" : "v1";
}

const APPLETS = [
  "sh",
  "cat",
  "echo",
  "sleep",
  "seq",
  "true",
  "yes",
  "head",
  "stty",
  "kill",
  "tr",
  "wc",
  "dd",
  "printf",
];

/** What the program of a bundle needs beside argv. */
export interface BundleOptions {
  tty?: boolean;
  memoryBytes?: number;
}

/** The base directory of one test. Dispose it: kills what is left, asynchronously. */
export class StreamsFixture implements AsyncDisposable {
  readonly baseDir: string;
  readonly events: StreamsEvent[] = [];
  readonly logs: { level: string; msg: string; fields: Record<string, unknown> }[] = [];
  host: WorkerHost<StreamsStage>;
  readonly #waiters: { matches: (e: StreamsEvent) => boolean; resolve: (e: StreamsEvent) => void }[] = [];
  readonly #ids = new Set<string>();

  private constructor(baseDir: string) {
    this.baseDir = baseDir;
    this.host = this.#start();
  }

  /** Makes a fixture with its worker initialised. */
  static async create(prefix = "nyx-streams-", logDefaults: LogOptions = {}): Promise<StreamsFixture> {
    const fixture = StreamsFixture.bare(prefix);
    await fixture.init(logDefaults);
    return fixture;
  }

  /** Without init. */
  static bare(prefix = "nyx-streams-"): StreamsFixture {
    const baseDir = Deno.makeTempDirSync({ prefix });
    Deno.mkdirSync(`${baseDir}/rootfs/bin`, { recursive: true });
    for (const d of ["proc", "dev", "sys", "tmp"]) Deno.mkdirSync(`${baseDir}/rootfs/${d}`);
    Deno.copyFileSync("/bin/busybox", `${baseDir}/rootfs/bin/busybox`);
    Deno.chmodSync(`${baseDir}/rootfs/bin/busybox`, 0o755);
    for (const a of APPLETS) Deno.symlinkSync("busybox", `${baseDir}/rootfs/bin/${a}`);
    return new StreamsFixture(baseDir);
  }

  /** Sends init. */
  async init(logDefaults: LogOptions = {}, crunPath = "/usr/bin/crun"): Promise<string> {
    await this.host.ready;
    const { crunVersion } = await this.host.call("init", {
      baseDir: this.baseDir,
      crunPath,
      crunRoot: `${this.baseDir}/run/crun`,
      cgroup: cgroupLayout(),
      logDefaults: {
        driver: "json",
        maxSizeBytes: 10 * 1024 * 1024,
        maxFile: 5,
        maxAgeMs: 0,
        compress: false,
        mode: "block",
        ...logDefaults,
      },
    });
    return crunVersion;
  }

  /** Writes a bundle that runs argv; returns its directory. */
  bundle(id: string, args: string[], options: BundleOptions = {}): string {
    this.#ids.add(id);
    const dir = `${this.baseDir}/bundles/${id}`;
    Deno.mkdirSync(dir, { recursive: true });
    Deno.writeTextFileSync(
      `${dir}/config.json`,
      JSON.stringify(ociConfig(`${this.#cgroupParent}/${id}`, args, `${this.baseDir}/rootfs`, options)),
    );
    return dir;
  }

  /** Bundles and launches `sh -c script`; returns the id. */
  async launch(
    args: string[] | string,
    options: BundleOptions & { stdin?: boolean; log?: LogOptions; id?: string; size?: { rows: number; cols: number } } =
      {},
  ): Promise<{ id: string; pid: number; startedAt: string; bundleDir: string }> {
    const id = options.id ?? uniqueId();
    const bundleDir = this.bundle(id, typeof args === "string" ? ["/bin/sh", "-c", args] : args, options);
    const { pid, startedAt } = await this.host.call("launch", {
      id,
      bundleDir,
      tty: options.tty ?? false,
      stdin: options.stdin ?? false,
      log: options.log ?? {},
      ...(options.size === undefined ? {} : { consoleSize: options.size }),
    });
    return { id, pid, startedAt, bundleDir };
  }

  /** The exit event of a container, past or coming. */
  async exit(id: string, ms = 15_000): Promise<Extract<StreamsEvent, { kind: "exit" }>> {
    const e = await this.event((e) => e.kind === "exit" && e.id === id, ms);
    if (e.kind !== "exit") throw new Error("unreachable");
    return e;
  }

  /** The first event that matches, past or coming. */
  event(matches: (e: StreamsEvent) => boolean, ms = 15_000): Promise<StreamsEvent> {
    const past = this.events.find(matches);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          reject(
            new Error(
              `No such event within ${ms} ms; events: ${JSON.stringify(this.events)}; log: ${
                JSON.stringify(this.logs)
              }`,
            ),
          ),
        ms,
      );
      this.#waiters.push({
        matches,
        resolve: (e) => {
          clearTimeout(timer);
          resolve(e);
        },
      });
    });
  }

  /** A port for the worker, and the frames that come out of it by kind. */
  receive(): { port: MessagePort; frames: Promise<{ stdout: Uint8Array; stderr: Uint8Array }>; cancel: () => void } {
    const { port1, port2 } = new MessageChannel();
    const receiver = new ByteReceiver(port1);
    const collect = async () => {
      const decoder = new FrameDecoder();
      const parts: Record<number, Uint8Array[]> = { 1: [], 2: [] };
      for await (const chunk of receiver) {
        for (const { kind, payload } of decoder.push(chunk)) parts[kind]?.push(payload.slice());
      }
      return { stdout: concat(parts[1] ?? []), stderr: concat(parts[2] ?? []) };
    };
    const frames = collect();
    frames.catch(() => {});
    return { port: port2, frames, cancel: () => receiver.cancel() };
  }

  /** Directories of monitors, but those that wait for a container. */
  monitors(): string[] {
    return [...Deno.readDirSync(`${this.baseDir}/run/monitor`)].map((e) => e.name).filter((n) => !n.startsWith("."));
  }

  /** Reads a log as bytes. */
  async readLog(
    id: string,
    options: Partial<StreamsStage["ops"]["logs"]["request"]> = {},
  ): Promise<{ bytes: Uint8Array; text: string; lines: number; corrupt: number }> {
    const { port1, port2 } = new MessageChannel();
    const receiver = new ByteReceiver(port1);
    const parts: Uint8Array[] = [];
    const reading = (async () => {
      for await (const chunk of receiver) parts.push(chunk);
    })();
    const counts = await this.host.call("logs", {
      id,
      port: port2,
      follow: false,
      stdout: true,
      stderr: true,
      timestamps: false,
      format: "text",
      ...options,
    }, { transfer: [port2] });
    await reading;
    const bytes = concat(parts);
    return { bytes, text: new TextDecoder().decode(bytes), ...counts };
  }

  /** Ends the worker as a crash would and starts a new one, uninitialised. */
  restartWorker(): void {
    this.host.terminate();
    this.host = this.#start();
  }

  /** Kills and removes everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of this.#ids) await this.host.call("delete", { id }).catch(() => {});
    await this.host.call("shutdown", { cgroupParent: "", keep: false }).catch(() => {});
    this.host.terminate();
    Deno.removeSync(this.baseDir, { recursive: true });
    this.#removeCgroups();
  }

  /** The parent groups that crun made on the way to the containers' own. */
  #removeCgroups(): void {
    for (const { name } of Deno.readDirSync("/sys/fs/cgroup")) {
      for (const dir of [`/sys/fs/cgroup/${name}${this.#cgroupParent}`, `/sys/fs/cgroup${this.#cgroupParent}`]) {
        try {
          Deno.removeSync(dir);
        } catch {
          // Not on this hierarchy.
        }
      }
    }
  }

  get #cgroupParent(): string {
    return `/nyx${this.baseDir.slice(this.baseDir.lastIndexOf("/") + 1)}`;
  }

  #start(): WorkerHost<StreamsStage> {
    return new WorkerHost<StreamsStage>({
      name: "streams",
      start: () => new Worker(new URL("../../workers/streams/main.ts", import.meta.url), { type: "module" }),
      onEvent: (e) => this.#onEvent(e),
      onLog: (level, msg, fields) => this.logs.push({ level, msg, fields }),
    });
  }

  #onEvent(e: StreamsEvent): void {
    this.events.push(e);
    const i = this.#waiters.findIndex((w) => w.matches(e));
    if (i >= 0) this.#waiters.splice(i, 1)[0]?.resolve(e);
  }
}

/** Joins byte arrays. */
export function concat(parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.byteLength, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.byteLength;
  }
  return out;
}

/** The OCI process object for an exec. */
export function ociProcess(args: string[], tty = false): Record<string, unknown> {
  return { terminal: tty, user: { uid: 0, gid: 0 }, args, env: ["PATH=/bin"], cwd: "/", noNewPrivileges: true };
}

function ociConfig(cgroup: string, args: string[], rootfs: string, options: BundleOptions): Record<string, unknown> {
  const memory = options.memoryBytes === undefined
    ? undefined
    : { limit: options.memoryBytes, swap: options.memoryBytes };
  return {
    ociVersion: "1.0.0",
    process: ociProcess(args, options.tty ?? false),
    root: { path: rootfs, readonly: false },
    hostname: "test",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=65536k"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
      },
    ],
    linux: {
      cgroupsPath: cgroup,
      resources: { devices: [{ allow: false, access: "rwm" }], ...(memory === undefined ? {} : { memory }) },
      namespaces: ["pid", "ipc", "uts", "mount"].map((type) => ({ type })),
    },
  };
}
