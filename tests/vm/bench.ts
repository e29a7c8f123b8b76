/**
 * The benchmark's rows `run` and `pull` in one guest, so that crun, nyx and Podman meet the same kernel and the same disk. Under
 * software emulation absolute times say nothing; ratios of medians of alternating rounds do.
 */

import { pushCargo } from "./cargo.ts";
import { Machine } from "./machine.ts";
import { busyboxRegistry, HOST_IN_GUEST } from "./play.ts";

/** What Podman needs besides: its network's programs. */
const PACKAGES = ["podman", "netavark", "aardvark-dns", "iptables"];
/** Rows with the rounds that count, and the subjects whose ratios are told. */
const ROWS = {
  run: {
    rounds: 9,
    ratios: [["nyx API", "bare crun"], ["nyx", "podman"], ["nyx", "bare crun"], ["podman", "bare crun"]],
  },
  pull: { rounds: 5, ratios: [["nyx", "podman"]] },
} as const;

/** Name of a row. */
export type BenchRow = keyof typeof ROWS;
/** All rows. */
export const BENCH_ROWS = Object.keys(ROWS) as BenchRow[];

/** What the guest's script imports, at the same place below /opt/nyx. */
const FILES = ["tests/vm/guest/bench.ts", "tests/bench/measure.ts"];
const ROOT = new URL("../../", import.meta.url).pathname;

async function measure(machine: Machine, row: BenchRow, registry: string): Promise<Record<string, number>> {
  const script = `cd /opt/nyx && deno run -A --no-check --cached-only ${FILES[0]} ${row} ${registry} ${
    ROWS[row].rounds
  }`;
  const output = await machine.must(`${script} 2>/run/vm/bench.err || { cat /run/vm/bench.err; exit 1; }`, {
    seconds: 1500,
  });
  return JSON.parse(output.trim().split("\n").at(-1) ?? "");
}

/** One line: ratios first. */
function line(row: BenchRow, medians: Record<string, number>): string {
  const ratios = ROWS[row].ratios.map(([of, to]) => {
    return `${of} / ${to} ${((medians[of] ?? NaN) / (medians[to] ?? NaN)).toFixed(2)} x`;
  });
  const times = Object.entries(medians).map(([who, ms]) => `${who} ${ms.toFixed(0)}`);
  return `${row}: ${ratios.join(", ")} (medians of ${ROWS[row].rounds}, emulated ms: ${times.join(", ")})`;
}

/** Measures these rows in a new guest and prints each; some minutes a row. */
export async function bench(rows: readonly BenchRow[]): Promise<void> {
  await using registry = await busyboxRegistry();
  await pushCargo(`${registry.host}/cargo:latest`);
  await using machine = await Machine.boot({ dataMiB: 2048, memoryMiB: 2048, packages: PACKAGES });
  const address = `${HOST_IN_GUEST}:${registry.port}`;
  for (const path of FILES) {
    const text = Deno.readTextFileSync(`${ROOT}${path}`);
    await machine.must(
      `mkdir -p /opt/nyx/${path.replace(/\/[^/]*$/, "")} && cat >/opt/nyx/${path} <<'END-OF-FILE'\n${text}END-OF-FILE`,
    );
  }
  await machine.must(`mkdir -p /data && mount /dev/vdc /data && mkdir -p /etc/containers &&
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json
nyxd-up --log-level=info --insecure-registry=${address}`);
  for (const row of rows) console.log(line(row, await measure(machine, row, address)));
}
