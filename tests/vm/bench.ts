/**
 * The benchmark's rows "run" and "pull" in one guest, so that crun, nyx and podman meet the same kernel and disk. Under software emulation
 * absolute times say nothing: ratios of medians of alternating rounds do.
 */

import { pushCargo } from "./cargo.ts";
import { Machine } from "./machine.ts";
import { busyboxRegistry, HOST_IN_GUEST } from "./play.ts";

/** Who is compared, with what each does once. */
interface Contender {
  name: string;
  script: string;
  /** Undone after each round, outside the measured time. */
  undo?: string;
}

/** Medians of one row, ms, by contender. */
export interface BenchRow {
  row: string;
  medians: Map<string, number>;
}

const SETUP = `
mkdir -p /mnt/data && mount /dev/vdc /mnt/data
cat >/usr/local/bin/pod <<'END'
#!/bin/sh
exec podman --root /mnt/data/podman --runroot /run/podman --runtime crun --cgroup-manager cgroupfs "$@"
END
chmod 755 /usr/local/bin/pod
mkdir -p /etc/containers && printf '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json
nyxd-up --insecure-registry=$REGISTRY
nyx pull -q $REGISTRY/busybox && nyx tag $REGISTRY/busybox busybox
pod pull -q --tls-verify=false $REGISTRY/busybox
mkdir -p /mnt/data/bundle/rootfs/bin && cp /bin/busybox /mnt/data/bundle/rootfs/bin/true
cd /mnt/data/bundle && crun spec && sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"true"/' config.json`;

const RUN: readonly Contender[] = [
  { name: "crun", script: "crun run -b /mnt/data/bundle bench-$$ </dev/null" },
  { name: "nyx", script: "nyx run --rm busybox true" },
  { name: "podman", script: "pod run --rm $REGISTRY/busybox true" },
];

const PULL: readonly Contender[] = [
  {
    name: "nyx",
    script: "nyx pull -q $REGISTRY/cargo",
    undo: "nyx image rm -f $REGISTRY/cargo && nyx image prune -f; sync",
  },
  {
    name: "podman",
    script: "pod pull -q --tls-verify=false $REGISTRY/cargo",
    undo: "pod image rm -f $REGISTRY/cargo; sync",
  },
];

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

async function row(machine: Machine, env: string, name: string, contenders: readonly Contender[], rounds: number) {
  const times = new Map<string, number[]>(contenders.map((c) => [c.name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const { name, script, undo } of contenders) {
      const output = await machine.must(
        `${env}a=$(date +%s%N); ${script} >/dev/null || exit 1; b=$(date +%s%N); echo $(((b - a) / 1000))`,
        { seconds: 300 },
      );
      // The first round warms caches up.
      if (round > 0) times.get(name)?.push(Number(output) / 1000);
      if (undo !== undefined) await machine.must(`${env}${undo}`);
    }
  }
  return { row: name, medians: new Map([...times].map(([who, t]) => [who, median(t)])) };
}

/** Measures; takes about ten minutes. */
export async function bench(rounds = 7): Promise<BenchRow[]> {
  await using registry = await busyboxRegistry();
  await pushCargo(`${registry.host}/cargo:latest`);
  await using machine = await Machine.boot({ dataMiB: 2048, memoryMiB: 2048, packages: ["podman"] });
  const env = `export REGISTRY=${HOST_IN_GUEST}:${registry.port}\n`;
  await machine.must(`set -e\n${env}${SETUP}`, { seconds: 300 });
  return [
    await row(machine, env, "run (command line to exit)", RUN, rounds),
    await row(machine, env, "pull and unpack on disk", PULL, rounds),
  ];
}

/** The table: each contender's median over nyx's. */
export function benchTable(rows: readonly BenchRow[]): string {
  return rows.map(({ row, medians }) => {
    const nyx = medians.get("nyx") ?? 1;
    const cells = [...medians].map(([who, ms]) => `${who} ${ms.toFixed(0)} ms (x ${(ms / nyx).toFixed(2)})`);
    return `${row}: ${cells.join(", ")}`;
  }).join("\n");
}
