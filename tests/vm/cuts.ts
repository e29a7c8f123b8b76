/**
 * Power cuts: while nyx works, QEMU is killed at a random moment. The guest's page cache is gone; its disk has what had been flushed
 * and, of what had been written since, a random half. After the next boot everything that nyx promised has to hold. A seed repeats operations and moments.
 */

import { seeded } from "../support/random_tree.ts";
import { CARGO_CHECK, pushCargo } from "./cargo.ts";
import { type Operation, OPERATIONS } from "./cut_operations.ts";
import type { Replayed } from "./disk_log.ts";
import { Machine } from "./machine.ts";
import { busyboxRegistry, HOST_IN_GUEST } from "./play.ts";

/** One cut and what came of it. */
export interface CutReport {
  number: number;
  operation: string;
  /** How long the operation had been under way, ms. */
  afterMs: number;
  /** Writes that were on the disk, and that were lost because nothing had flushed them. */
  disk: Replayed | undefined;
  /** What did not hold; empty when all did. */
  faults: string[];
}

/** Which cuts to make. */
export interface CutOptions {
  count: number;
  seed: number;
  /** Number of the first cut, default 1: parts of a series, each in a guest of its own, cut what the whole would. */
  from?: number;
  /** Names of operations; default all in turn. */
  operations?: readonly string[];
  onCut?: (report: CutReport) => void;
}

/** What is there before the first cut, and has to be there after each. */
const BASELINE = `
nyx pull -q $REGISTRY/busybox && nyx tag $REGISTRY/busybox busybox
nyx run -d --name keep --restart always -v data:/data busybox sh -c 'echo start >>/data/starts; sync; exec sleep 100000'
nyx create --name idle busybox sleep 100000
nyx run --rm -v data:/data busybox sh -c 'echo precious >/data/precious; sync'
sync`;

/** Lines for what does not hold; silence when all does. */
const INVARIANTS = `
say() { echo "FAULT: $*"; }
nyx system check || { say "records and kernel differ"; nyx system check --repair; nyx system check || say "and repair does not help"; }
nyx ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.State}}' >/run/vm/ps || say "containers cannot be listed"
grep -q ' keep running$' /run/vm/ps || say "container keep does not run: $(grep ' keep ' /run/vm/ps)"
grep -q ' idle ' /run/vm/ps || say "container idle is gone"
test "$(nyx exec keep cat /data/precious)" = precious || say "a volume lost what was synced"
running=$(grep -c ' running$' /run/vm/ps)
for id in $(grep ' running$' /run/vm/ps | cut -d' ' -f1); do
  test -d /sys/fs/cgroup/nyx/$id || say "running container $id has no cgroup"
done
test "$(ls -d /sys/fs/cgroup/nyx/*/ | wc -l)" = "$running" || say "cgroups without a running container"
test "$(mount | grep -c '/overlay/.*/merged')" = "$running" || say "roots without a running container"
for image in $(nyx image ls --format '{{.Repository}}:{{.Tag}}'); do
  case $image in
    *cargo*) nyx run --rm --network none "$image" ${CARGO_CHECK} || say "image $image is not whole" ;;
    *deep*) test "$(nyx run --rm --network none "$image" sh -c 'cat /top; ls /layer | wc -l' | tr '\\n' ' ')" = "120 119 " || say "image $image is not whole" ;;
    docker.io/*) nyx run --rm --network none "$image" true || say "image $image does not run" ;;
  esac
done
find /var/lib/nyxd -name '*.tmp' -o -name '*.partial' | grep . && say "temporary files are left"
grep '"level":"error"' /run/vm/nyxd.log && say "the daemon's log has errors"
true`;

/** A guest with its registry, between two cuts. */
class Subject {
  constructor(private readonly machine: Machine, private readonly registry: string) {}

  async run(script: string, seconds = 600): Promise<{ code: number; output: string }> {
    return await this.machine.run(`export REGISTRY=${this.registry}\n${script}`, { seconds });
  }

  async must(script: string): Promise<void> {
    const { code, output } = await this.run(script);
    if (code !== 0) throw new Error(`In the guest, ${script}\nended with code ${code}:\n${output}`);
  }

  async nyxdUp(): Promise<void> {
    await this.must(`nyxd-up --insecure-registry=${this.registry}`);
  }

  /** Starts the work and takes the power away some time into it. */
  async cutDuring(operation: Operation, afterMs: number): Promise<Replayed | undefined> {
    const work = operation.work.replace("nyxd-up", `nyxd-up --insecure-registry=${this.registry}`);
    await this.must(`{ ${work}; echo "ended $?"; } >/run/vm/work.txt 2>&1 </dev/null &`);
    await new Promise((r) => setTimeout(r, afterMs));
    return await this.machine.cut();
  }

  /** Boots, and gives what does not hold. */
  async recover(operation: Operation): Promise<string[]> {
    await this.machine.start();
    const faults: string[] = [];
    const note = (what: string, { code, output }: { code: number; output: string }) => {
      if (code !== 0 || output.includes("FAULT:")) faults.push(`${what} (code ${code}):\n${output.trim()}`);
    };
    note("nyxd's start", await this.run(`nyxd-up --insecure-registry=${this.registry}`));
    note("after the boot", await this.run(INVARIANTS));
    note("finishing the work", await this.run(operation.finish));
    if (faults.length > 0) {
      const log = await this.run('grep -v \'"level":"debug"\' /run/vm/nyxd.log | tail -n 40 | cut -c1-1500');
      faults.push(`nyxd's log:\n${log.output}`);
    }
    return faults;
  }
}

function chosen(names: readonly string[] | undefined): Operation[] {
  if (names === undefined) return [...OPERATIONS];
  return names.map((name) => {
    const found = OPERATIONS.find((o) => o.name === name);
    if (found === undefined) throw new Error(`No operation ${name}; use ${OPERATIONS.map((o) => o.name).join(", ")}`);
    return found;
  });
}

/** Cuts the power again and again in one guest. */
export async function cutPower(options: CutOptions): Promise<CutReport[]> {
  const { from = 1, count, seed } = options;
  const random = seeded(seed);
  // A generator of each cut's own: how many writes there are differs from time to time.
  let luck = seeded(seed);
  const operations = chosen(options.operations);
  const reports: CutReport[] = [];
  await using registry = await busyboxRegistry();
  await pushCargo(`${registry.host}/cargo:latest`);
  await using machine = await Machine.boot({ dataMiB: 1024, survives: () => luck(2) === 0 });
  const subject = new Subject(machine, `${HOST_IN_GUEST}:${registry.port}`);
  const began = performance.now();
  await subject.nyxdUp();
  // Software emulation on a busy machine is slower: moments are stretched by as much as the daemon's start is.
  const slowness = Math.max(1, (performance.now() - began) / 9000);
  await subject.must(BASELINE);
  for (let number = 1; number < from + count; number++) {
    const operation = operations[(number - 1) % operations.length];
    const moment = random(1100) / 1000;
    if (operation === undefined || number < from) continue;
    luck = seeded(seed + number);
    await subject.run(operation.prepare);
    const afterMs = Math.round(operation.takesMs * slowness * moment);
    const disk = await subject.cutDuring(operation, afterMs);
    const report = { number, operation: operation.name, afterMs, disk, faults: await subject.recover(operation) };
    reports.push(report);
    options.onCut?.(report);
  }
  return reports;
}
