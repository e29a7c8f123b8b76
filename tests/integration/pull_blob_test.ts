import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { digestOf } from "../../daemon/spec/digest_verifier.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { Descriptor } from "../../daemon/spec/image.ts";
import { ByteReceiver } from "../../workers/channel.ts";
import { type SeenRequest, startFlakyProxy } from "../support/flaky_proxy.ts";
import { type PullWorker, startTestPullWorker } from "../support/pull_worker.ts";
import { startRegistry } from "../support/registry.ts";
import { putBlob, randomBytes } from "../support/registry_content.ts";

const MIB = 1024 * 1024;

async function failure(promise: Promise<unknown>): Promise<NyxError> {
  try {
    await promise;
  } catch (e) {
    assert.ok(e instanceof NyxError, `not a NyxError: ${e}`);
    return e;
  }
  throw new Error("it did not fail");
}

/** A registry with one blob, a proxy before it and a worker. */
interface Setup {
  worker: PullWorker;
  registry: Awaited<ReturnType<typeof startRegistry>>;
  proxy: ReturnType<typeof startFlakyProxy>;
  bytes: Uint8Array<ArrayBuffer>;
  blob: Descriptor;
  ref: string;
}

async function withSetup(
  size: number,
  run: (s: Setup) => Promise<void>,
  options: Parameters<typeof startTestPullWorker>[0] = {},
): Promise<void> {
  await using registry = await startRegistry();
  await using proxy = startFlakyProxy(registry.host);
  await using worker = await startTestPullWorker(options);
  const bytes = randomBytes(size);
  const blob = await putBlob({ host: registry.host, repository: "app" }, bytes);
  await run({ worker, registry, proxy, bytes, blob, ref: `${proxy.host}/app:latest` });
}

function fetchBlob(
  s: Setup,
  options: {
    descriptor?: Descriptor;
    signal?: AbortSignal;
    onProgress?: (p: { current: number; size: number }) => void;
  } = {},
) {
  const { descriptor = s.blob, ...call } = options;
  return s.worker.host.call("fetchBlob", { ref: s.ref, descriptor }, call);
}

/** Starts a fetch with a port; `received` gathers what comes out of it. */
function fetchWithPort(s: Setup, options: { delayMs?: number; signal?: AbortSignal; descriptor?: Descriptor } = {}) {
  const { delayMs = 0, signal, descriptor = s.blob } = options;
  const { port1, port2 } = new MessageChannel();
  const received = (async () => {
    const parts: Uint8Array[] = [];
    for await (const chunk of new ByteReceiver(port2)) {
      parts.push(chunk.slice());
      if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    }
    return parts;
  })();
  received.catch(() => {});
  const result = s.worker.host.call("fetchBlob", { ref: s.ref, descriptor, port: port1 }, {
    transfer: [port1],
    ...(signal === undefined ? {} : { signal }),
  });
  result.catch(() => {});
  return { received, result };
}

function digestOfParts(parts: Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return `sha256:${hash.digest("hex")}`;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function assertStored({ worker, bytes, blob }: Setup): void {
  assert.equal(digestOf(Deno.readFileSync(worker.blobPath(blob.digest))), digestOf(bytes));
  assert.ok(!exists(worker.ingestPath(blob.digest)), "the partial file is still there");
}

const blobRequests = (requests: SeenRequest[]) => requests.filter((r) => r.path.includes("/blobs/"));
const ranges = (requests: SeenRequest[]) => blobRequests(requests).map((r) => r.headers.get("range"));

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Waited 10 s in vain until ${what}`);
}

Deno.test("fetchBlob: stores a blob under its digest, reports progress to the end, and downloads nothing again", async () => {
  await withSetup(3 * MIB + 7, async (s) => {
    const progress: number[] = [];
    const got = await fetchBlob(s, { onProgress: (p) => progress.push(p.current) });
    assert.deepEqual(got, { digest: s.blob.digest, size: s.blob.size, downloaded: s.blob.size });
    assertStored(s);
    assert.equal(progress.at(-1), s.blob.size);
    assert.equal(Deno.statSync(s.worker.blobPath(s.blob.digest)).mode, 0o100600);
    const before = s.proxy.requests.length;
    assert.equal((await fetchBlob(s)).downloaded, 0);
    assert.equal(s.proxy.requests.length, before);
    assert.equal(s.proxy.requests[0]?.headers.get("accept-encoding"), "identity");
  });
});

Deno.test("fetchBlob: an empty blob", async () => {
  await withSetup(0, async (s) => {
    await fetchBlob(s);
    assertStored(s);
  });
});

Deno.test("fetchBlob: a sha512 blob is verified and stored beside the others", async () => {
  await withSetup(100_000, async (s) => {
    const digest = digestOf(s.bytes, "sha512");
    s.proxy.misbehave = () => ({ kind: "respond", status: 200, body: s.bytes });
    await fetchBlob(s, { descriptor: { ...s.blob, digest } });
    assert.ok(exists(s.worker.blobPath(digest)));
  });
});

Deno.test("fetchBlob: a cached blob whose bytes are wrong is not trusted by its name", async () => {
  await withSetup(100_000, async (s) => {
    await fetchBlob(s);
    const path = s.worker.blobPath(s.blob.digest);
    const wrong = Deno.readFileSync(path);
    wrong[5] = (wrong[5] ?? 0) ^ 1;
    Deno.writeFileSync(path, wrong);
    assert.equal((await fetchBlob(s)).downloaded, s.blob.size);
    assertStored(s);
  });
});

Deno.test("fetchBlob: resumes by Range after every cut, and a port gets each byte once", async () => {
  await withSetup(4 * MIB, async (s) => {
    s.proxy.misbehave = (r) =>
      r.path.includes("/blobs/") && blobRequests(s.proxy.requests).length < 4 ? { kind: "cut", after: MIB } : undefined;
    const { received, result } = fetchWithPort(s);
    const { downloaded } = await result;
    assert.equal(digestOfParts(await received), s.blob.digest);
    assertStored(s);
    const seen = ranges(s.proxy.requests);
    assert.equal(seen.length, 4);
    assert.equal(seen[0], null);
    for (const range of seen.slice(1)) assert.match(range ?? "", /^bytes=[1-9]\d*-$/);
    assert.ok(downloaded < 1.3 * s.blob.size, `${downloaded} bytes were downloaded for ${s.blob.size}`);
  });
});

Deno.test("fetchBlob: a line that breaks every 100 kB, or that gives at most 200 kB a request, still brings the whole blob", async () => {
  await withSetup(1_500_000, async (s) => {
    s.proxy.misbehave = () => ({ kind: "cut", after: 100_000 });
    const { downloaded } = await fetchBlob(s);
    assertStored(s);
    assert.ok(downloaded < 2 * s.blob.size, `${downloaded} bytes were downloaded for ${s.blob.size}`);
    await Deno.remove(s.worker.blobPath(s.blob.digest));
    Deno.writeFileSync(s.worker.ingestPath(s.blob.digest), s.bytes.subarray(0, 100_000));
    s.proxy.misbehave = (r) => {
      const from = Number(/^bytes=(\d+)-$/.exec(r.headers.get("range") ?? "")?.[1]);
      const last = Math.min(from + 200_000, s.bytes.length) - 1;
      return {
        kind: "respond",
        status: 206,
        headers: { "content-range": `bytes ${from}-${last}/${s.bytes.length}` },
        body: s.bytes.slice(from, last + 1),
      };
    };
    assert.equal((await fetchBlob(s)).downloaded, s.bytes.length - 100_000);
    assertStored(s);
  });
});

Deno.test("fetchBlob: the kill of the worker in mid-download is resumed by the next, which reads what is on disk", async () => {
  await withSetup(4 * MIB, async (s) => {
    s.proxy.misbehave = (r) => r.path.includes("/blobs/") ? { kind: "stall", after: 2 * MIB } : undefined;
    const lost = failure(fetchBlob(s));
    const partial = s.worker.ingestPath(s.blob.digest);
    await until(() => exists(partial) && Deno.statSync(partial).size >= 2 * MIB - 256 * 1024, "half is on disk");
    await s.worker.kill();
    assert.equal((await lost).code, "unavailable");
    const left = Deno.statSync(partial).size;
    s.proxy.misbehave = () => undefined;
    s.proxy.requests.length = 0;
    const { received, result } = fetchWithPort(s);
    assert.equal((await result).downloaded, s.blob.size - left);
    assert.deepEqual(ranges(s.proxy.requests), [`bytes=${left}-`]);
    assert.equal(digestOfParts(await received), s.blob.digest);
    assertStored(s);
  });
});

Deno.test("fetchBlob: kill -9 of a whole process in mid-download is resumed by another process", async () => {
  await withSetup(4 * MIB, async (s) => {
    s.proxy.misbehave = (r) => r.path.includes("/blobs/") ? { kind: "stall", after: 2 * MIB } : undefined;
    const code = `
      import { startTestPullWorker } from ${JSON.stringify(new URL("../support/pull_worker.ts", import.meta.url).href)};
      const worker = await startTestPullWorker({ imagesDir: ${JSON.stringify(s.worker.imagesDir)} });
      await worker.host.call("fetchBlob", ${JSON.stringify({ ref: s.ref, descriptor: s.blob })});`;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--config", new URL("../../deno.json", import.meta.url).pathname, "-"],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(code));
    await writer.close();
    const partial = s.worker.ingestPath(s.blob.digest);
    try {
      await until(() => exists(partial) && Deno.statSync(partial).size >= 2 * MIB - 256 * 1024, "half is on disk");
    } finally {
      child.kill("SIGKILL");
      await child.status;
    }
    const left = Deno.statSync(partial).size;
    s.proxy.misbehave = () => undefined;
    assert.equal((await fetchBlob(s)).downloaded, s.blob.size - left);
    assertStored(s);
  });
});

Deno.test("fetchBlob: a server that ignores Range, or answers 416, is read from 0 without sending a byte twice", async () => {
  await withSetup(2 * MIB, async (s) => {
    for (const kind of ["ignoreRange", "416", "wrong range"] as const) {
      await Deno.remove(s.worker.blobPath(s.blob.digest)).catch(() => {});
      Deno.writeFileSync(s.worker.ingestPath(s.blob.digest), s.bytes.subarray(0, MIB));
      s.proxy.misbehave = (r) => {
        if (kind === "ignoreRange") return { kind };
        if (r.headers.get("range") === null) return undefined;
        return kind === "416"
          ? { kind: "respond", status: 416 }
          : { kind: "headers", set: { "content-range": `bytes 5-${s.blob.size - 1}/${s.blob.size}` } };
      };
      const { received, result } = fetchWithPort(s);
      assert.equal((await result).downloaded, s.blob.size, kind);
      assert.equal(digestOfParts(await received), s.blob.digest, kind);
      assertStored(s);
    }
  });
});

Deno.test("fetchBlob: a partial file with wrong bytes, or longer than the blob, is thrown away and loaded again", async () => {
  await withSetup(MIB, async (s) => {
    for (const left of [randomBytes(MIB / 2), randomBytes(MIB), randomBytes(2 * MIB)]) {
      await Deno.remove(s.worker.blobPath(s.blob.digest)).catch(() => {});
      Deno.writeFileSync(s.worker.ingestPath(s.blob.digest), left);
      await fetchBlob(s);
      assertStored(s);
    }
  });
});

Deno.test("fetchBlob: a partial file that is complete needs no download", async () => {
  await withSetup(MIB, async (s) => {
    Deno.writeFileSync(s.worker.ingestPath(s.blob.digest), s.bytes);
    assert.equal((await fetchBlob(s)).downloaded, 0);
    assertStored(s);
    assert.equal(blobRequests(s.proxy.requests).length, 0);
  });
});

Deno.test("attack: corrupt, longer and shorter content is refused as data_loss and leaves nothing", async () => {
  await withSetup(MIB, async (s) => {
    const nothingLeft = () => {
      assert.ok(!exists(s.worker.blobPath(s.blob.digest)));
      assert.ok(!exists(s.worker.ingestPath(s.blob.digest)));
    };
    s.proxy.misbehave = () => ({ kind: "corrupt", at: 700_000 });
    const { received, result } = fetchWithPort(s);
    assert.equal((await failure(result)).code, "data_loss");
    assert.equal((await failure(received)).code, "data_loss");
    nothingLeft();
    s.proxy.misbehave = () => ({ kind: "respond", status: 200, body: new Uint8Array(MIB + 1) });
    assert.equal((await failure(fetchBlob(s))).code, "data_loss");
    nothingLeft();
    s.proxy.misbehave = () => ({ kind: "respond", status: 200, body: new Uint8Array(MIB - 1) });
    assert.equal((await failure(fetchBlob(s))).code, "data_loss");
    nothingLeft();
    s.proxy.misbehave = () => undefined;
    for (const size of [MIB - 1, MIB + 1]) {
      assert.equal((await failure(fetchBlob(s, { descriptor: { ...s.blob, size } }))).code, "data_loss");
    }
    s.proxy.misbehave = () => ({ kind: "headers", set: { "content-encoding": "gzip" } });
    assert.equal((await failure(fetchBlob(s))).code, "data_loss");
    nothingLeft();
  });
});

Deno.test("attack: a digest or size that is no digest or size never becomes a path", async () => {
  await withSetup(10, async (s) => {
    for (const digest of ["sha256:../../../../tmp/x", "../x", "sha256:", `md5:${"0".repeat(32)}`]) {
      assert.equal((await failure(fetchBlob(s, { descriptor: { ...s.blob, digest } }))).code, "invalid_argument");
    }
    for (const size of [-1, 1.5, NaN, 2 ** 60]) {
      assert.equal((await failure(fetchBlob(s, { descriptor: { ...s.blob, size } }))).code, "invalid_argument");
    }
  });
});

Deno.test("fetchBlob: waits as Retry-After says on 429, and repeats after 5xx; a refusal is not repeated", async () => {
  await withSetup(1000, async (s) => {
    s.proxy.misbehave = (_, count) => {
      if (count === 1) return { kind: "respond", status: 429, headers: { "retry-after": "1" } };
      return count < 4 ? { kind: "respond", status: 503 } : undefined;
    };
    const began = performance.now();
    await fetchBlob(s);
    assert.ok(performance.now() - began >= 1000, "it did not wait a second");
    assert.equal(s.proxy.requests.length, 4);
    assertStored(s);
    const other = { ...s.blob, digest: digestOf(randomBytes(10)) };
    s.proxy.requests.length = 0;
    s.proxy.misbehave = () => undefined;
    const missing = await failure(fetchBlob(s, { descriptor: other }));
    assert.equal(missing.code, "not_found");
    assert.equal(s.proxy.requests.length, 1);
    s.proxy.misbehave = () => ({ kind: "respond", status: 500 });
    s.proxy.requests.length = 0;
    assert.equal((await failure(fetchBlob(s, { descriptor: other }))).code, "unavailable");
    assert.equal(s.proxy.requests.length, 5);
    s.proxy.misbehave = () => ({ kind: "respond", status: 429, headers: { "retry-after": "86400" } });
    const limited = await failure(fetchBlob(s, { descriptor: other }));
    assert.equal(limited.code, "unavailable");
    assert.equal(limited.details.retryable, true);
  });
});

Deno.test("fetchBlob: a stalled connection is given up and resumed, a slow one is not", async () => {
  await withSetup(MIB, async (s) => {
    s.proxy.misbehave = (_, count) => count === 1 ? { kind: "stall", after: MIB / 2 } : undefined;
    await fetchBlob(s);
    assertStored(s);
    assert.equal(s.proxy.requests.length, 2);
    await Deno.remove(s.worker.blobPath(s.blob.digest));
    s.proxy.requests.length = 0;
    s.proxy.misbehave = () => ({ kind: "throttle", chunk: 64 * 1024, everyMs: 100 });
    await fetchBlob(s);
    assert.equal(s.proxy.requests.length, 1, "1.6 s at a stall bound of 0.5 s");
  }, { stallMs: 500 });
});

Deno.test("fetchBlob: requests for one digest share a download, each port gets all bytes", async () => {
  await withSetup(3 * MIB, async (s) => {
    const early = [fetchWithPort(s), fetchWithPort(s, { delayMs: 5 })];
    const plain = [fetchBlob(s), fetchBlob(s)];
    await until(() => s.proxy.requests.length > 0, "the download began");
    const late = fetchWithPort(s);
    const results = await Promise.all([...early.map((f) => f.result), ...plain, late.result]);
    assert.equal(blobRequests(s.proxy.requests).length, 1);
    assert.equal(results.reduce((sum, r) => sum + r.downloaded, 0), s.blob.size);
    for (const { received } of [...early, late]) assert.equal(digestOfParts(await received), s.blob.digest);
  });
});

Deno.test("fetchBlob: an extractor that reads nothing bounds the worker's memory and does not stop the download", async () => {
  await withSetup(24 * MIB, async (s) => {
    const { port1, port2 } = new MessageChannel();
    const controller = new AbortController();
    const result = s.worker.host.call("fetchBlob", { ref: s.ref, descriptor: s.blob, port: port1 }, {
      transfer: [port1],
      signal: controller.signal,
    });
    let pending = true;
    result.then(() => pending = false, () => pending = false);
    await until(() => exists(s.worker.blobPath(s.blob.digest)), "the blob is stored");
    assert.ok(pending, "the request ended before its bytes were taken");
    let bytes = 0;
    for await (const chunk of new ByteReceiver(port2)) bytes += chunk.length;
    assert.equal(bytes, s.blob.size);
    await result;
  });
});

Deno.test("fetchBlob: an extractor that stops listening does not fail the download", async () => {
  await withSetup(8 * MIB, async (s) => {
    const { port1, port2 } = new MessageChannel();
    const result = s.worker.host.call("fetchBlob", { ref: s.ref, descriptor: s.blob, port: port1 }, {
      transfer: [port1],
    });
    for await (const _ of new ByteReceiver(port2)) break;
    await result;
    assertStored(s);
  });
});

Deno.test("fetchBlob: cancelling the last requester stops the download and keeps the bytes; one of two does not", async () => {
  await withSetup(2 * MIB, async (s) => {
    s.proxy.misbehave = () => ({ kind: "throttle", chunk: 32 * 1024, everyMs: 20 });
    const first = new AbortController();
    const second = new AbortController();
    const a = failure(fetchBlob(s, { signal: first.signal }));
    const b = fetchWithPort(s, { signal: second.signal });
    const partial = s.worker.ingestPath(s.blob.digest);
    await until(() => exists(partial) && Deno.statSync(partial).size > 64 * 1024, "it downloads");
    first.abort();
    assert.equal((await a).code, "canceled");
    const size = Deno.statSync(partial).size;
    await until(() => Deno.statSync(partial).size > size, "it goes on for the other");
    second.abort();
    assert.equal((await failure(b.result)).code, "canceled");
    assert.equal((await failure(b.received)).code, "canceled");
    const left = Deno.statSync(partial).size;
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(Deno.statSync(partial).size - left <= 256 * 1024 && !exists(s.worker.blobPath(s.blob.digest)));
    s.proxy.misbehave = () => undefined;
    assert.ok((await fetchBlob(s)).downloaded < s.blob.size);
    assertStored(s);
  });
});

Deno.test("fetchBlob: a cancel ends the wait for Retry-After and the wait for a free slot at once", async () => {
  await withSetup(1000, async (s) => {
    s.proxy.misbehave = () => ({ kind: "respond", status: 429, headers: { "retry-after": "100" } });
    const controller = new AbortController();
    const waiting = failure(fetchBlob(s, { signal: controller.signal }));
    const other = { ...s.blob, digest: digestOf(randomBytes(10)) };
    const queued = failure(fetchBlob(s, { descriptor: other, signal: controller.signal }));
    await until(() => s.proxy.requests.length > 0, "it asked");
    const began = performance.now();
    controller.abort();
    assert.deepEqual([(await waiting).code, (await queued).code], ["canceled", "canceled"]);
    assert.ok(performance.now() - began < 5000);
  }, { concurrency: 1 });
});

Deno.test("fetchBlob: another registry's failure does not fail a requester that has a good one", async () => {
  await withSetup(MIB, async (s) => {
    await using evil = startFlakyProxy(s.registry.host, () => ({ kind: "corrupt", at: 10 }));
    evil.misbehave = (_, count) => count === 1 ? { kind: "stall", after: 1000 } : { kind: "respond", status: 404 };
    const bad = failure(s.worker.host.call("fetchBlob", { ref: `${evil.host}/app:latest`, descriptor: s.blob }));
    await until(() => evil.requests.length > 0, "the bad one is asked");
    const good = fetchWithPort(s);
    assert.equal((await bad).code, "not_found");
    await good.result;
    assert.equal(digestOfParts(await good.received), s.blob.digest);
    assertStored(s);
  }, { stallMs: 300 });
});

Deno.test("fetchBlob: 60 layers at once, each whole", async () => {
  await using registry = await startRegistry();
  await using worker = await startTestPullWorker();
  const target = { host: registry.host, repository: "many" };
  const blobs = await Promise.all(
    Array.from({ length: 60 }, (_, i) => putBlob(target, randomBytes(10_000 + i * 1000))),
  );
  const ref = `${registry.host}/many:latest`;
  const began = performance.now();
  await Promise.all(blobs.map((descriptor) => worker.host.call("fetchBlob", { ref, descriptor })));
  const took = performance.now() - began;
  for (const { digest } of blobs) assert.equal(digestOf(Deno.readFileSync(worker.blobPath(digest))), digest);
  assert.deepEqual([...Deno.readDirSync(`${worker.imagesDir}/ingest`)], []);
  assert.ok(took < 30_000, `${took} ms`);
});

Deno.test("fetchBlob: a disk without room is resource_exhausted before anything is downloaded", async () => {
  await withSetup(MIB, async (s) => {
    const error = await failure(fetchBlob(s));
    assert.equal(error.code, "resource_exhausted");
    assert.match(error.message, /must stay free/);
    assert.equal(blobRequests(s.proxy.requests).length, 0);
  }, { minFreeBytes: 2 ** 60 });
});

Deno.test("fetchBlob: a disk that fills up in mid-download is resource_exhausted and keeps what can be resumed (needs root)", async () => {
  assert.equal(Deno.uid(), 0, "this test mounts a small tmpfs and must run as root");
  const dir = await Deno.makeTempDir({ prefix: "nyx-pull-small-" });
  const run = async (command: string, ...args: string[]) =>
    assert.ok((await new Deno.Command(command, { args }).output()).success, `${command} ${args.join(" ")}`);
  await run("mount", "-t", "tmpfs", "-o", "size=2m", "nyx-pull-test", dir);
  try {
    await withSetup(3 * MIB, async (s) => {
      const error = await failure(fetchBlob(s));
      assert.equal(error.code, "resource_exhausted");
      assert.match(error.message, /the disk is full/);
      const left = Deno.statSync(s.worker.ingestPath(s.blob.digest)).size;
      assert.ok(left > MIB, `${left} bytes are left`);
      await run("mount", "-o", "remount,size=16m", dir);
      assert.equal((await fetchBlob(s)).downloaded, s.blob.size - left);
      assertStored(s);
    }, { imagesDir: dir, minFreeBytes: -(2 ** 40) });
  } finally {
    await run("umount", dir);
    await Deno.remove(dir);
  }
});
