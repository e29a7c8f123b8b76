import assert from "node:assert/strict";
import { linuxPriority } from "./priority.ts";

/** Runs statements that use `k`, a priority kernel, in a worker of their own; returns what they post. */
async function inWorker(statements: string): Promise<unknown> {
  const module = JSON.stringify(new URL("./priority.ts", import.meta.url).href);
  const source = `import { linuxPriority } from ${module};\nconst k = linuxPriority();\n${statements}`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = (e) => resolve(e.data);
      worker.onerror = (e) => {
        e.preventDefault();
        reject(new Error(e.message));
      };
    });
  } finally {
    worker.terminate();
    URL.revokeObjectURL(url);
  }
}

Deno.test("linuxPriority: a worker's nice value is its own, the main thread keeps its", async () => {
  const main = linuxPriority();
  const before = main.nice();
  const seen = await inWorker("const was = k.nice(); k.setNice(was + 3); postMessage([was, k.nice()]);");
  assert.deepEqual(seen, [before, before + 3]);
  assert.equal(main.nice(), before);
});

Deno.test("linuxPriority.setSlice: the thread alone has short turns, not what it starts, and its nice value stays", async () => {
  const seen = await inWorker(`
    k.setNice(k.nice() + 2);
    const was = k.nice();
    k.setSlice(0, 100_000);
    const child = new Deno.Command("sleep", { args: ["60"] }).spawn();
    const seen = { own: k.slice(0), child: k.slice(child.pid), niceKept: k.nice() === was };
    child.kill("SIGKILL");
    await child.status;
    postMessage(seen);`) as { own: number; child: number; niceKept: boolean };
  assert.ok(seen.niceKept);
  // Kernels before 6.12 say 0 of all.
  assert.ok(seen.own === 0 ? seen.child === 0 : seen.own === 100_000 && seen.child > 100_000, JSON.stringify(seen));
  assert.throws(() => linuxPriority().setSlice(2 ** 22 + 1, 100_000), { code: "ESRCH" });
});
