/**
 * nyxd with fault points, for the crash matrix. The daemon's own modules are loaded as they are; what is wrapped here are
 * the borders that each operation crosses: every request to a stage worker and every write of a container's record. The
 * program that users get knows nothing of this.
 *
 * A test writes `<base-dir>/fault.json` ({@linkcode Fault}) while nyxd runs. Steps are named `stage.op`, or `record.save`,
 * `record.spare`, `record.remove`, and counted from when the file was written.
 *
 * @module
 */

import { parseArgs } from "../../daemon/config.ts";
import { startDaemon } from "../../daemon/daemon.ts";
import { Logger } from "../../daemon/log/logger.ts";
import { RecordStore } from "../../daemon/persist/store.ts";
import { toErrorData } from "../../daemon/spec/errors.ts";
import { Workers } from "../../daemon/workers.ts";
import { WorkerHost } from "../../workers/host.ts";

/** What is to go wrong. */
export interface Fault {
  /** Tells two faults apart, so that steps are counted anew. */
  id: string;
  /** Step, such as `rootfs.mount`; missing only records the steps in `<base-dir>/trace.json`. */
  step?: string;
  /** Which occurrence of it, from 1. */
  nth?: number;
  /** during: as soon as it was asked for; after: when it has answered, before anybody else hears of it. */
  when?: "during" | "after";
  /** What is killed: nyxd, the worker that does the step, or a monitor or crun of any container. */
  victim?: "nyxd" | "worker" | "monitor" | "crun";
}

const STAGES = ["pull", "extract", "rootfs", "bundle", "network", "cni", "streams"] as const;
/** Workers that are the same stage to nyxd. */
const SAME: Readonly<Record<string, string>> = { cni: "network" };
/** Questions that change nothing and come at any time. */
const IGNORED = new Set(["network.diagnose", "network.probe", "rootfs.usage", "rootfs.seccompFilters"]);

/** Kills processes in the directories of containers' monitors whose command is `$1`. */
const KILL_MONITORS = 'for p in /proc/[0-9]*; do d=$(readlink "$p/cwd") || continue; ' +
  'case "$d" in "$2"/run/monitor/????????????????????????????????????????????????????????????????) ' +
  '[ "$(cat "$p/comm")" = "$1" ] && kill -9 "${p#/proc/}";; esac; done; true';

function shell(script: string, ...args: string[]): void {
  new Deno.Command("/bin/sh", { args: ["-c", script, "sh", ...args], stdin: "null", stderr: "null" }).outputSync();
}

/** Reads the fault file and does what it says. */
class Saboteur {
  readonly #baseDir: string;
  readonly #workers: Map<string, Worker>;
  #id = "";
  #seen = new Map<string, number>();
  #trace: string[] = [];

  constructor(baseDir: string, workers: Map<string, Worker>) {
    this.#baseDir = baseDir;
    this.#workers = workers;
  }

  /** Counts a step that begins; whether, and how, it is hit. */
  enter(step: string): Fault | undefined {
    if (IGNORED.has(step)) return undefined;
    let fault: Fault;
    try {
      fault = JSON.parse(Deno.readTextFileSync(`${this.#baseDir}/fault.json`));
    } catch {
      return undefined;
    }
    if (fault.id !== this.#id) {
      this.#id = fault.id;
      this.#seen = new Map();
      this.#trace = [];
    }
    const nth = (this.#seen.get(step) ?? 0) + 1;
    this.#seen.set(step, nth);
    this.#trace.push(`${step} ${nth}`);
    if (fault.step === undefined) {
      Deno.writeTextFileSync(`${this.#baseDir}/trace.json.tmp`, JSON.stringify(this.#trace));
      Deno.renameSync(`${this.#baseDir}/trace.json.tmp`, `${this.#baseDir}/trace.json`);
    }
    return fault.step === step && (fault.nth ?? 1) === nth ? fault : undefined;
  }

  /** Does it. Killing nyxd does not return. */
  strike(fault: Fault): void {
    const victim = fault.victim ?? "nyxd";
    if (victim === "nyxd") shell('kill -9 "$1"', String(Deno.pid));
    else if (victim === "worker") this.#killWorker(fault.step?.split(".")[0] ?? "");
    else shell(KILL_MONITORS, victim === "crun" ? "crun" : "sh", this.#baseDir);
    Deno.writeTextFileSync(`${this.#baseDir}/struck.json`, JSON.stringify(fault));
  }

  /** Ends the thread and tells its host as Deno does when a thread dies of an uncaught error. */
  #killWorker(stage: string): void {
    const worker = this.#workers.get(stage);
    worker?.terminate();
    worker?.onerror?.(new ErrorEvent("error", { message: "killed by a test", cancelable: true }));
  }
}

/** Remembers the newest worker thread of each stage. */
function rememberWorkers(): Map<string, Worker> {
  const workers = new Map<string, Worker>();
  const Original = globalThis.Worker;
  globalThis.Worker = class extends Original {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      const stage = /\/workers\/([a-z]+)\/main\.ts/.exec(String(url))?.[1];
      if (stage !== undefined) workers.set(SAME[stage] ?? stage, this);
    }
  };
  return workers;
}

/** Does `job` as a step. */
async function step<T>(saboteur: Saboteur, name: string, job: () => Promise<T>): Promise<T> {
  const fault = saboteur.enter(name);
  const work = job();
  if (fault?.when === "during") {
    work.catch(() => {});
    saboteur.strike(fault);
  }
  const result = await work;
  if (fault?.when === "after") saboteur.strike(fault);
  return result;
}

function wrapStages(saboteur: Saboteur): void {
  const stages = new WeakMap<object, string>();
  for (const stage of STAGES) {
    const make = Workers.prototype[stage] as (...args: unknown[]) => object;
    Object.defineProperty(Workers.prototype, stage, {
      value: function (this: Workers, ...args: unknown[]) {
        const host = make.apply(this, args);
        stages.set(host, SAME[stage] ?? stage);
        return host;
      },
    });
  }
  const { call } = WorkerHost.prototype;
  Object.defineProperty(WorkerHost.prototype, "call", {
    value: function (this: object, op: string, ...rest: unknown[]) {
      const job = () => Reflect.apply(call, this, [op, ...rest]) as Promise<unknown>;
      return step(saboteur, `${stages.get(this) ?? "?"}.${op}`, job);
    },
  });
}

function wrapRecords(saboteur: Saboteur): void {
  for (const [name, method] of [["save", "save"], ["spare", "saveSpare"], ["remove", "remove"]] as const) {
    const original = RecordStore.prototype[method] as (argument: unknown) => Promise<void>;
    Object.defineProperty(RecordStore.prototype, method, {
      value: function (this: RecordStore, argument: unknown) {
        return step(saboteur, `record.${name}`, () => Reflect.apply(original, this, [argument]));
      },
    });
  }
}

async function main(): Promise<number> {
  const invocation = parseArgs(Deno.args, () => undefined);
  if ("print" in invocation) return 2;
  const saboteur = new Saboteur(invocation.run.baseDir, rememberWorkers());
  wrapStages(saboteur);
  wrapRecords(saboteur);
  const log = new Logger(invocation.run.logLevel);
  globalThis.addEventListener("unhandledrejection", (e) => {
    e.preventDefault();
    log.error("Unhandled rejection", { error: toErrorData(e.reason) });
  });
  const stopped = Promise.withResolvers<number>();
  const daemon = await startDaemon(invocation.run, log, () => stopped.resolve(0));
  Deno.addSignalListener("SIGTERM", () => {
    void daemon.stop({ stopContainers: false }).then(() => stopped.resolve(0), () => stopped.resolve(1));
  });
  return await stopped.promise;
}

if (import.meta.main) Deno.exit(await main());
