import assert from "node:assert/strict";
import { linuxPriority } from "./priority.ts";

Deno.test("linuxPriority: a worker's nice value is its own, the main thread keeps its", async () => {
  const main = linuxPriority();
  const before = main.nice();
  const source = `
    import { linuxPriority } from ${JSON.stringify(new URL("./priority.ts", import.meta.url).href)};
    const k = linuxPriority();
    const was = k.nice();
    k.setNice(was + 3);
    postMessage([was, k.nice()]);
  `;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  try {
    const seen = await new Promise((resolve) => worker.onmessage = (e) => resolve(e.data));
    assert.deepEqual(seen, [before, before + 3]);
    assert.equal(main.nice(), before);
  } finally {
    worker.terminate();
    URL.revokeObjectURL(url);
  }
});
