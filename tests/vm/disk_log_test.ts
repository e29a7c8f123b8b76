import assert from "node:assert/strict";
import { LOG_SECTOR, replay } from "./disk_log.ts";

/** A log in the form of dm-log-writes: `fill` bytes at a sector, or a flush. */
function logOf(requests: (readonly [sector: number, fill: number] | "flush")[]): Uint8Array {
  const sectors: Uint8Array[] = [new Uint8Array(LOG_SECTOR)];
  for (const request of requests) {
    const head = new Uint8Array(LOG_SECTOR);
    const view = new DataView(head.buffer);
    sectors.push(head);
    if (request === "flush") view.setBigUint64(16, 1n, true);
    else {
      view.setBigUint64(0, BigInt(request[0]), true);
      view.setBigUint64(8, 1n, true);
      sectors.push(new Uint8Array(LOG_SECTOR).fill(request[1]));
    }
  }
  sectors.push(new Uint8Array(LOG_SECTOR));
  return new Uint8Array(sectors.flatMap((s) => [...s]));
}

Deno.test("replay: what was flushed is there; of the rest, what chance leaves, whatever the order", () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-vm-log-" });
  try {
    Deno.writeFileSync(`${dir}/log`, logOf([[0, 1], [1, 2], "flush", [0, 3], [2, 4], [1, 5]]));
    Deno.writeFileSync(`${dir}/disk`, new Uint8Array(4 * LOG_SECTOR));
    const chance = [false, true, false];
    const result = replay(`${dir}/log`, `${dir}/disk`, () => chance.shift() ?? false);
    assert.deepEqual(result, { kept: 2, lucky: 1, lost: 2 });
    const disk = Deno.readFileSync(`${dir}/disk`);
    assert.deepEqual([0, 1, 2, 3].map((s) => disk[s * LOG_SECTOR]), [1, 2, 4, 0]);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
