/** Tar archives in memory for tests: ustar headers, PAX records where a field does not fit (POSIX.1-2017 pax). */

/** One member of a test archive. Paths are written as given, so hostile names can be built. */
export interface TarEntry {
  path: string;
  /** Default "file", or "dir" when the path ends with a slash. */
  type?: "file" | "dir" | "symlink" | "link" | "char" | "block" | "fifo";
  data?: Uint8Array | string;
  /** Target of a symlink or hard link. */
  link?: string;
  /** Permission bits. Default 0644 for files, 0755 for the rest. */
  mode?: number;
  uid?: number;
  gid?: number;
  uname?: string;
  gname?: string;
  /** Seconds; a fraction goes out as a PAX record. Default 1,700,000,000. */
  mtime?: number;
  /** Device numbers. */
  major?: number;
  minor?: number;
  /** Extended attributes, as SCHILY.xattr records. */
  xattrs?: Record<string, Uint8Array | string>;
  /** More PAX records, written as given. */
  pax?: Record<string, string>;
  /** Size in the header when it must differ from the data's. */
  size?: number;
}

const TYPE_FLAG: Readonly<Record<NonNullable<TarEntry["type"]>, string>> = {
  file: "0",
  link: "1",
  symlink: "2",
  char: "3",
  block: "4",
  dir: "5",
  fifo: "6",
};
const MAX_OCTAL_8 = 0o7777777;
const MAX_OCTAL_12 = 0o77777777777;
const encoder = new TextEncoder();

function bytesOf(value: Uint8Array | string): Uint8Array {
  return typeof value === "string" ? encoder.encode(value) : value;
}

/** Joins byte arrays. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.byteLength, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.byteLength;
  }
  return out;
}

function paxRecord(key: string, value: Uint8Array): Uint8Array {
  const body = concat([encoder.encode(` ${key}=`), value, encoder.encode("\n")]);
  let length = body.byteLength + String(body.byteLength).length;
  if (String(length).length !== String(body.byteLength).length) length = body.byteLength + String(length).length;
  return concat([encoder.encode(String(length)), body]);
}

interface Header {
  name: Uint8Array;
  flag: string;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  link: Uint8Array;
  uname: string;
  gname: string;
  major: number;
  minor: number;
}

function headerBlock(h: Header): Uint8Array {
  const block = new Uint8Array(512);
  const put = (at: number, text: string) => block.set(encoder.encode(text), at);
  const octal = (at: number, width: number, value: number) =>
    put(at, `${Math.max(0, Math.floor(value)).toString(8).padStart(width - 1, "0")}\0`);
  block.set(h.name.subarray(0, 100), 0);
  octal(100, 8, h.mode);
  octal(108, 8, Math.min(h.uid, MAX_OCTAL_8));
  octal(116, 8, Math.min(h.gid, MAX_OCTAL_8));
  octal(124, 12, Math.min(h.size, MAX_OCTAL_12));
  octal(136, 12, Math.min(h.mtime, MAX_OCTAL_12));
  put(148, "        ");
  put(156, h.flag);
  block.set(h.link.subarray(0, 100), 157);
  put(257, "ustar\x0000");
  put(265, h.uname.slice(0, 31));
  put(297, h.gname.slice(0, 31));
  octal(329, 8, h.major);
  octal(337, 8, h.minor);
  let sum = 0;
  for (const b of block) sum += b;
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

function padded(data: Uint8Array): Uint8Array {
  const rest = data.byteLength % 512;
  return rest === 0 ? data : concat([data, new Uint8Array(512 - rest)]);
}

/** PAX records an entry needs because a ustar field cannot hold its value, and those it asks for. */
function paxRecords(e: TarEntry, name: Uint8Array, link: Uint8Array, size: number): Uint8Array[] {
  const records: Uint8Array[] = [];
  const add = (key: string, value: Uint8Array | string) => records.push(paxRecord(key, bytesOf(value)));
  if (name.byteLength > 100) add("path", name);
  if (link.byteLength > 100) add("linkpath", link);
  if (size > MAX_OCTAL_12) add("size", String(size));
  if ((e.uid ?? 0) > MAX_OCTAL_8) add("uid", String(e.uid));
  if ((e.gid ?? 0) > MAX_OCTAL_8) add("gid", String(e.gid));
  if (e.mtime !== undefined && (!Number.isInteger(e.mtime) || e.mtime < 0)) add("mtime", String(e.mtime));
  for (const [k, v] of Object.entries(e.xattrs ?? {})) add(`SCHILY.xattr.${k}`, v);
  for (const [k, v] of Object.entries(e.pax ?? {})) add(k, v);
  return records;
}

function entryBlocks(e: TarEntry): Uint8Array[] {
  const type = e.type ?? (e.path.endsWith("/") ? "dir" : "file");
  const data = bytesOf(e.data ?? "");
  const size = e.size ?? (type === "file" ? data.byteLength : 0);
  const name = encoder.encode(type === "dir" && !e.path.endsWith("/") ? `${e.path}/` : e.path);
  const link = encoder.encode(e.link ?? "");
  const common = { uname: e.uname ?? "", gname: e.gname ?? "", major: e.major ?? 0, minor: e.minor ?? 0 };
  const mtime = e.mtime ?? 1_700_000_000;
  const records = concat(paxRecords(e, name, link, size));
  const out: Uint8Array[] = [];
  if (records.byteLength > 0) {
    const pax = { ...common, name: encoder.encode("PaxHeaders/entry"), flag: "x", size: records.byteLength };
    out.push(headerBlock({ ...pax, mode: 0o644, uid: 0, gid: 0, mtime: 0, link: new Uint8Array(0) }), padded(records));
  }
  const mode = e.mode ?? (type === "file" || type === "link" ? 0o644 : type === "symlink" ? 0o777 : 0o755);
  const uid = e.uid ?? 0, gid = e.gid ?? 0;
  out.push(headerBlock({ ...common, name, flag: TYPE_FLAG[type], size, mode, uid, gid, mtime, link }));
  if (data.byteLength > 0) out.push(padded(data));
  return out;
}

/** A whole tar archive, with its two closing zero blocks. */
export function tar(entries: readonly TarEntry[]): Uint8Array<ArrayBuffer> {
  return concat([...entries.flatMap(entryBlocks), new Uint8Array(1024)]);
}
