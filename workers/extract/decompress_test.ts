import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { NyxError } from "../../daemon/spec/errors.ts";
import { tryLoadIsal } from "../../ffi/isal.ts";
import { tryLoadZstd } from "../../ffi/zstd.ts";
import { type Compression, decompressor, detect } from "./decompress.ts";

type Bytes = Uint8Array<ArrayBuffer>;
const bytes = (b: Uint8Array) => new Uint8Array(b);
const join = (...parts: Uint8Array[]) => bytes(Buffer.concat(parts));

type Library = "best" | "node";

async function run(kind: Compression, input: Bytes, step: number, library: Library): Promise<Bytes> {
  using d = decompressor(kind, { library });
  const out: Uint8Array[] = [];
  const drain = async () => {
    for (let slice = await d.next(); slice !== undefined; slice = await d.next()) out.push(slice.slice());
  };
  for (let at = 0; at < input.byteLength; at += step) {
    d.setInput(input.slice(at, at + step));
    await drain();
  }
  d.end();
  await drain();
  return join(...out);
}

function sample(size: number): Bytes {
  const b = new Uint8Array(size);
  for (let i = 0, x = 1; i < size; i++) {
    x = (x * 1103515245 + 12345) & 0x7fffffff;
    b[i] = i % 7 === 0 ? x >> 16 : i >> 5;
  }
  return b;
}

const text = sample(1_500_000);
const compress = { gzip: (b: Uint8Array) => gzipSync(b), zstd: withChecksum };

function withChecksum(b: Uint8Array): Uint8Array {
  return zstdCompressSync(b, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
}

function dataLoss(pattern: RegExp): (e: unknown) => boolean {
  return (e) => e instanceof NyxError && e.code === "data_loss" && pattern.test(e.message);
}

for (const library of ["best", "node"] as const) {
  for (const kind of ["gzip", "zstd"] as const) {
    Deno.test(`decompressor ${kind} (${library}): the same bytes whatever the chunk size`, async () => {
      const packed = bytes(compress[kind](text));
      for (const step of [packed.byteLength, 65_536, 10_000, 777]) {
        assert.ok(Buffer.from(await run(kind, packed, step, library)).equals(text), `step ${step}`);
      }
    });

    if (library === "node" && kind === "zstd") continue;

    Deno.test(`decompressor ${kind} (${library}): several members or frames are one stream, cut anywhere`, async () => {
      const small = sample(300);
      const packed = join(compress[kind](small), compress[kind](new Uint8Array(0)), compress[kind](small.subarray(7)));
      const expected = join(small, small.subarray(7));
      for (let step = 1; step <= packed.byteLength; step += step < 40 ? 1 : 13) {
        assert.deepEqual(await run(kind, packed, step, library), expected, `step ${step}`);
      }
    });

    Deno.test(`decompressor ${kind} (${library}): a cut stream is data_loss, not a short one`, async () => {
      const packed = bytes(compress[kind](text));
      for (const length of [3, 20, packed.byteLength >> 1, packed.byteLength - 1]) {
        await assert.rejects(run(kind, packed.slice(0, length), 50_000, library), dataLoss(/ends too early/));
      }
    });

    Deno.test(`decompressor ${kind} (${library}): a damaged stream is data_loss`, async () => {
      const packed = bytes(compress[kind](text));
      packed.fill(0xa5, 2000, 2100);
      await assert.rejects(run(kind, packed, 50_000, library), dataLoss(/damaged|too early/));
    });
  }

  Deno.test(`decompressor gzip (${library}): a wrong checksum and garbage behind are data_loss, zeros are padding`, async () => {
    const packed = bytes(gzipSync(sample(1000)));
    const wrong = packed.slice();
    wrong[wrong.byteLength - 6] = (wrong[wrong.byteLength - 6] ?? 0) ^ 1;
    await assert.rejects(run("gzip", wrong, 4096, library), dataLoss(/damaged/));
    await assert.rejects(run("gzip", join(packed, Buffer.from("garbage!")), 4096, library), dataLoss(/damaged/));
    for (const step of [1, 7, 4096]) {
      assert.deepEqual(await run("gzip", join(packed, new Uint8Array(600)), step, library), sample(1000));
    }
  });

  Deno.test(`decompressor gzip (${library}): a bomb is handed out in slices of at most 512 KiB`, async () => {
    using d = decompressor("gzip", { library });
    d.setInput(bytes(gzipSync(new Uint8Array(50_000_000))));
    let total = 0;
    for (let slice = await d.next(); slice !== undefined; slice = await d.next()) {
      assert.ok(slice.byteLength <= 512 * 1024);
      total += slice.byteLength;
    }
    assert.equal(total, 50_000_000);
  });
}

Deno.test("detect: by first bytes; xz and bzip2 are named in the refusal", () => {
  assert.equal(detect(gzipSync("x")), "gzip");
  assert.equal(detect(zstdCompressSync("x")), "zstd");
  assert.equal(detect(new Uint8Array([0x50, 0x2a, 0x4d, 0x18, 0, 0])), "zstd");
  assert.equal(detect(new Uint8Array(512)), "none");
  assert.equal(detect(new Uint8Array(0)), "none");
  assert.throws(() => detect(new TextEncoder().encode("BZh91AY")), /compressed with bzip2/);
});

Deno.test("tryLoadIsal, tryLoadZstd: found where Debian's libisal2 and libzstd1 are installed", () => {
  const installed = (name: string) => {
    try {
      return Deno.statSync(name).isFile;
    } catch {
      return false;
    }
  };
  if (installed("/usr/lib/x86_64-linux-gnu/libisal.so.2.0.30")) assert.ok(tryLoadIsal() !== undefined);
  if (installed("/usr/lib/x86_64-linux-gnu/libzstd.so.1")) assert.ok(tryLoadZstd() !== undefined);
});
