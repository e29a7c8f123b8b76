/**
 * Running one plugin: configuration on stdin, parameters in the environment, a result or an error as JSON on stdout (CNI
 * specification, section 2). A plugin is a stranger: it gets an environment of its own, so much time, and so much to say.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { isObject } from "./conflist.ts";

/** Operations of a plugin. */
export type Command = "ADD" | "DEL" | "CHECK" | "STATUS" | "GC" | "VERSION";

/** One run of a plugin. */
export interface PluginRun {
  /** Name of the plugin. */
  type: string;
  command: Command;
  /** For messages; empty where there is none. */
  network: string;
  /** Text of its standard input. */
  input: string;
  /** CNI_* variables beside CNI_COMMAND and CNI_PATH. */
  env: Record<string, string>;
}

/** Where plugins are and how long they may take. */
export interface PluginLimits {
  binDir: string;
  /** How long one run may take, milliseconds. */
  timeoutMs: number;
  /** Ends a process and all that it started. */
  endTree(pid: number): void;
}

/** As long as a plugin that waits for a DHCP server, or for a lock of a hundred others, may need. */
export const PLUGIN_TIMEOUT_MS = 60_000;
/** What plugins find programs in, such as iptables. */
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
const MOST_STDOUT = 1024 * 1024;
const MOST_STDERR = 16 * 1024;
/** Plugins that run at once; the others wait. Most of their time they wait for the lock of iptables. */
const MOST_AT_ONCE = 8;
/** How long pipes are waited for after a plugin has ended: a child it left behind may hold them, and read nothing. */
const DRAIN_MS = 500;
/** "Try again later" (CNI specification, section 5). */
const CODE_RETRY = 11;
const CODE_INVALID_CONFIG = 7;

/** Lets a few run at once. */
class Gate {
  #free = MOST_AT_ONCE;
  readonly #waiting: (() => void)[] = [];

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

const gate = new Gate();
let running = 0;
let lastEnd = -Infinity;

/** For how long no plugin has run; 0 while one does. */
export function pluginsIdleMs(): number {
  return running > 0 ? 0 : performance.now() - lastEnd;
}

/** Reads a stream up to a limit. */
class Output {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #chunks: Uint8Array[] = [];
  readonly done: Promise<void>;
  #size = 0;
  /** Whether there was more. */
  cut = false;

  constructor(stream: ReadableStream<Uint8Array>, limit: number, onCut: () => void) {
    this.#reader = stream.getReader();
    this.done = this.#read(limit, onCut).catch(() => {});
  }

  async #read(limit: number, onCut: () => void): Promise<void> {
    for (let r = await this.#reader.read(); r.value !== undefined; r = await this.#reader.read()) {
      const room = limit - this.#size;
      this.#chunks.push(r.value.subarray(0, room));
      this.#size += Math.min(room, r.value.length);
      if (r.value.length <= room) continue;
      if (!this.cut) onCut();
      this.cut = true;
    }
  }

  cancel(): void {
    this.#reader.cancel().catch(() => {});
  }

  get text(): string {
    const bytes = new Uint8Array(this.#size);
    let at = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return new TextDecoder().decode(bytes);
  }
}

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
  /** Why it was ended, when it did not end by itself. */
  killed?: "timeout" | "output";
}

function titled({ type, command, network }: PluginRun): string {
  return `CNI plugin ${type} ${command === "VERSION" ? "" : `for network "${network}" `}at ${command}`;
}

function start(run: PluginRun, { binDir }: PluginLimits): Deno.ChildProcess {
  const path = `${binDir}/${run.type}`;
  try {
    return new Deno.Command(path, {
      clearEnv: true,
      env: { PATH, ...run.env, CNI_COMMAND: run.command, CNI_PATH: binDir },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (e) {
    const why = e instanceof Deno.errors.NotFound
      ? "there is no such program; install it (Debian: containernetworking-plugins), or name its directory with --cni-bin-dir"
      : e instanceof Deno.errors.NotCapable
      ? "nyxd may not run it: it was not there, or could not be run, when nyxd started; see that it is there and restart nyxd"
      : (e as Error).message;
    throw new NyxError("failed_precondition", `Could not run CNI plugin ${path}: ${why}`, {
      context: { plugin: run.type },
      cause: e,
    });
  }
}

async function finish(
  child: Deno.ChildProcess,
  input: string,
  { timeoutMs, endTree }: PluginLimits,
): Promise<Ended> {
  let killed: Ended["killed"];
  let running = true;
  const kill = (why: NonNullable<Ended["killed"]>) => {
    killed ??= why;
    // Afterwards its number may be another's.
    if (running) endTree(child.pid);
  };
  const stdout = new Output(child.stdout, MOST_STDOUT, () => kill("output"));
  const stderr = new Output(child.stderr, MOST_STDERR, () => {});
  const timer = setTimeout(() => kill("timeout"), timeoutMs);
  const writer = child.stdin.getWriter();
  try {
    // A plugin need not read what it has no use for.
    const fed = writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
    const { code } = await child.status;
    running = false;
    const drained = Promise.all([fed, stdout.done, stderr.done]);
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const drainTimer = setTimeout(resolve, DRAIN_MS);
    await Promise.race([drained, late]);
    clearTimeout(drainTimer);
    return { code, stdout: stdout.text, stderr: stderr.text.trim(), ...(killed === undefined ? {} : { killed }) };
  } finally {
    clearTimeout(timer);
    writer.abort().catch(() => {});
    stdout.cancel();
    stderr.cancel();
  }
}

/** What a failed plugin said, in full: its error's message and details, and what else it wrote. */
function failure(run: PluginRun, { code, stdout, stderr }: Ended): NyxError {
  let told: Record<string, unknown> = {};
  try {
    const value: unknown = JSON.parse(stdout);
    if (isObject(value)) told = value;
  } catch {
    // It is shown as it is.
  }
  const { code: cniCode, msg, details } = told;
  const parts = typeof msg === "string" || typeof details === "string"
    ? [msg, details].filter((p) => typeof p === "string" && p !== "")
    : [stdout.trim().slice(0, MOST_STDERR)];
  if (stderr !== "") parts.push(`it also wrote: ${stderr}`);
  const number = typeof cniCode === "number" ? cniCode : undefined;
  const label = number === undefined ? `exit code ${code}` : `code ${number}`;
  const said = parts.filter((p) => p !== "").join("; ") || "it said nothing";
  return new NyxError(
    number === CODE_RETRY ? "unavailable" : number === CODE_INVALID_CONFIG ? "invalid_argument" : "failed_precondition",
    `${titled(run)} failed (${label}): ${said}`,
    {
      retryable: number === CODE_RETRY,
      context: { plugin: run.type, command: run.command, ...(number === undefined ? {} : { cniCode: number }) },
    },
  );
}

/**
 * Runs a plugin and waits for it.
 *
 * @returns its standard output
 * @throws NyxError that tells all that the plugin told; failed_precondition when it cannot be run, deadline_exceeded, internal
 * for one that says too much
 */
export function runPlugin(run: PluginRun, limits: PluginLimits): Promise<string> {
  return gate.run(async () => {
    let ended: Ended;
    running++;
    try {
      ended = await finish(start(run, limits), run.input, limits);
    } finally {
      running--;
      lastEnd = performance.now();
    }
    const context = { plugin: run.type, command: run.command };
    const also = ended.stderr === "" ? "" : `; it wrote: ${ended.stderr}`;
    if (ended.killed === "timeout") {
      const text = `${titled(run)} took longer than ${limits.timeoutMs} ms and was ended${also}`;
      throw new NyxError("deadline_exceeded", text, { context });
    }
    if (ended.killed === "output") {
      const text = `${titled(run)} wrote more than ${MOST_STDOUT} bytes and was ended${also}`;
      throw new NyxError("internal", text, { context });
    }
    if (ended.code !== 0) throw failure(run, ended);
    return ended.stdout;
  });
}
