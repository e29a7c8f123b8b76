/** Cuts one tar into several layers that, one over the other, hold the same tree. */

import { fromBytes } from "../../workers/extract/byte_string.ts";
import { parseHeader } from "../../workers/extract/tar/header.ts";
import { isZeroBlock } from "../../workers/extract/tar/header.ts";
import { parsePax } from "../../workers/extract/tar/pax.ts";

/** One member with the extended headers in front of it. */
interface Member {
  name: string;
  link: string;
  flag: string;
  start: number;
  end: number;
}

const padded = (size: number) => Math.ceil(size / 512) * 512;
const clean = (name: string) => name.replace(/^(\.?\/)+/, "").replace(/\/+$/, "");

function members(archive: Uint8Array): Member[] {
  const out: Member[] = [];
  let pending: { start: number; path?: string; link?: string } | undefined;
  for (let at = 0; at + 512 <= archive.byteLength && !isZeroBlock(archive, at);) {
    const h = parseHeader(archive, at, at);
    const data = at + 512;
    const next = data + (/[1-6]/.test(h.flag) ? 0 : padded(h.size));
    const meta = archive.subarray(data, data + h.size);
    if (/[xLKg]/.test(h.flag)) {
      pending ??= { start: at };
      const records = h.flag === "x" ? parsePax(meta, at).records : undefined;
      const text = () => fromBytes(meta).replace(/\0+$/, "");
      const path = h.flag === "L" ? text() : records?.get("path");
      const link = h.flag === "K" ? text() : records?.get("linkpath");
      if (path !== undefined) pending.path = path;
      if (link !== undefined) pending.link = link;
    } else {
      const name = clean(pending?.path ?? h.name);
      out.push({
        name,
        link: clean(pending?.link ?? h.linkName),
        flag: h.flag,
        start: pending?.start ?? at,
        end: next,
      });
      pending = undefined;
    }
    at = next;
  }
  return out;
}

/**
 * Splits an archive into `count` archives of about equal size. Hard links stay with their targets; each layer repeats the directories
 * that its members stand in, so that their owners and modes hold.
 */
export function splitTar(archive: Uint8Array<ArrayBuffer>, count: number): Uint8Array<ArrayBuffer>[] {
  const all = members(archive);
  const directories = new Map(all.filter((m) => m.flag === "5").map((m) => [m.name, m]));
  const layers = Array.from({ length: count }, () => ({ parts: new Set<Member>(), size: 0 }));
  const home = new Map<string, number>();
  const target = all.reduce((sum, m) => sum + m.end - m.start, 0) / count;
  let current = 0;
  const put = (index: number, m: Member) => {
    const layer = layers[index];
    if (layer === undefined || layer.parts.has(m)) return;
    const slash = m.name.lastIndexOf("/");
    const parent = directories.get(slash < 0 ? "" : m.name.slice(0, slash));
    if (parent !== undefined && parent !== m) put(index, parent);
    layer.parts.add(m);
    layer.size += m.end - m.start;
  };
  for (const m of all) {
    const index = m.flag === "1" ? home.get(m.link) ?? current : current;
    home.set(m.name, index);
    put(index, m);
    if ((layers[current]?.size ?? 0) >= target && current < count - 1) current++;
  }
  return layers.map(({ parts, size }) => {
    const out = new Uint8Array(size + 1024);
    let at = 0;
    for (const m of parts) {
      out.set(archive.subarray(m.start, m.end), at);
      at += m.end - m.start;
    }
    return out;
  });
}
