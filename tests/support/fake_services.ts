/** Services that do nothing but record their calls and give well-formed answers; a test replaces what it is about. */

import type { Attachment, Services, StreamInput } from "../../daemon/control/services.ts";
import type * as api from "../../daemon/spec/api.ts";
import { encodeFrame, encodeJsonFrame, FRAME } from "../../daemon/spec/frames.ts";

/** One recorded call. */
export interface RecordedCall {
  /** Such as `containers.stop`. */
  method: string;
  /** As given; functions and signals left out. */
  args: unknown[];
}

/** Id of the one container there is. */
export const FAKE_ID = "0123456789ab".padEnd(64, "c");

const encoder = new TextEncoder();

/** An attachment that echoes its input, ends with it, and tells what happened to it. */
export class EchoAttachment implements Attachment {
  /** Inputs in order. */
  readonly inputs: StreamInput[] = [];
  /** Times that it was detached. */
  detached = 0;
  readonly exit: Promise<{ code: number; finishedAt: string; oomKilled: boolean } | undefined>;
  readonly #queue: Uint8Array[] = [];
  #wake = Promise.withResolvers<void>();
  #ended = false;
  readonly #exit = Promise.withResolvers<{ code: number; finishedAt: string; oomKilled: boolean } | undefined>();

  constructor() {
    this.exit = this.#exit.promise;
  }

  /** Ends as a process does. */
  finish(code: number | undefined): void {
    this.#ended = true;
    this.#exit.resolve(
      code === undefined ? undefined : { code, finishedAt: new Date().toISOString(), oomKilled: false },
    );
    this.#wake.resolve();
  }

  /** Writes as the process does. */
  emit(kind: number, bytes: Uint8Array): void {
    this.#queue.push(encodeFrame(kind, bytes));
    this.#wake.resolve();
  }

  readonly input = (input: StreamInput): Promise<void> => {
    this.inputs.push(input.kind === "stdin" ? { kind: "stdin", bytes: input.bytes.slice() } : input);
    if (input.kind === "stdin") this.emit(FRAME.stdout, input.bytes);
    if (input.kind === "stdinEnd") this.finish(7);
    if (input.kind === "signal") this.emit(FRAME.stderr, encoder.encode(input.signal));
    return Promise.resolve();
  };

  readonly output: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => this.#drain() };

  async *#drain(): AsyncGenerator<Uint8Array> {
    while (true) {
      const next = this.#queue.shift();
      if (next !== undefined) yield next;
      else if (this.#ended) return;
      else {
        await this.#wake.promise;
        this.#wake = Promise.withResolvers<void>();
      }
    }
  }

  detach(): void {
    this.detached++;
    this.finish(undefined);
  }
}

async function* oneChunk(): AsyncGenerator<Uint8Array, void, void> {
  yield await Promise.resolve(new Uint8Array(1024));
}

const summary: api.ContainerSummary = {
  id: FAKE_ID,
  short_id: FAKE_ID.slice(0, 12),
  name: "web",
  image: "busybox:latest",
  image_id: "sha256:00",
  command: "sh",
  created: "2026-01-01T00:00:00Z",
  status: "running",
  status_text: "Up 1 second",
  ports: [{ hostIp: "", hostPort: 8080, containerPort: 80, count: 1, protocol: "tcp" }],
  labels: {},
  networks: ["nyx"],
  mounts: [],
  restart_count: 0,
};

const details: api.ContainerDetails = {
  id: FAKE_ID,
  short_id: FAKE_ID.slice(0, 12),
  name: "web",
  created: "2026-01-01T00:00:00Z",
  image: "busybox:latest",
  image_id: "sha256:00",
  argv: ["sh"],
  config: { image: "busybox:latest" },
  state: { status: "running", running: true, pid: 1, oom_killed: false, restart_count: 0 },
  network: { mode: "bridge", endpoints: [], ports: [] },
  mounts: [],
  paths: { bundle: "/b", rootfs: "/r", log: "/l", resolv_conf: "/c", hosts: "/h", hostname: "/n" },
  stop_signal: "SIGTERM",
  warnings: [],
};

const image: api.ImageSummary = {
  id: "sha256:00",
  refs: ["docker.io/library/busybox:latest"],
  digests: [],
  size: 1,
  containers: 0,
  platform: "linux/amd64",
  labels: {},
};

const volume: api.VolumeInfo = {
  name: "data",
  driver: "local",
  mountpoint: "/v",
  created: "2026-01-01T00:00:00Z",
  labels: {},
  options: {},
  anonymous: false,
  usedBy: [],
};

const network: api.NetworkInfo = {
  id: "b".repeat(64),
  name: "data",
  driver: "bridge",
  created: "2026-01-01T00:00:00Z",
  default: false,
  bridge: "nyx-bbbbbbbbbbb",
  subnets: [{ subnet: "10.89.0.0/24", gateway: "10.89.0.1" }],
  internal: false,
  ipv4: true,
  ipv6: false,
  labels: {},
  options: {},
  containers: [{
    id: "c".repeat(64),
    name: "web",
    status: "running",
    ip: "10.89.0.2",
    prefix: 24,
    mac: "02:00:00:00:00:01",
  }],
};

const pulled: api.PullResult = {
  ok: true,
  ref: "docker.io/library/busybox:latest",
  id: "sha256:00",
  digest: "sha256:01",
  cached: false,
  config: { os: "linux", architecture: "amd64", entrypoint: [], cmd: ["sh"], working_dir: "/", env_len: 1 },
};

/** Well-formed answers of all services. */
function defaults(): Services {
  const id = { id: FAKE_ID };
  return {
    images: {
      pull: (_ref, options) => {
        options.onEvent?.({ phase: "begin", ref: pulled.ref });
        options.onEvent?.({ phase: "done", ref: pulled.ref });
        return Promise.resolve(pulled);
      },
      list: () => Promise.resolve([image]),
      inspect: () =>
        Promise.resolve({
          ...image,
          config: { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } },
          manifestDigest: "sha256:01",
          layers: [],
        }),
      history: () => Promise.resolve([{ created_by: "RUN x", size: 0 }]),
      remove: (ref) => Promise.resolve({ ok: true, ref, untagged: [], deleted: [] }),
      prune: ({ dryRun }) => Promise.resolve({ ok: true, dry_run: dryRun, removed: [], in_use: [], reclaimed: 0 }),
      tag: () => Promise.resolve(),
      load: async (body) => {
        let size = 0;
        for await (const piece of body) size += piece.byteLength;
        return { refs: [`loaded:${size}`], ids: [] };
      },
      save: () => Promise.resolve(ReadableStream.from([encoder.encode("tar")])),
      login: () => Promise.resolve({}),
    },
    containers: {
      list: () => Promise.resolve([summary]),
      inspect: () => Promise.resolve(details),
      create: (config) =>
        Promise.resolve({ ok: true, id: FAKE_ID, name: config.name ?? "web", image: config.image, warnings: [] }),
      start: (_ref, attach) =>
        Promise.resolve(attach === undefined ? { ...id, pid: 1 } : { ...id, pid: 1, attachment: new EchoAttachment() }),
      stop: () => Promise.resolve(id),
      restart: () => Promise.resolve(id),
      kill: (_ref, signal) => Promise.resolve({ ...id, signal }),
      pause: () => Promise.resolve(id),
      unpause: () => Promise.resolve(id),
      remove: () => Promise.resolve(id),
      prune: () => Promise.resolve({ removed: [], reclaimed: 0 }),
      rename: (_ref, name) => Promise.resolve({ ...id, name }),
      update: () => Promise.resolve({ ...id, warnings: [] }),
      wait: () => Promise.resolve({ exitCode: 3 }),
      attach: () => Promise.resolve(new EchoAttachment()),
      exec: (_ref, request) => {
        if (request.detach === true) return Promise.resolve({ execId: "exec1", pid: 2 });
        const attachment = new EchoAttachment();
        if (request.stdin !== true) {
          attachment.emit(FRAME.stdout, encoder.encode("out\n"));
          attachment.emit(FRAME.stderr, encoder.encode("err\n"));
          attachment.finish(5);
        }
        return Promise.resolve({ execId: "exec1", pid: 2, attachment });
      },
      resize: () => Promise.resolve(),
      logs: (_ref, query) =>
        Promise.resolve(ReadableStream.from([
          query.format === "frames" ? encodeJsonFrame(FRAME.stdout, "line") : encoder.encode("line\n"),
        ])),
      top: () => Promise.resolve({ titles: ["PID"], processes: [["1"]] }),
      stats: () => Promise.resolve({ cpu_ns: 1, name: "web" }),
      changes: () => Promise.resolve([{ kind: "A", path: "/x" }]),
      statPath: (_ref, path) =>
        Promise.resolve({
          name: path,
          kind: "dir",
          size: 0,
          mode: 0o755,
          mtime: "2026-01-01T00:00:00Z",
          target_is_dir: true,
        }),
      readArchive: () => Promise.resolve(oneChunk()),
      writeArchive: async (_ref, _target, body) => {
        let entries = 0;
        for await (const _ of body) entries++;
        return { entries };
      },
      exportRoot: () => Promise.resolve(oneChunk()),
      commit: () => Promise.resolve({ id: `sha256:${FAKE_ID}` }),
    },
    volumes: {
      list: () => Promise.resolve([volume]),
      create: () => Promise.resolve(volume),
      inspect: () => Promise.resolve(volume),
      remove: () => Promise.resolve(),
      prune: () => Promise.resolve({ removed: [], reclaimed: 0 }),
      exportTar: () => Promise.resolve(ReadableStream.from([encoder.encode("tar")])),
      importTar: () => Promise.resolve({ entries: 1 }),
    },
    networks: {
      list: () => Promise.resolve([network]),
      create: () => Promise.resolve(network),
      inspect: () => Promise.resolve(network),
      remove: () => Promise.resolve({ id: network.id, name: network.name }),
      prune: () => Promise.resolve({ removed: [] }),
      connect: () => Promise.resolve(),
      disconnect: () => Promise.resolve(),
      explain: () => Promise.resolve([{ subject: "8080/tcp", open: true, steps: [{ verdict: "ok", text: "It is." }] }]),
    },
    build: {
      build: (request, emit) => {
        emit({ event: "built", id: `sha256:${"d".repeat(64)}`, refs: request.tags ?? [] });
        return new EchoAttachment();
      },
      prune: () => Promise.resolve({ reclaimed: 0 }),
    },
    compose: {
      up: (_request, { onEvent }) => {
        onEvent({ event: "step", id: "create:shop-web-1", action: "create", target: "shop-web-1", state: "done" });
        return Promise.resolve({
          ok: true,
          project: "shop",
          ids: [FAKE_ID],
          done: ["create:shop-web-1"],
          warnings: [],
        });
      },
      down: () =>
        Promise.resolve({
          ok: true,
          project: "shop",
          removed: [FAKE_ID],
          removed_networks: [],
          removed_volumes: [],
          removed_volume_paths: [],
          removed_images: [],
          warnings: [],
        }),
      act: (action) =>
        Promise.resolve({
          ok: true,
          project: "shop",
          ids: [FAKE_ID],
          ...(action === "stop" ? { stopped: [FAKE_ID] } : {}),
        }),
      config: () => Promise.resolve({ ok: true, project: "shop", text: "name: shop\n", diagnostics: [] }),
      plan: () =>
        Promise.resolve({
          plan: { project: "shop", steps: [], blocked: [], warnings: [], world: "0" },
          text: "Project shop: nothing to do\n",
          diagnostics: [],
        }),
      ps: () =>
        Promise.resolve({
          project: "shop",
          services: ["web"],
          containers: [{ ...summary, service: "web", number: 1, oneoff: false }],
        }),
      list: () => Promise.resolve([{ name: "shop", status: "running(1)", config_files: ["/c.yaml"], containers: 1 }]),
      pull: () => Promise.resolve({ ok: true, project: "shop", ids: [], done: [], warnings: [] }),
      run: () => Promise.resolve({ ok: true, project: "shop", id: FAKE_ID, name: "shop-web-run-1", warnings: [] }),
    },
    system: {
      check: () => Promise.resolve({ findings: [], repaired: [] }),
      doctor: () => Promise.resolve([{ name: "kernel", state: "ok", found: "6" }]),
      metrics: () => "nyxd_info 1\n",
      version: () => ({
        daemon: "nyxd",
        version: "0.0.0",
        commit: "none",
        buildDate: "none",
        apiVersion: "1",
        deno: "2",
        crun: "1",
        kernel: "6",
      }),
      info: () =>
        Promise.resolve({
          version: "0.0.0",
          baseDir: "/b",
          containers: { total: 1, running: 1, paused: 0, stopped: 0 },
          images: 1,
          cgroup: "v2",
          netDriver: "native",
          kernel: "6",
          architecture: "x86_64",
          cpus: 2,
          memoryBytes: 1,
          crun: "1",
          network: { name: "nyx", bridge: "nyxbr0", subnet: "10.88.0.0/16", gateway: "10.88.0.1" },
          eventLoopDelayMs: { p50: 0, p99: 0, max: 0 },
          warnings: [],
        }),
      df: () => Promise.resolve({ rows: [{ type: "images", total: 1, active: 0, size: 1, reclaimable: 1 }], total: 1 }),
      events: () =>
        ReadableStream.from<api.EventRecord>([
          { time: "2026-01-01T00:00:00Z", type: "container", action: "start", id: FAKE_ID, attributes: {} },
        ]),
      shutdown: () => Promise.resolve(),
    },
  };
}

/** Services by parts: each part of a service may be replaced. */
export type ServiceParts = { [Name in keyof Services]?: Partial<Services[Name]> };

/** Services that record; `parts` replace single methods. */
export function fakeServices(parts: ServiceParts = {}): { services: Services; calls: RecordedCall[] } {
  const calls: RecordedCall[] = [];
  const record = <T extends object>(name: string, target: T): T =>
    new Proxy(target, {
      get(object, key, receiver) {
        const method: unknown = Reflect.get(object, key, receiver);
        if (typeof method !== "function") return method;
        return (...args: unknown[]) => {
          const plain = args.filter((arg) => !(arg instanceof AbortSignal) && !(arg instanceof ReadableStream));
          calls.push({ method: `${name}.${String(key)}`, args: plain });
          return Reflect.apply(method, object, args);
        };
      },
    });
  const base = defaults();
  const services: Services = {
    images: record("images", { ...base.images, ...parts.images }),
    containers: record("containers", { ...base.containers, ...parts.containers }),
    volumes: record("volumes", { ...base.volumes, ...parts.volumes }),
    networks: record("networks", { ...base.networks, ...parts.networks }),
    compose: record("compose", { ...base.compose, ...parts.compose }),
    build: record("build", { ...base.build, ...parts.build }),
    system: record("system", { ...base.system, ...parts.system }),
  };
  return { services, calls };
}
