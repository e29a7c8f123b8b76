/** Plays a scripted run in a guest of its own. */

import { busyboxImage, pushLayout } from "../support/oci.ts";
import { type Registry, startRegistry } from "../support/registry.ts";
import type { Arch } from "./base.ts";
import { Machine, type MachineOptions } from "./machine.ts";
import { compare, parseRun, type Run, type Step } from "./script.ts";

/** How long a step is repeated until it is right. */
const EVENTUALLY_MS = 180_000;
/** The same after a mistake, which what follows may have to fail for. */
const HARDLY_MS = 15_000;
/** How long one command may take under software emulation on a busy machine. */
const COMMAND_SECONDS = 400;

/** Address of this machine as a guest sees it (QEMU's user mode network). */
export const HOST_IN_GUEST = "10.0.2.2";

/** All runs of a directory, by name. */
export function readRuns(dir: string): Run[] {
  const names = [...Deno.readDirSync(dir)].map((e) => e.name).filter((n) => n.endsWith(".run")).sort();
  return names.map((name) => parseRun(name, Deno.readTextFileSync(`${dir}/${name}`)));
}

/** A registry that holds `busybox:latest`. */
export async function busyboxRegistry(): Promise<Registry> {
  const registry = await startRegistry();
  const layout = Deno.makeTempDirSync({ prefix: "nyx-vm-push-" });
  try {
    busyboxImage({ dir: layout });
    await pushLayout(layout, "latest", `${registry.host}/busybox:latest`);
    return registry;
  } catch (e) {
    await registry.stop();
    throw e;
  } finally {
    Deno.removeSync(layout, { recursive: true });
  }
}

/** A port of loopback that nobody listens on now. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** A guest that runs are played in, and what they may name. */
export interface Stage extends AsyncDisposable {
  readonly machine: Machine;
  /** The second guest of runs that want one. */
  readonly neighbour: Machine | undefined;
  /** Ports of this machine by the names that runs give them. */
  readonly ports: ReadonlyMap<string, number>;
  readonly registry: Registry | undefined;
}

/**
 * Makes the guest that these runs want; they have to agree on it, but for the ports that they use.
 *
 * @param arch of the guest, default that of most machines
 */
export async function setStage(runs: readonly Run[], arch?: Arch): Promise<Stage> {
  const ports = new Map<string, number>();
  const forward: MachineOptions["forward"] = [];
  for (const { name, guest } of runs.flatMap((r) => r.machine.forward)) {
    if (ports.has(name)) continue;
    const host = freePort();
    ports.set(name, host);
    forward.push({ host, guest });
  }
  const kinds = new Set(runs.map(({ machine }) => JSON.stringify({ ...machine, forward: [] })));
  if (kinds.size !== 1) throw new Error(`These runs want different guests: ${runs.map((r) => r.name).join(", ")}`);
  const { append, forward: _, neighbour: wired, ...rest } = runs[0]?.machine ?? { append: [], forward: [] };
  await using stack = new AsyncDisposableStack();
  const registry = runs.some((r) => r.registry) ? stack.use(await busyboxRegistry()) : undefined;
  const ends = wired ? wireEnds(stack) : undefined;
  const machine = stack.use(
    await Machine.boot({
      ...rest,
      ...(arch === undefined ? {} : { arch }),
      ...(ends === undefined ? {} : { wire: { here: ends[0], there: ends[1] } }),
      append: append.join(" "),
      forward,
    }),
  );
  const neighbour = ends === undefined
    ? undefined
    : stack.use(await Machine.boot({ neighbour: true, wire: { here: ends[1], there: ends[0] } }));
  const made = stack.move();
  return { machine, neighbour, ports, registry, [Symbol.asyncDispose]: () => made.disposeAsync() };
}

/** Paths of both sockets of a wire between guests. */
function wireEnds(stack: AsyncDisposableStack): [string, string] {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-vm-wire-" });
  stack.defer(() => Deno.removeSync(dir, { recursive: true }));
  return [`${dir}/1`, `${dir}/2`];
}

async function onHost(command: string, ports: ReadonlyMap<string, number>): Promise<{ code: number; output: string }> {
  const env = { DENO: Deno.execPath(), ...Object.fromEntries([...ports].map(([name, port]) => [name, String(port)])) };
  const signal = AbortSignal.timeout(COMMAND_SECONDS * 1000);
  const child = new Deno.Command("sh", {
    args: ["-c", `exec 2>&1\n${command}`],
    cwd: new URL("../..", import.meta.url).pathname,
    env,
    stdin: "null",
    signal,
  });
  const { code, stdout } = await child.output();
  return { code, output: new TextDecoder().decode(stdout) };
}

/** What a run needs besides its text. */
export interface PlayOptions {
  /** Hears of each step with the seconds it took, and of what was wrong. */
  onStep?: (step: Step, seconds: number, wrong?: string) => void;
}

/**
 * Plays a run to its end, also past mistakes: what follows a mistake often tells its reason.
 *
 * @throws Error with file, line, command and what differs for each mistake, and the ends of the guest's logs
 */
export async function play(run: Run, stage: Stage, options: PlayOptions = {}): Promise<void> {
  const { machine, neighbour, ports, registry } = stage;
  const variables = registry === undefined ? "" : `export REGISTRY=${HOST_IN_GUEST}:${registry.port}\n`;
  const perform = async (step: Step) => {
    if (step.kind === "host") return await onHost(step.command, ports);
    if (step.kind === "guest2" && neighbour !== undefined) return await neighbour.run(step.command);
    return await machine.run(variables + step.command, { seconds: COMMAND_SECONDS });
  };
  const mistakes: string[] = [];
  for (const step of run.steps) {
    const began = performance.now();
    let wrong: string | undefined;
    if (step.kind === "restart") await machine.restart();
    else if (step.kind === "cut") {
      await machine.cut();
      await machine.start();
    } else {
      wrong = await untilRight(step, perform, mistakes.length === 0 ? EVENTUALLY_MS : HARDLY_MS);
      if (wrong !== undefined) mistakes.push(`${run.name}:${step.line}: $ ${step.command}\n${wrong}`);
    }
    options.onStep?.(step, (performance.now() - began) / 1000, wrong);
  }
  if (mistakes.length > 0) throw new Error([...mistakes, await guestLogs(machine)].join("\n\n"));
}

/** Does a step, again where the file says so, and reports how it differs from what it should give. */
async function untilRight(
  step: Step,
  perform: (step: Step) => Promise<{ code: number; output: string }>,
  patienceMs: number,
): Promise<string | undefined> {
  const deadline = performance.now() + patienceMs;
  while (true) {
    const { code, output } = await perform(step);
    const wrong = compare(step, code, output);
    if (wrong === undefined || !step.eventually || performance.now() > deadline) return wrong;
    await new Promise((r) => setTimeout(r, 500));
  }
}

async function guestLogs(machine: Machine): Promise<string> {
  const { output } = await machine.run(
    "if [ -f /run/vm/nyxd.log ]; then tail -n 20 /run/vm/nyxd.log; else journalctl -n 30 --no-pager -u nyxd; fi",
  );
  return `nyxd's log:\n${output}\nThe guest's console:\n${machine.console.slice(-1500)}`;
}
