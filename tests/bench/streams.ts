/**
 * Launch and exec through the streams worker against bare crun, alternating in one run; memory of a running container.
 * By hand, as root: `deno run -A tests/bench/streams.ts [rounds]`.
 */

import { ociProcess, StreamsFixture, uniqueId } from "../support/streams_fixture.ts";

const rounds = Number(Deno.args[0] ?? 60);
const median = (a: number[]): number => a.sort((x, y) => x - y)[a.length >> 1] ?? NaN;
const row = (what: string, ours: number, theirs: number, budget: number): void =>
  console.log(
    `${what.padEnd(28)} ${ours.toFixed(2).padStart(8)} ms ${theirs.toFixed(2).padStart(8)} ms   ratio ${
      (ours / theirs).toFixed(2)
    } (budget ${budget})`,
  );

/** crun as the worker runs it, without a monitor: through unshare(1) where the cgroup layout asks for it. */
class BareCrun {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #buffer = "";

  constructor(root: string) {
    // One shell does the timing-free part: it runs a command line and prints a line when it has ended.
    const loop =
      `umount -l /sys/fs/cgroup/unified 2>/dev/null; while read -r line; do eval "$line" </dev/null >/dev/null 2>&1; echo done; done`;
    this.#child = new Deno.Command("unshare", {
      args: ["-m", "--propagation", "slave", "sh", "-c", loop],
      cwd: root,
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async run(line: string): Promise<number> {
    const start = performance.now();
    await this.#writer.write(new TextEncoder().encode(`${line}\n`));
    while (!this.#buffer.includes("done\n")) this.#buffer += (await this.#reader.read()).value ?? "done\n";
    this.#buffer = "";
    return performance.now() - start;
  }

  async close(): Promise<void> {
    await this.#writer.close();
    await this.#child.status;
  }
}

await using t = await StreamsFixture.create("nyx-bench-");
const bare = new BareCrun(t.baseDir);
const crun = `/usr/bin/crun --root=${t.baseDir}/bare --cgroup-manager=cgroupfs`;
const ours: number[] = [];
const pidKnown: number[] = [];
const theirs: number[] = [];
for (let i = 0; i < rounds; i++) {
  const id = uniqueId();
  const bundleDir = t.bundle(id, ["/bin/true"]);
  theirs.push(await bare.run(`${crun} run --bundle=${bundleDir} ${id}`));
  const start = performance.now();
  await t.host.call("launch", { id, bundleDir, tty: false, stdin: false, log: {} });
  pidKnown.push(performance.now() - start);
  await t.exit(id);
  ours.push(performance.now() - start);
  await t.host.call("acknowledge", { id });
}
row("launch to exit", median(ours), median(theirs), 1.8);
row("launch to running", median(pidKnown), median(theirs), 1.8);

const { id, pid } = await t.launch(["/bin/sleep", "1000"]);
const inner = uniqueId();
const innerDir = t.bundle(inner, ["/bin/sleep", "1000"]);
await bare.run(`${crun} run --detach --bundle=${innerDir} ${inner}`);
Deno.writeTextFileSync(`${t.baseDir}/p.json`, JSON.stringify(ociProcess(["/bin/true"])));
const execOurs: number[] = [];
const execTheirs: number[] = [];
for (let i = 0; i < rounds; i++) {
  execTheirs.push(await bare.run(`${crun} exec --process=${t.baseDir}/p.json ${inner}`));
  const start = performance.now();
  const out = t.receive();
  await t.host.call("exec", {
    id,
    execId: `e${i}`,
    process: ociProcess(["/bin/true"]),
    tty: false,
    stdin: false,
    port: out.port,
    detach: false,
  }, { transfer: [out.port] });
  await out.frames;
  execOurs.push(performance.now() - start);
}
row("exec", median(execOurs), median(execTheirs), 1.5);
await bare.run(`${crun} delete --force ${inner}`);
await bare.close();

const pss = (p: number): number =>
  Number(/^Pss:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${p}/smaps_rollup`))?.[1] ?? 0);
const parent = (p: number): number => Number(/PPid:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${p}/status`))?.[1]);
for (let i = 0; i < 9; i++) await t.launch(["/bin/sleep", "1000"]);
const crunPid = parent(pid);
console.log(`memory of one of ten containers: crun ${pss(crunPid)} KiB PSS, monitor ${pss(parent(crunPid))} KiB PSS`);
