import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { layerDiffPath } from "../../daemon/spec/layer_store.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { ISAL_PATHS } from "../../ffi/isal.ts";
import { LIBC_PATHS } from "../../ffi/linux/libc.ts";
import { ZSTD_PATHS } from "../../ffi/zstd.ts";
import { ByteSender } from "../../workers/channel.ts";
import { WorkerHost } from "../../workers/host.ts";
import { EXTRACT_LIBRARIES, startExtractWorker } from "../../workers/extract/permissions.ts";
import type { ExtractStage } from "../../workers/protocol.ts";
import { sha256, WIDE_LIMITS } from "../support/layer_fixture.ts";
import { tar, type TarEntry } from "../support/tar_writer.ts";

type Bytes = Uint8Array<ArrayBuffer>;

interface Fixture {
  layersDir: string;
  host: WorkerHost<ExtractStage>;
  log: string[];
}

async function withWorker(run: (f: Fixture) => Promise<void>): Promise<void> {
  const base = Deno.makeTempDirSync({ prefix: "nyx-extract-worker-" });
  const log: string[] = [];
  const host = new WorkerHost<ExtractStage>({
    name: "extract",
    start: startExtractWorker,
    onLog: (level, msg) => log.push(`${level} ${msg}`),
  });
  try {
    await host.ready;
    await run({ layersDir: `${base}/layers`, host, log });
    assert.deepEqual(log, []);
  } finally {
    host.terminate();
    Deno.removeSync(base, { recursive: true });
  }
}

function layerOf(
  entries: TarEntry[],
): { blob: Bytes; request: Omit<ExtractStage["ops"]["layer"]["request"], "layersDir" | "source"> } {
  const content = tar(entries);
  const blob = new Uint8Array(gzipSync(content, { level: 1 }));
  const descriptor = {
    mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
    digest: sha256(blob),
    size: blob.byteLength,
  };
  return { blob, request: { blob: descriptor, diffId: sha256(content), limits: WIDE_LIMITS } };
}

function noise(size: number, seed: number): Bytes {
  const out = new Uint8Array(size);
  for (let i = 0, x = seed; i < size; i++) out[i] = (x = Math.imul(x, 1103515245) + 12345) >> 16;
  return out;
}

/** Sends bytes as the pull worker does; `upTo` stops there without an end. */
async function feed(
  port: MessagePort,
  blob: Bytes,
  options: { chunk?: number; upTo?: number } = {},
): Promise<ByteSender> {
  const { chunk = 65_536, upTo = blob.byteLength } = options;
  const sender = new ByteSender(port);
  for (let at = 0; at < upTo; at += chunk) await sender.send(blob.slice(at, Math.min(at + chunk, upTo)));
  if (upTo === blob.byteLength) sender.end();
  return sender;
}

Deno.test("EXTRACT_LIBRARIES: every path that the libraries' modules try on this machine", () => {
  const tried = [...LIBC_PATHS, ...ISAL_PATHS, ...ZSTD_PATHS];
  assert.deepEqual([...EXTRACT_LIBRARIES].sort(), tried.sort());
});

Deno.test("extract worker: under its narrow permissions, many layers at once over ports and files, each with progress", async () => {
  await withWorker(async ({ layersDir, host }) => {
    let progressed = 0;
    const results = await Promise.all(Array.from({ length: 12 }, async (_, i) => {
      const { blob, request } = layerOf([{ path: `dir/file${i}`, data: noise(400_000 + i, i + 1) }]);
      const options = { onProgress: () => progressed++ };
      if (i % 3 === 0) {
        const path = `${layersDir}-${i}.blob`;
        Deno.writeFileSync(path, blob);
        return await host.call("layer", { layersDir, ...request, source: { kind: "file", path } }, options);
      }
      const { port1, port2 } = new MessageChannel();
      const call = host.call("layer", { layersDir, ...request, source: { kind: "port", port: port2 } }, {
        ...options,
        transfer: [port2],
      });
      await feed(port1, blob, { chunk: 30_000 + i });
      return await call;
    }));
    for (const [i, r] of results.entries()) {
      assert.equal(Deno.statSync(`${layerDiffPath(layersDir, r.diffId)}/dir/file${i}`).size, 400_000 + i);
    }
    assert.ok(progressed >= 12);
  });
});

Deno.test("extract worker: a layer that is there already is returned at once, and the sender is told to stop", async () => {
  await withWorker(async ({ layersDir, host }) => {
    const { blob, request } = layerOf([{ path: "a", data: noise(9_000_000, 3) }]);
    const path = `${layersDir}.blob`;
    Deno.writeFileSync(path, blob);
    const first = await host.call("layer", { layersDir, ...request, source: { kind: "file", path } });
    const { port1, port2 } = new MessageChannel();
    const call = host.call("layer", { layersDir, ...request, source: { kind: "port", port: port2 } }, {
      transfer: [port2],
    });
    const sending = feed(port1, blob);
    sending.catch(() => {});
    assert.deepEqual(await call, first);
    await assert.rejects(sending, { code: "canceled" });
  });
});

Deno.test("extract worker: cancel ends a layer that waits for bytes, as canceled, and leaves nothing", async () => {
  await withWorker(async ({ layersDir, host }) => {
    const { blob, request } = layerOf([{ path: "a", data: noise(1_000_000, 5) }]);
    const { port1, port2 } = new MessageChannel();
    const abort = new AbortController();
    const call = host.call("layer", { layersDir, ...request, source: { kind: "port", port: port2 } }, {
      transfer: [port2],
      signal: abort.signal,
    });
    const sender = await feed(port1, blob, { upTo: 500_000 });
    setTimeout(() => abort.abort(), 50);
    await assert.rejects(call, { code: "canceled" });
    assert.deepEqual([...Deno.readDirSync(layersDir)], []);
    for (let i = 0; i < 100 && sender.canceled === undefined; i++) await new Promise((r) => setTimeout(r, 10));
    assert.equal(sender.canceled?.code, "canceled");
  });
});

Deno.test("extract worker: the sender's own error fails the layer; a refused entry is told to the sender", async () => {
  await withWorker(async ({ layersDir, host }) => {
    const { blob, request } = layerOf([{ path: "a", data: noise(300_000, 6) }]);
    const broken = new MessageChannel();
    const call = host.call("layer", { layersDir, ...request, source: { kind: "port", port: broken.port2 } }, {
      transfer: [broken.port2],
    });
    (await feed(broken.port1, blob, { upTo: 100_000 })).fail(new NyxError("unavailable", "The registry went away"));
    await assert.rejects(call, { code: "unavailable", message: "The registry went away" });

    const evil = layerOf([{ path: "../evil" }, { path: "more", data: noise(20_000_000, 9) }]);
    const { port1, port2 } = new MessageChannel();
    const refused = host.call("layer", { layersDir, ...evil.request, source: { kind: "port", port: port2 } }, {
      transfer: [port2],
    });
    const sending = feed(port1, evil.blob);
    sending.catch(() => {});
    await assert.rejects(refused, { code: "invalid_argument", message: /entry "\.\.\/evil"/ });
    await assert.rejects(sending, { code: "invalid_argument" });
    assert.deepEqual([...Deno.readDirSync(layersDir)], []);
  });
});

Deno.test("extract worker: clean, sync and remove", async () => {
  await withWorker(async ({ layersDir, host }) => {
    const { blob, request } = layerOf([{ path: "a", data: "x" }]);
    Deno.writeFileSync(`${layersDir}.blob`, blob);
    await host.call("layer", { layersDir, ...request, source: { kind: "file", path: `${layersDir}.blob` } });
    Deno.mkdirSync(`${layersDir}/.tmp-left/fs/x`, { recursive: true });
    assert.deepEqual(await host.call("clean", { layersDir }), { temporary: 1, lost: [] });
    assert.deepEqual(await host.call("sync", { layersDir }), { synced: 1 });
    assert.deepEqual(await host.call("sync", { layersDir }), { synced: 0 });
    assert.deepEqual(await host.call("remove", { layersDir, diffId: request.diffId }), { removed: true });
    assert.deepEqual(await host.call("remove", { layersDir, diffId: request.diffId }), { removed: false });
    await assert.rejects(host.call("remove", { layersDir, diffId: "sha256:.." }), { code: "invalid_argument" });
  });
});

Deno.test("extract worker: other requests are answered while a large layer is unpacked", async () => {
  await withWorker(async ({ layersDir, host }) => {
    const { blob, request } = layerOf([{ path: "big", data: noise(30_000_000, 11) }]);
    Deno.writeFileSync(`${layersDir}.blob`, blob);
    const call = host.call("layer", { layersDir, ...request, source: { kind: "file", path: `${layersDir}.blob` } });
    let done = false;
    call.finally(() => done = true).catch(() => {});
    const delays: number[] = [];
    while (!done) {
      const since = performance.now();
      await host.call("clean", { layersDir: `${layersDir}-other` });
      delays.push(performance.now() - since);
    }
    await call;
    delays.sort((a, b) => a - b);
    assert.ok(delays.length > 3, `only ${delays.length} answers`);
    assert.ok((delays[delays.length >> 1] ?? 0) < 500, `median ${delays[delays.length >> 1]} ms`);
  });
});

Deno.test("extract: kill -9 in the middle leaves no layer, only what clean removes", async () => {
  const base = Deno.makeTempDirSync({ prefix: "nyx-extract-kill-" });
  try {
    const layersDir = `${base}/layers`;
    const { blob, request } = layerOf(
      Array.from({ length: 300 }, (_, i) => ({ path: `d${i % 7}/f${i}`, data: noise(60_000, i) })),
    );
    Deno.writeFileSync(`${base}/blob`, blob);
    const script = `
      import { linuxFile } from ${JSON.stringify(new URL("../../ffi/linux/file.ts", import.meta.url).href)};
      import { LayerStore } from ${JSON.stringify(new URL("../../workers/extract/store.ts", import.meta.url).href)};
      import { extractLayer } from ${JSON.stringify(new URL("../../workers/extract/extract.ts", import.meta.url).href)};
      const request = JSON.parse(Deno.args[0]);
      const blob = Deno.readFileSync(Deno.args[1]);
      const store = new LayerStore(linuxFile(), Deno.args[2]);
      async function* slow() {
        yield blob.slice(0, blob.length / 2);
        console.log("half");
        await new Promise((r) => setTimeout(r, 60_000));
      }
      await extractLayer(linuxFile(), store, { ...request, source: slow() });`;
    Deno.writeTextFileSync(`${base}/child.ts`, script);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", `${base}/child.ts`, JSON.stringify(request), `${base}/blob`, layersDir],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    const left = [...Deno.readDirSync(layersDir)].map((e) => e.name);
    assert.equal(left.length, 1);
    assert.match(left[0] ?? "", /^\.tmp-/);
    await withWorker(async ({ host }) => {
      assert.deepEqual(await host.call("clean", { layersDir }), { temporary: 1, lost: [] });
      const source = { kind: "file" as const, path: `${base}/blob` };
      assert.equal((await host.call("layer", { layersDir, ...request, source })).entries, 300);
    });
  } finally {
    Deno.removeSync(base, { recursive: true });
  }
});
