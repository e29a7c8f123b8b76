/** What a hostile registry does to the pulls of others. */

import assert from "node:assert/strict";
import { startDripRegistry } from "../support/drip_registry.ts";
import { startWorld } from "../support/world.ts";

Deno.test("pull: a registry sends 60 layers a byte at a time to keep everybody else from pulling; an image of another registry comes meanwhile", async () => {
  await using hostile = startDripRegistry(60);
  await using world = await startWorld();
  const { nyxd, image } = world;
  await nyxd.client.images.remove(image);
  const gone = new AbortController();
  const held = nyxd.client.images.pull({ ref: `127.0.0.1:${hostile.port}/slow:latest` }, { signal: gone.signal });
  held.catch(() => {});
  try {
    for (let i = 0; i < 100 && hostile.open < 3; i++) await new Promise((r) => setTimeout(r, 50));
    assert.ok(hostile.open >= 3);
    await new Promise((r) => setTimeout(r, 500));
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error("the pull was held up")), 10_000));
    await Promise.race([nyxd.client.images.pull({ ref: image }), late]);
    const { id } = await nyxd.client.containers.run({ image, args: ["true"] });
    assert.equal((await nyxd.client.containers.wait(id)).exitCode, 0);
  } finally {
    gone.abort();
    await held.catch(() => {});
  }
});
