/** A real nyxd for a test: own base directory, bridge, subnet, cgroup and socket, under the real permission flags. */

import { nyxdPermissions } from "../../daemon/permissions.ts";
import { NyxClient } from "../../mod.ts";
import { DEFAULT_BIN_DIR, DEFAULT_CONF_DIR, pluginsIn } from "../../workers/cni/permissions.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Options of {@linkcode startNyxd}. */
export interface NyxdOptions {
  /** More flags of nyxd. */
  args?: string[];
  /** Base directory to use again; the caller removes it. */
  baseDir?: string;
  /** Number that names bridge, subnet and cgroup; give it again to start anew on the same base directory. */
  slot?: number;
  /** Directory in which the base directory is made; default /tmp. */
  parentDir?: string;
  env?: Record<string, string>;
  logLevel?: string;
  /** Entry module, below the repository; default nyxd's own. */
  entry?: string;
  /** Most open file descriptors. */
  descriptors?: number;
  /** Path of the network namespace that it runs in; default the test's own. */
  netns?: string;
}

/** What a `nyx` command did. */
export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** A running nyxd. */
export interface Nyxd extends AsyncDisposable {
  readonly client: NyxClient;
  readonly baseDir: string;
  readonly socket: string;
  readonly bridge: string;
  /** First three numbers of its subnet, such as `10.207.33`. */
  readonly prefix: string;
  readonly slot: number;
  readonly pid: number;
  /** Lines of its log so far. */
  readonly log: string[];
  /** Runs the CLI against it. */
  nyx(args: string[], options?: { stdin?: string | Uint8Array; env?: Record<string, string> }): Promise<CliResult>;
  /** Sends a signal and waits until it is gone. */
  stop(signal?: Deno.Signal): Promise<number>;
}

function freeSlot(): number {
  const taken = new Set<number>();
  for (const { name } of Deno.readDirSync("/sys/class/net")) {
    const match = /^nyxt(\d+)$/.exec(name);
    if (match?.[1] !== undefined) taken.add(Number(match[1]));
  }
  while (true) {
    const slot = Math.floor(Math.random() * 10_000);
    if (!taken.has(slot)) return slot;
  }
}

/** Command line that runs nyxd from source under its real permissions. */
export function nyxdCommand(
  paths: { baseDir: string; socket: string },
  args: string[],
  entry = "daemon/main.ts",
): string[] {
  const extraRead = args.filter((a) => a.startsWith("--resolv-conf=")).map((a) => a.slice("--resolv-conf=".length));
  const sourceDir = ROOT.replace(/\/$/, "");
  const extraRun: string[] = [];
  if (args.includes("--net-driver=cni")) {
    const dir = (flag: string, otherwise: string) =>
      args.find((a) => a.startsWith(`${flag}=`))?.slice(flag.length + 1) ?? otherwise;
    const binDir = dir("--cni-bin-dir", DEFAULT_BIN_DIR);
    extraRead.push(binDir, dir("--cni-conf-dir", DEFAULT_CONF_DIR));
    extraRun.push(...pluginsIn(binDir));
  }
  const crun = args.find((a) => a.startsWith("--crun="))?.slice("--crun=".length) ?? "/usr/bin/crun";
  const flags = nyxdPermissions({ ...paths, crun, sourceDir, extraRead, extraRun }).map((f) => f.flag);
  return [
    "run",
    "--quiet",
    "--no-prompt",
    "--cached-only",
    "--no-check",
    `--config=${ROOT}deno.json`,
    ...flags,
    `${ROOT}${entry}`,
    `--base-dir=${paths.baseDir}`,
    `--socket=${paths.socket}`,
    ...args,
  ];
}

async function collectLines(stream: ReadableStream<Uint8Array>, into: string[]): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    into.push(...lines);
  }
  if (rest !== "") into.push(rest);
}

/** Arguments with which deno runs `nyx ARGS` from source against a daemon's socket. */
export function cliArgs(socket: string, args: readonly string[]): string[] {
  const flags = ["--quiet", "--no-check", "--cached-only", `--config=${ROOT}deno.json`, "-A"];
  return ["run", ...flags, `${ROOT}cli/main.ts`, "--socket", socket, ...args];
}

async function runCli(
  socket: string,
  args: string[],
  options: { stdin?: string | Uint8Array; env?: Record<string, string> },
): Promise<CliResult> {
  const child = new Deno.Command(Deno.execPath(), {
    args: cliArgs(socket, args),
    env: { NO_COLOR: "1", ...options.env },
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (options.stdin !== undefined) {
    const writer = child.stdin.getWriter();
    const bytes = typeof options.stdin === "string" ? new TextEncoder().encode(options.stdin) : options.stdin;
    await writer.write(bytes).catch(() => {});
    await writer.close().catch(() => {});
  }
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Cgroups of a test's nyxd, deepest first. */
async function cgroupsOf(slot: number): Promise<string[]> {
  const args = ["/sys/fs/cgroup", "-maxdepth", "6", "-depth", "-type", "d", "-regex", `.*/nyx-t${slot}\\(/.*\\)?`];
  const { stdout } = await new Deno.Command("find", { args, stderr: "null" }).output();
  const dirs = new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
  // Where the v2 hierarchy is not mounted, crun makes plain directories in its place.
  const unified = "/sys/fs/cgroup/unified/";
  return readOr(`${unified}cgroup.controllers`) === "" ? dirs.filter((dir) => !dir.startsWith(unified)) : dirs;
}

/** nyxd that stopped by itself, with all its containers removed, leaves no cgroup. */
async function assertNoCgroups(slot: number, log: string[]): Promise<void> {
  const left = await cgroupsOf(slot);
  if (left.length === 0) return;
  const state = left.map((dir) => `${dir}: ${readOr(`${dir}/cgroup.procs`).trim().replaceAll("\n", " ")}`);
  await removeCgroups(slot);
  throw new Error(`nyxd left cgroups at a clean stop:\n${state.join("\n")}\n${log.slice(-40).join("\n")}`);
}

/** Content of a file; "" when it cannot be read. */
function readOr(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

/**
 * Removes the empty cgroups of a nyxd that the test killed, or stopped with containers alive; a process that was killed with
 * its container is in its cgroup until it is reaped.
 */
async function removeCgroups(slot: number): Promise<void> {
  for (let i = 0; i < 30; i++) {
    const left = await cgroupsOf(slot);
    if (left.length === 0) return;
    await new Deno.Command("rmdir", { args: left, stderr: "null" }).output();
    await new Promise((r) => setTimeout(r, 100));
  }
}

/** Removes a base directory; one that is still in use is an error that says by which mounts, and what the daemon did last. */
async function removeBaseDir(baseDir: string, log: string[]): Promise<void> {
  try {
    await Deno.remove(baseDir, { recursive: true });
  } catch (e) {
    const mounts = Deno.readTextFileSync("/proc/self/mountinfo").split("\n").filter((l) => l.includes(baseDir));
    throw new Error(`Could not remove ${baseDir}: ${e}\n${mounts.join("\n")}\n${log.slice(-20).join("\n")}`);
  }
}

/** Waits until the daemon answers, or says why it does not. */
async function untilReady(child: Deno.ChildProcess, client: NyxClient, log: string[]): Promise<void> {
  let ended: number | undefined;
  void child.status.then((s) => ended = s.code);
  for (let i = 0; i < 1000; i++) {
    if (ended !== undefined) throw new Error(`nyxd ended with code ${ended}:\n${log.join("\n")}`);
    try {
      await client.system.ping();
      return;
    } catch {
      await new Promise((r) => setTimeout(r, 10));
    }
  }
  throw new Error(`nyxd did not answer within 10 s:\n${log.join("\n")}`);
}

/**
 * Starts nyxd and waits until it answers. Disposing it removes all containers, stops it and deletes its base directory,
 * unless that was given.
 */
export async function startNyxd(options: NyxdOptions = {}): Promise<Nyxd> {
  if (Deno.uid() !== 0) throw new Error("This test needs root: it starts containers");
  const slot = options.slot ?? freeSlot();
  const own = options.baseDir === undefined;
  const baseDir = options.baseDir ??
    Deno.makeTempDirSync({
      prefix: "nyx-e2e-",
      ...(options.parentDir === undefined ? {} : { dir: options.parentDir }),
    });
  const socket = `${baseDir}/api/nyxd.sock`;
  const prefix = `10.${200 + Math.floor(slot / 200) % 50}.${slot % 200}`;
  const args = [
    `--bridge=nyxt${slot}`,
    `--subnet=${prefix}.0/24`,
    `--cgroup-parent=/nyx-t${slot}`,
    `--log-level=${options.logLevel ?? "debug"}`,
    ...(options.args ?? []),
  ];
  const log: string[] = [];
  const command = [Deno.execPath(), ...nyxdCommand({ baseDir, socket }, args, options.entry)];
  const { descriptors, netns } = options;
  const placed = netns === undefined ? command : ["nsenter", `--net=${netns}`, "--", ...command];
  const limited = descriptors === undefined ? placed : ["prlimit", `--nofile=${descriptors}`, ...placed];
  const child = new Deno.Command(limited[0] ?? "", {
    args: limited.slice(1),
    env: { NO_COLOR: "1", ...options.env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const drained = Promise.all([collectLines(child.stderr, log), collectLines(child.stdout, log)]);
  const client = new NyxClient({ socketPath: socket });
  try {
    await untilReady(child, client, log);
  } catch (e) {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await drained;
    if (own) await Deno.remove(baseDir, { recursive: true }).catch(() => {});
    throw e;
  }
  let gone: number | undefined;
  const stop = async (signal: Deno.Signal = "SIGTERM"): Promise<number> => {
    if (gone !== undefined) return gone;
    client.close();
    try {
      child.kill(signal);
    } catch {
      // It has ended by itself.
    }
    gone = (await child.status).code;
    await drained;
    return gone;
  };
  return {
    client,
    baseDir,
    socket,
    bridge: `nyxt${slot}`,
    prefix,
    slot,
    pid: child.pid,
    log,
    nyx: (cliArgs, cliOptions = {}) => runCli(socket, cliArgs, cliOptions),
    stop,
    [Symbol.asyncDispose]: async () => {
      if (gone === undefined) {
        const all = await client.containers.list({ all: true });
        await Promise.all(all.map((c) => client.containers.remove(c.id, { force: true, volumes: true })));
        if (await stop() === 0) await assertNoCgroups(slot, log);
      }
      await removeCgroups(slot);
      if (own) await removeBaseDir(baseDir, log);
    },
  };
}
