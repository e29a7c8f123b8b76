/**
 * Hosts for network tests, made of network namespaces: one that stands for the machine with nyxd, one for a neighbour on its
 * LAN. Rule sets, bridges and sysctls of a test never meet those of the real machine. Programs run inside by nsenter, which
 * leaves the mount namespace alone, so pinned namespaces are seen by everybody.
 */

import { type ErrorData, fromErrorData } from "../../daemon/spec/errors.ts";
import type { NetworkStage } from "../../workers/protocol.ts";

/** A program's outcome. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

function command(path: string, argv: string[], input: string): Deno.Command {
  const fed = input === "" ? argv : ["sh", "-c", `printf %s "$NYX_INPUT" | "$@"`, "sh", ...argv];
  return new Deno.Command("nsenter", {
    args: [`--net=${path}`, "--", ...fed],
    env: { NYX_INPUT: input },
    stdin: "null",
  });
}

function outcome({ code, stdout, stderr }: Deno.CommandOutput): Outcome {
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs a program in the network namespace of a path and waits for it. */
export function inNetns(path: string, argv: string[], input = ""): Outcome {
  return outcome(command(path, argv, input).outputSync());
}

/** As {@linkcode inNetns}, beside others. */
export async function inNetnsAsync(path: string, argv: string[], input = ""): Promise<Outcome> {
  return outcome(await command(path, argv, input).output());
}

/** As {@linkcode inNetns}; a failure of the program is a failure of the test. */
export function mustInNetns(path: string, argv: string[], input = ""): string {
  const { code, stdout, stderr } = inNetns(path, argv, input);
  if (code !== 0) throw new Error(`${argv.join(" ")} failed with ${code}: ${stderr}`);
  return stdout;
}

function ip(...args: string[]): void {
  const { success, stderr } = new Deno.Command("ip", { args }).outputSync();
  if (!success) throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Ends a program and all that it started, whatever is left of them. */
function endGroup(child: Deno.ChildProcess): void {
  try {
    Deno.kill(-child.pid, "SIGKILL");
  } catch (e) {
    if (!(e instanceof Deno.errors.NotFound)) throw e;
  }
}

/** Address of the machine and of its neighbour on the LAN between them. */
export const HOST_IP = "192.168.77.1";
/** The neighbour's. */
export const LAN_IP = "192.168.77.2";

/** A machine and a neighbour. Dispose it: every namespace, program and directory of it goes. */
export class TestHosts implements AsyncDisposable {
  readonly #names: string[] = [];
  readonly #children = new Set<Deno.ChildProcess>();
  readonly #workers = new Set<NetworkWorker>();
  /** Directory for the daemon's state. */
  readonly baseDir: string;
  /** Namespace path of the machine. */
  readonly host: string;
  /** Namespace path of the neighbour. */
  readonly lan: string;

  constructor() {
    this.baseDir = Deno.makeTempDirSync({ prefix: "nyx-network-" });
    const tag = crypto.randomUUID().slice(0, 6);
    this.host = this.#netns(`nyx-t${tag}-host`);
    this.lan = this.#netns(`nyx-t${tag}-lan`);
    const [host = "", lan = ""] = this.#names;
    ip("-n", host, "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", lan);
    ip("-n", host, "addr", "add", `${HOST_IP}/24`, "dev", "up0");
    ip("-n", host, "addr", "add", "fd77::1/64", "dev", "up0", "nodad");
    ip("-n", host, "link", "set", "up0", "up");
    ip("-n", lan, "addr", "add", `${LAN_IP}/24`, "dev", "eth0");
    ip("-n", lan, "addr", "add", "fd77::2/64", "dev", "eth0", "nodad");
    ip("-n", lan, "link", "set", "eth0", "up");
  }

  /** Starts a program in a namespace, in a process group of its own that is ended with the hosts. */
  serve(path: string, argv: string[]): Deno.ChildProcess {
    const child = new Deno.Command("nsenter", {
      args: [`--net=${path}`, "--", ...argv],
      stdin: "null",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn();
    this.#children.add(child);
    return child;
  }

  /** Starts a network worker on the machine, for this base directory or another; that of the CNI backend with `cni`. */
  startWorker(baseDir: string = this.baseDir, cni?: { binDir: string; confDir: string }): NetworkWorker {
    const worker = new NetworkWorker(this.host, baseDir, cni);
    this.#workers.add(worker);
    worker.process.status.then(() => this.#workers.delete(worker));
    return worker;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      endGroup(child);
      await child.status;
    }
    for (const worker of [...this.#workers]) await worker.kill();
    for (const line of Deno.readTextFileSync("/proc/self/mountinfo").split("\n").reverse()) {
      const target = line.split(" ")[4];
      if (target?.startsWith(`${this.baseDir}/`)) new Deno.Command("umount", { args: ["-l", target] }).outputSync();
    }
    for (const name of this.#names) ip("netns", "del", name);
    Deno.removeSync(this.baseDir, { recursive: true });
  }

  #netns(name: string): string {
    ip("netns", "add", name);
    this.#names.push(name);
    ip("-n", name, "link", "set", "lo", "up");
    return `/run/netns/${name}`;
  }
}

type Ops = NetworkStage["ops"];

/** The network worker in a process of its own on a test host, spoken to by lines of JSON. */
export class NetworkWorker {
  /** The process, to be killed in tests of crashes. */
  readonly process: Deno.ChildProcess;
  /** What the worker told unasked. */
  readonly events: NetworkStage["event"][] = [];
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #done: Promise<void>;
  #next = 1;

  /**
   * @param host namespace path
   * @param baseDir daemon's base directory
   * @param cni places of the CNI backend; without them it is the native one
   */
  constructor(host: string, baseDir: string, cni?: { binDir: string; confDir: string }) {
    const entry = new URL("./network_process.ts", import.meta.url).pathname;
    const places = cni === undefined ? [] : [cni.binDir, cni.confDir];
    this.process = new Deno.Command("nsenter", {
      args: [`--net=${host}`, "--", Deno.execPath(), "run", "-A", entry, baseDir, ...places],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.process.stdin.getWriter();
    this.#done = this.#read();
  }

  /** Sends a request; rejects with the worker's NyxError. */
  call<K extends keyof Ops & string>(op: K, payload: Ops[K]["request"]): Promise<Ops[K]["result"]> {
    const id = this.#next++;
    const pending = Promise.withResolvers<unknown>();
    this.#pending.set(id, pending);
    this.#writer.write(new TextEncoder().encode(`${JSON.stringify({ id, op, payload })}\n`)).catch(() => {});
    return pending.promise as Promise<Ops[K]["result"]>;
  }

  /** Ends the process as a crash would. */
  async kill(): Promise<void> {
    try {
      this.process.kill("SIGKILL");
    } catch { /* it has ended */ }
    await this.process.status;
    await this.#done;
  }

  /** Lets the process end by itself. */
  async close(): Promise<void> {
    await this.#writer.close();
    await this.process.status;
    await this.#done;
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const text of this.process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const answer = JSON.parse(line) as {
          id: number;
          result?: unknown;
          error?: ErrorData;
          event?: NetworkStage["event"];
        };
        if (answer.event !== undefined) {
          this.events.push(answer.event);
          continue;
        }
        const pending = this.#pending.get(answer.id);
        this.#pending.delete(answer.id);
        if (answer.error !== undefined) pending?.reject(fromErrorData(answer.error));
        else pending?.resolve(answer.result);
      }
    }
    for (const pending of this.#pending.values()) {
      pending.promise.catch(() => {});
      pending.reject(new Error("The worker's process ended"));
    }
  }
}

/** A container id that no other test has. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
