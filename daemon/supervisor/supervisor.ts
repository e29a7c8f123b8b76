/** The Supervisor (D02): what users ask of containers. */

import type { Attachment, AttachOptions, ContainerService, LogQuery } from "../control/services.ts";
import type { CommitRequest, CreateResult, ExecRequest, PathStat, PublishChange } from "../spec/api.ts";
import type { ContainerConfig, NetworkAttachment, PortMapping, Resources } from "../spec/container.ts";
import { NyxError } from "../spec/errors.ts";
import { parseRestart } from "../spec/parse/restart.ts";
import { nowRfc3339 } from "../spec/time.ts";
import { registrationOf } from "../dns/registration.ts";
import { attachment, consoleSize, following, inputOf, outputChannel } from "./attachments.ts";
import { untilAvailable } from "./available.ts";
import { ownChanges } from "./changes.ts";
import { connect, disconnect } from "./connect.ts";
import { commitImage } from "./commit.ts";
import { Container } from "./container.ts";
import { newRecord, resolveNetworks } from "./create.ts";
import { boundedMs, type StopOptions, SupervisorCore } from "./core.ts";
import { runExec } from "./exec.ts";
import { exportRoot, readArchive, type ReadOptions, statPath, writeArchive } from "./files.ts";
import { tryHooks } from "./hooks.ts";
import { networkRequest } from "./launch.ts";
import { randomId } from "./names.ts";
import type { OpenPort } from "./ports.ts";
import { changePorts, movePorts, unpublished } from "./publish.ts";
import { passes, summaryOf } from "./view.ts";
import { type WaitAnswer, type WaitCondition, waitFor } from "./wait.ts";

/** Supervisor of one base directory. */
export class Supervisor extends SupervisorCore implements ContainerService {
  // ------------------------------------------------------------------ life

  /** Attaches to a network; `attachment.network` is its name. */
  async connect(ref: string, attachment: NetworkAttachment): Promise<Container> {
    const container = this.find(ref);
    await connect(container, this.deps, attachment);
    return container;
  }

  /** Detaches from a network, by its name. */
  async disconnect(ref: string, network: string): Promise<Container> {
    const container = this.find(ref);
    await disconnect(container, this.deps, network);
    return container;
  }

  /**
   * Makes a container.
   *
   * @param options `durable` false answers before the record is on disk, for a caller that starts it at once: `start`
   * answers when it is
   */
  async create(config: ContainerConfig, options: { durable?: boolean } = {}): Promise<CreateResult> {
    const container = await this.#create(config);
    const saved = container.save();
    if (options.durable === false) this.keep(saved);
    else await saved;
    const { id, name, record } = container;
    return { ok: true, id, name, image: record.image.ref, warnings: record.warnings };
  }

  async #create(config: ContainerConfig): Promise<Container> {
    const { deps, id } = { deps: this.deps, id: randomId() };
    const name = this.registry.reserve(config.name, id);
    try {
      const { config: resolved, names: networks } = resolveNetworks(this.#resolveJoins(config), deps.networks);
      using _networks = deps.networks.use(networks);
      if (config.init === true && deps.defaults.initPath === undefined) {
        throw new NyxError(
          "failed_precondition",
          "Could not honour --init: the host has no init binary for containers; install one, such as Debian's catatonit or tini",
        );
      }
      using image = await deps.images.ensure(config.image, {
        policy: "never",
        ...(config.platform === undefined ? {} : { platform: config.platform }),
      });
      const record = newRecord(resolved, image, { id, name, created: nowRfc3339() }, {
        baseDir: deps.baseDir,
        hostname: deps.defaults.hostname,
        architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64",
      });
      const request = networkRequest(record, deps.defaults.network);
      if (request.ports.length > 0 || request.attachments.some((a) => a.ip !== undefined || a.ip6 !== undefined)) {
        await deps.networks.ready(networks);
        record.ports = (await untilAvailable(() => deps.stages.network.call("reserve", request))).ports;
      }
      record.warnings.push(...unpublished(request, record.ports, deps.networks));
      const container = this.admit(record);
      container.emit("create");
      return container;
    } catch (e) {
      this.registry.release(name, id);
      throw e;
    }
  }

  /** Replaces names by ids in `container:` modes, so that a rename changes nothing. */
  #resolveJoins(config: ContainerConfig): ContainerConfig {
    const resolved = { ...config };
    for (const key of ["networkMode", "pidMode", "ipcMode", "utsMode"] as const) {
      const mode = resolved[key];
      if (mode?.startsWith("container:")) resolved[key] = `container:${this.find(mode.slice(10)).id}`;
    }
    return resolved;
  }

  /** Starts, attached where asked. */
  async start(ref: string, attach?: AttachOptions): Promise<{ id: string; pid: number; attachment?: Attachment }> {
    const container = this.find(ref);
    return { id: container.id, ...await this.#start(container, attach) };
  }

  async #start(container: Container, attach?: AttachOptions): Promise<{ pid: number; attachment?: Attachment }> {
    const size = attach === undefined ? undefined : consoleSize(attach);
    const sized = size === undefined ? {} : { consoleSize: size };
    if (attach === undefined) {
      const pid = await container.start(sized);
      await container.save();
      return { pid };
    }
    if (container.live) {
      return { pid: container.record.state.pid, attachment: await this.attach(container.id, attach) };
    }
    // The streams worker takes an attachment before there is a process, so that it sees the first byte.
    const failed = new AbortController();
    const { channel, operation } = this.#beginAttach(container.id, attach, failed.signal);
    try {
      const pid = await container.start(sized);
      return { pid, attachment: this.#attachment(container, channel, following(channel, operation), attach) };
    } catch (e) {
      operation.catch(() => {});
      failed.abort();
      channel.receiver.cancel();
      throw e;
    }
  }

  #beginAttach(id: string, options: AttachOptions, signal?: AbortSignal) {
    const channel = outputChannel();
    const { stdout, stderr, replay } = options;
    const request = { id, port: channel.port, stdout, stderr, ...(replay === undefined ? {} : { replay }) };
    const operation = this.deps.stages.streams.call("attach", request, {
      transfer: [channel.port],
      ...(signal === undefined ? {} : { signal }),
    });
    return { channel, operation };
  }

  #attachment(
    container: Container,
    channel: ReturnType<typeof outputChannel>,
    output: AsyncIterable<Uint8Array>,
    options: AttachOptions,
  ): Attachment {
    const kill = (name: string) => container.kill(name);
    const wants = options.stdin || container.record.spec.tty === true;
    const input = inputOf(this.deps.stages.streams, container.id, kill);
    return attachment(channel, output, container.exited, async (i) => {
      if (wants || i.kind === "signal") await input(i);
    });
  }

  /** Attaches to a running container. */
  attach(ref: string, options: AttachOptions): Promise<Attachment> {
    const container = this.find(ref);
    if (!container.live) {
      return Promise.reject(
        new NyxError(
          "failed_precondition",
          `Could not attach to container "${container.name}": it is ${container.status}; start it first`,
        ),
      );
    }
    const { channel, operation } = this.#beginAttach(container.id, options);
    return Promise.resolve(this.#attachment(container, channel, following(channel, operation), options));
  }

  /** Stops; see {@linkcode Container.stop}. */
  async stop(ref: string, { timeoutS, signal, untilMs = Infinity }: StopOptions): Promise<{ id: string }> {
    const container = this.find(ref);
    if (container.status === "running") await tryHooks(container, "preStop", this.deps, untilMs - performance.now());
    const graceS = timeoutS ?? container.record.spec.stopTimeoutS ?? this.deps.defaults.stopTimeoutS;
    await container.stop(signal ?? container.record.stopSignal, boundedMs(graceS * 1000, untilMs));
    return { id: container.id };
  }

  /** Stops when it runs, then starts. */
  async restart(ref: string, options: { timeoutS?: number }): Promise<{ id: string }> {
    const { id } = await this.stop(ref, options);
    const container = this.find(id);
    await container.mailbox.run(() => {});
    await container.start();
    container.emit("restart");
    return { id };
  }

  /** Signals. */
  async kill(ref: string, signal: string): Promise<{ id: string; signal: string }> {
    const container = this.find(ref);
    await container.kill(signal);
    return { id: container.id, signal };
  }

  /** Freezes. */
  async pause(ref: string): Promise<{ id: string }> {
    const container = this.find(ref);
    await container.pause();
    return { id: container.id };
  }

  /** Thaws. */
  async unpause(ref: string): Promise<{ id: string }> {
    const container = this.find(ref);
    await container.unpause();
    return { id: container.id };
  }

  /** Removes. */
  async remove(ref: string, options: { force: boolean; volumes: boolean }): Promise<{ id: string }> {
    const container = this.find(ref);
    await container.remove(options);
    return { id: container.id };
  }

  /** Removes all that do not run and pass the filters. */
  async prune(options: { filters: Record<string, string[]> }): Promise<{ removed: string[]; reclaimed: number }> {
    const idle = this.all.filter((c) => ["created", "exited", "dead"].includes(c.status))
      .filter((c) => passes(summaryOf(c.record), options.filters));
    const paths = idle.map((c) => `${this.deps.baseDir}/overlay/${c.id}/diff`);
    const { bytes } = await this.deps.stages.rootfs.call("usage", { paths });
    const removed: string[] = [];
    let reclaimed = 0;
    for (const [i, container] of idle.entries()) {
      await container.remove({ force: false, volumes: false });
      removed.push(container.id);
      reclaimed += bytes[i] ?? 0;
    }
    return { removed, reclaimed };
  }

  /** Gives another name. */
  async rename(ref: string, name: string): Promise<{ id: string; name: string }> {
    const container = this.find(ref);
    const old = container.name;
    this.registry.reserve(name, container.id);
    this.registry.renamed(old);
    container.record.name = name;
    container.record.spec.name = name;
    if (container.live) this.deps.dns.register(registrationOf(container.record, this.deps.defaults.network));
    await container.save();
    container.emit("rename", { oldName: old });
    return { id: container.id, name };
  }

  /** Changes limits, the restart policy and published ports of a container that may be running. */
  async update(
    ref: string,
    resources: Resources,
    restart?: string,
    ports?: PublishChange,
  ): Promise<{ id: string; warnings: string[] }> {
    const container = this.find(ref);
    const policy = restart === undefined ? undefined : parseRestart(restart);
    if (policy !== undefined && policy.name !== "no" && container.record.spec.autoRemove === true) {
      throw new NyxError(
        "invalid_argument",
        `Could not set restart policy "${restart}": container "${container.name}" is removed when it exits (--rm)`,
      );
    }
    if (ports?.from !== undefined) await this.movePorts(ports.from, ref);
    const warnings = await container.mailbox.run(async () => {
      const said = ports === undefined ? [] : await changePorts(container, this.deps, ports);
      if (Object.keys(resources).length > 0 && container.live) {
        await this.deps.stages.streams.call("update", { id: container.id, resources });
      }
      container.record.spec.resources = { ...container.record.spec.resources, ...resources };
      if (policy !== undefined) container.record.spec.restart = policy;
      await container.save();
      return said;
    });
    container.emit("update");
    return { id: container.id, warnings };
  }

  /**
   * Moves published ports from one running container to another, without a moment in which they are closed: new connections reach
   * `to`, those already open go on to `from`. Both records are on disk when it resolves.
   *
   * @param ports entries of the first one's `publish`; all when missing
   * @throws NyxError failed_precondition, not_found; nothing changed then
   */
  movePorts(from: string, to: string, ports?: PortMapping[]): Promise<{ moved: OpenPort[] }> {
    return movePorts(this.find(from), this.find(to), this.deps, ports);
  }

  /** Connections that others opened to a container and that are still open; none when it does not run. */
  openConnections(ref: string): Promise<{ tcp: number; udp: number }> {
    return this.deps.stages.network.call("openConnections", { id: this.find(ref).id });
  }

  /** Waits for a condition; resolves with the exit code it then has. */
  wait(ref: string, condition: WaitCondition, signal: AbortSignal): Promise<WaitAnswer> {
    const container = this.find(ref);
    return waitFor(container, condition, () => this.registry.holds(container), signal);
  }

  // ------------------------------------------------------------------ looking inside

  /** Runs a process inside. */
  exec(ref: string, request: ExecRequest): Promise<{ execId: string; pid?: number; attachment?: Attachment }> {
    return runExec(this.find(ref), request, this.deps);
  }

  /** Resizes the container's terminal. */
  async resize(ref: string, rows: number, cols: number): Promise<void> {
    await this.deps.stages.streams.call("resize", { id: this.find(ref).id, rows, cols });
  }

  /** Reads the log. */
  async logs(ref: string, query: LogQuery): Promise<AsyncIterable<Uint8Array>> {
    const { id } = this.find(ref);
    await this.deps.stages.streams.available();
    const channel = outputChannel();
    const operation = this.deps.stages.streams.call("logs", { id, port: channel.port, ...query }, {
      transfer: [channel.port],
    });
    return following(channel, operation);
  }

  /** Processes inside. */
  async top(ref: string): Promise<{ titles: string[]; processes: string[][] }> {
    const container = this.find(ref);
    const pid = running(container, "list the processes of");
    return await this.deps.stages.streams.call("processes", { pid });
  }

  /** Usage now. */
  async stats(ref: string): Promise<Record<string, number | string>> {
    const container = this.find(ref);
    const usage = await this.deps.stages.streams.call("usage", { pid: running(container, "measure") });
    return { id: container.id, name: container.name, ...usage };
  }

  /** Files changed against the image. */
  async changes(ref: string): Promise<{ kind: "A" | "C" | "D"; path: string }[]> {
    const { id, record } = this.find(ref);
    const { baseDir } = this.deps;
    const all = await this.deps.stages.rootfs.call("diff", { id, baseDir, layers: record.image.layers });
    return ownChanges(all, record.mounts.map((m) => m.target));
  }

  /** What a path inside is. */
  statPath(ref: string, path: string): Promise<PathStat> {
    return statPath(this.find(ref), this.deps, path);
  }

  /** A path as tar. */
  async readArchive(ref: string, options: ReadOptions): Promise<AsyncIterable<Uint8Array>> {
    const container = this.find(ref);
    await statPath(container, this.deps, options.path);
    return readArchive(container, this.deps, options);
  }

  /** Unpacks a tar into a directory. */
  async writeArchive(
    ref: string,
    target: { path: string; name?: string },
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ entries: number }> {
    const container = this.find(ref);
    const written = await writeArchive(container, this.deps, target, body, signal);
    container.emit("copy_in", { path: target.path });
    return written;
  }

  /** The whole root as tar. */
  exportRoot(ref: string): Promise<AsyncIterable<Uint8Array>> {
    const container = this.find(ref);
    container.emit("export");
    return Promise.resolve(exportRoot(container, this.deps));
  }

  /** Makes an image of a container. */
  commit(ref: string, request: CommitRequest, signal: AbortSignal): Promise<{ id: string; ref?: string }> {
    return commitImage(this.find(ref), this.deps, request, signal);
  }
}

/** Pid of a running container. */
function running(container: Container, what: string): number {
  if (!container.live || container.record.state.pid === 0) {
    throw new NyxError(
      "failed_precondition",
      `Could not ${what} container "${container.name}": it is ${container.status}; start it first`,
    );
  }
  return container.record.state.pid;
}
