/** An image that knows what it must contain: whoever runs it can tell whether each of its layers is whole. */

import { createHash } from "node:crypto";
import { buildImage, busyboxLayer, pushLayout } from "../support/oci.ts";
import { tar, type TarEntry } from "../support/tar_writer.ts";

const LAYERS = 4;
const FILES = 40;

/** Bytes that cannot be compressed and are the same each time. */
function noise(name: string, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0, i = 0; at < length; i++) {
    const block = createHash("sha512").update(`${name} ${i}`).digest();
    bytes.set(block.subarray(0, Math.min(block.length, length - at)), at);
    at += block.length;
  }
  return bytes;
}

function layer(number: number, sums: string[]): TarEntry[] {
  const sizes = [1_500_000, ...Array.from({ length: FILES }, (_, i) => (i * 7919) % 30_000)];
  const files = sizes.map((size, i): TarEntry => ({
    path: `cargo/${number}/${i % 5}/file-${i}`,
    data: noise(`${number}/${i}`, size),
  }));
  for (const { path, data } of files) sums.push(`${createHash("sha256").update(data ?? "").digest("hex")}  /${path}`);
  return files;
}

/** Command that ends with 0 when the image is whole. */
export const CARGO_CHECK = "sha256sum -c -s /SUMS";

/** Pushes the image. */
export async function pushCargo(target: string): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-vm-cargo-" });
  try {
    const sums: string[] = [];
    const layers = Array.from({ length: LAYERS }, (_, i) => layer(i, sums));
    const last: TarEntry[] = [{ path: "SUMS", data: `${sums.join("\n")}\n` }];
    const env = ["PATH=/bin:/usr/bin:/sbin"];
    buildImage({ dir, layers: [tar(busyboxLayer()), ...layers, last], config: { Cmd: ["sh"], Env: env } });
    await pushLayout(dir, "latest", target);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}
