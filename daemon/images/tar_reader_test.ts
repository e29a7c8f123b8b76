import { strict as assert } from "node:assert";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { tar } from "../../tests/support/oci.ts";
import { NyxError } from "../spec/errors.ts";
import { memberName } from "./staging.ts";
import { readTar } from "./tar_reader.ts";
import { tarHeader, writeTar } from "./tar_writer.ts";

async function* chunked(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Record<string, string>> {
  const out: Record<string, string> = {};
  for await (const m of readTar(stream)) {
    const parts: Uint8Array[] = [];
    for await (const c of m.body()) parts.push(c.slice());
    out[m.name] = m.type === "file" ? await new Blob(parts as BlobPart[]).text() : `${m.type} ${m.linkName}`;
  }
  return out;
}

const long = "d/".repeat(80) + "file";
const entries = [
  { path: "dir/", type: "dir" as const },
  { path: "dir/a", data: "alpha" },
  { path: long, data: "x".repeat(1000) },
  { path: "empty", data: "" },
  { path: "link", type: "symlink" as const, link: "dir/a" },
];
const expected = { "dir/": "dir ", "dir/a": "alpha", [long]: "x".repeat(1000), empty: "", link: "symlink dir/a" };

Deno.test("readTar reads plain, gzip and zstd archives whatever the chunks, PAX names included", async () => {
  const plain = tar(entries);
  for (const bytes of [plain, gzipSync(plain), zstdCompressSync(plain)]) {
    for (const size of [1, 511, 512, 65536]) assert.deepEqual(await readAll(chunked(bytes, size)), expected);
  }
});

Deno.test("readTar reads what GNU tar writes, long names and all", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-images-tar-" });
  try {
    Deno.mkdirSync(`${dir}/${"d/".repeat(80)}`, { recursive: true });
    Deno.writeTextFileSync(`${dir}/${long}`, "deep");
    for (const format of ["gnu", "pax", "ustar"]) {
      const { stdout } = await new Deno.Command("tar", { args: ["-C", dir, `--format=${format}`, "-cf", "-", "d"] })
        .output();
      assert.equal((await readAll(chunked(stdout, 700)))[long], "deep");
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("readTar skips bodies that are not read, and refuses corrupt archives", async () => {
  const names: string[] = [];
  for await (const m of readTar(chunked(tar(entries), 100))) names.push(m.name);
  assert.deepEqual(names, Object.keys(expected));
  const flipped = tar(entries);
  flipped[3] = 1;
  const gz = gzipSync(tar(entries));
  const badCrc = gz.slice();
  badCrc[badCrc.length - 5] = (badCrc[badCrc.length - 5] ?? 0) ^ 1;
  const bad = [
    flipped,
    tar(entries).subarray(0, 1100),
    gz.subarray(0, 100),
    badCrc,
    new Uint8Array([0x42, 0x5a, 0x68, 1, 2, 3]),
  ];
  for (const b of bad) {
    await assert.rejects(readAll(chunked(b, 64)), (e) => e instanceof NyxError && e.code === "invalid_argument");
  }
});

Deno.test("writeTar writes what GNU tar and readTar read; sizes from 8 GiB are base-256", async () => {
  async function* parts() {
    yield { name: "a", size: 3, body: chunked(new TextEncoder().encode("abc"), 2) };
    yield await Promise.resolve({ name: "b", size: 512, body: chunked(new Uint8Array(512).fill(66), 512) });
  }
  const bytes = new Uint8Array(await new Response(ReadableStream.from(writeTar(parts()))).arrayBuffer());
  assert.deepEqual(await readAll(chunked(bytes, 600)), { a: "abc", b: "B".repeat(512) });
  const child = new Deno.Command("tar", { args: ["-tvf", "-"], stdin: "piped", stdout: "piped" }).spawn();
  await ReadableStream.from([bytes]).pipeTo(child.stdin);
  assert.match(new TextDecoder().decode((await child.output()).stdout), /root|0\/0 +3 .* a\n/);
  const huge = 9 * 1024 ** 3;
  const iterator = readTar(chunked(tarHeader("huge", huge), 512))[Symbol.asyncIterator]();
  assert.equal((await iterator.next()).value?.size, huge);
});

Deno.test("memberName strips ./ and refuses names that leave the archive", () => {
  assert.equal(memberName("./a//b/."), "a/b");
  assert.equal(memberName("../x/layer.tar", "y/layer.tar"), "x/layer.tar");
  for (const bad of ["/etc/passwd", "..", "a/../../b", "./../x"]) assert.throws(() => memberName(bad), NyxError);
});
