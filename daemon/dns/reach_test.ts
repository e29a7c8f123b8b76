import assert from "node:assert/strict";
import { ResolverReach } from "./reach.ts";

Deno.test("ResolverReach: one probe for many starts; results are renewed beside a start, which does not wait for it", async () => {
  let now = 0;
  let open = true;
  const probes: string[] = [];
  const changes: boolean[] = [];
  const probe = (_: string, target: string) => {
    probes.push(target);
    return Promise.resolve(open);
  };
  const reach = new ResolverReach(probe, (_, reached) => changes.push(reached), () => now);
  const ask = () => reach.reaches("10.88.0.1", "/netns");
  assert.deepEqual(await Promise.all([ask(), ask(), ask()]), [true, true, true]);
  assert.deepEqual(probes, ["10.88.0.1:53"]);
  open = false;
  now = 59_000;
  assert.equal(await ask(), true);
  assert.equal(probes.length, 1);
  now = 61_000;
  assert.equal(await ask(), true);
  assert.equal(await ask(), false);
  assert.equal(probes.length, 2);
  open = true;
  now += 4000;
  assert.equal(await ask(), false);
  now += 1001;
  assert.equal(await ask(), false);
  assert.equal(await ask(), true);
  assert.deepEqual([probes.length, changes], [3, [false, true]]);
});
