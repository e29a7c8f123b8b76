import assert from "node:assert/strict";
import { linuxFile } from "../../ffi/linux/file.ts";
import { faultyKernel } from "../../tests/support/fake_kernel.ts";
import { LogReader, type LogReadOptions } from "./log_reader.ts";
import { normaliseTime } from "./log_read.ts";

const ID = "ab".repeat(32);
const files = linuxFile();
const NEVER = new AbortController().signal;

/** A record as the encoder writes it. */
function record(time: string, log: string, stream = "stdout"): string {
  return `{"time":"${normaliseTime(time)}","container_id":"${ID}","stream":"${stream}","log":"${log}"}\n`;
}

async function inDir(job: (path: string) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-logreader-" });
  try {
    await job(`${dir}/${ID}.log`);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

async function read(path: string, options: Partial<LogReadOptions> = {}, kernel = files): Promise<string> {
  let text = "";
  const reader = new LogReader(kernel, {
    id: ID,
    path,
    filter: { stdout: true, stderr: true, since: undefined, until: undefined, grep: undefined, ...options.filter },
    format: { format: "text", timestamps: false },
    tail: undefined,
    writer: undefined,
    follow: false,
    stopAt: undefined,
    signal: NEVER,
    send: (bytes) => {
      text += new TextDecoder().decode(bytes);
      return Promise.resolve();
    },
    ...options,
  });
  await reader.run();
  return text;
}

const both = { stdout: true, stderr: true, since: undefined, until: undefined, grep: undefined };

Deno.test("LogReader tail: a log of 64 MiB is read from its end, also with --stream and --grep; a fraction of it is looked at", () =>
  inDir(async (path) => {
    const block = record("2026-01-01T00:00:00Z", "x".repeat(100)).repeat(4096);
    using file = Deno.openSync(path, { create: true, write: true });
    const bytes = new TextEncoder().encode(block);
    for (let size = 0; size < 64 * 1024 * 1024; size += bytes.length) file.writeSync(bytes);
    for (let i = 0; i < 50; i++) {
      file.writeSync(new TextEncoder().encode(record("2026-01-02T00:00:00Z", `end ${i}`, i % 2 ? "stderr" : "stdout")));
    }
    const looked = async (options: Partial<LogReadOptions>) => {
      const { kernel, calls } = faultyKernel(files);
      const text = await read(path, options, kernel);
      const buffers = calls.filter((c) => c.call === "read" || c.call === "pread").map((c) => c.args[1] as Uint8Array);
      return { text, bytes: buffers.reduce((n, b) => n + b.byteLength, 0) };
    };
    const cases: [Partial<LogReadOptions>, string][] = [
      [{ tail: 2 }, "end 48\nend 49\n"],
      [{ tail: 2, filter: { ...both, stdout: false } }, "end 47\nend 49\n"],
      [{ tail: 1, filter: { ...both, grep: "nd 3" } }, "end 39\n"],
    ];
    for (const [options, expected] of cases) {
      const { text, bytes } = await looked(options);
      assert.equal(text, expected);
      assert.ok(bytes < 4 * 1024 * 1024, `${bytes} bytes were asked for`);
    }
  }));

Deno.test("LogReader: the clock was set back, and forward: --since and --until still find every line of their time", () =>
  inDir(async (path) => {
    Deno.writeTextFileSync(
      `${path}.1`,
      record("2026-01-01T10:00:00Z", "ten") + record("2026-01-01T10:05:00Z", "five past ten") +
        record("2026-01-01T09:30:00Z", "half past nine"),
    );
    // Its last write was before the time that is asked for below, its first line was not.
    const set = Date.parse("2026-01-01T09:30:00Z") / 1000;
    Deno.utimeSync(`${path}.1`, set, set);
    Deno.writeTextFileSync(
      path,
      record("2030-01-01T00:00:00Z", "far ahead") + record("2026-01-01T09:35:00Z", "and back"),
    );
    const ask = (since?: string, until?: string) => {
      const time = (t: string | undefined) => t === undefined ? undefined : normaliseTime(t);
      return read(path, { filter: { ...both, since: time(since), until: time(until) } });
    };
    assert.equal(await ask(undefined, "2026-01-01T09:40:00Z"), "half past nine\nand back\n");
    assert.equal(await ask("2026-01-01T09:50:00Z"), "ten\nfive past ten\nfar ahead\n");
    assert.equal(await ask("2026-01-01T09:33:00Z", "2026-01-01T10:02:00Z"), "ten\nand back\n");
    assert.equal(await ask("2031-01-01T00:00:00Z"), "");
  }));

Deno.test("LogReader: ENOMEM or EIO while reading fails that reader alone, in words; a part that is gone does not", () =>
  inDir(async (path) => {
    Deno.writeTextFileSync(`${path}.1`, record("2026-01-01T10:00:00Z", "one"));
    Deno.writeTextFileSync(path, record("2026-01-01T10:00:00Z", "two"));
    for (const errno of ["ENOMEM", "EIO"]) {
      const { kernel } = faultyKernel(files, [{ call: "read", nth: 1, errno }]);
      await assert.rejects(read(path, {}, kernel), { code: errno });
    }
    const { kernel } = faultyKernel(files, [{ call: "openat", where: ".log.1", errno: "ENOENT" }]);
    assert.equal(await read(path, {}, kernel), "two\n");
    assert.equal(await read(path), "one\ntwo\n");
  }));
