/**
 * A push parser of tar archives: bytes go in as they come, members come out to a sink. Nothing is copied but headers that
 * lie across two pushes.
 *
 * Policy at the end: two zero blocks end the archive and what follows is ignored (it counts for the digest all the same); an
 * archive may also just stop after a member, or after one zero block. Everything else is damage.
 */

import { fromCString, toText } from "../byte_string.ts";
import { checkExtents, LeadingMap, pairsToExtents, readHeaderMap } from "./sparse.ts";
import type { EntryType, Extent, TarEntry, TarSink } from "./entry.ts";
import { corrupt, refused } from "./errors.ts";
import { BLOCK, type Header, isZeroBlock, parseHeader, parseNumber } from "./header.ts";
import { mergeGlobal, parsePax, type PaxHeader, paxInteger, type PaxRecords, paxTime, paxXattrs } from "./pax.ts";

/** Most bytes of one long name or extended header. */
const MAX_META = 1024 * 1024;
/** Largest id that is not the "leave it" value of chown(2). */
const MAX_ID = 0xffff_fffe;

const TYPES: Readonly<Record<string, EntryType>> = {
  "0": "file",
  "7": "file",
  "S": "file",
  "1": "link",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "dir",
  "D": "dir",
  "6": "fifo",
};

/** Members whose size field says nothing about data behind them. */
const HEADER_ONLY = new Set(["1", "2", "3", "4", "5", "6"]);

type State = "header" | "meta" | "sparseHeader" | "sparseMap" | "data" | "skip" | "ended";
type Bytes = Uint8Array<ArrayBuffer>;

/** Parser state of one archive. */
export class TarReader {
  readonly #sink: TarSink;
  readonly #block: Bytes = new Uint8Array(BLOCK);
  #blockLength = 0;
  #state: State = "header";
  #offset = 0;
  #entries = 0;
  #zeroBlocks = 0;

  /** Bytes of the current data that are still to come, and of padding behind them. */
  #left = 0;
  #padding = 0;
  #inMember = false;

  #meta: Bytes = this.#block;
  #metaLength = 0;
  #metaFlag = "";
  readonly #global: PaxRecords = new Map();
  #local: PaxHeader | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;

  #entry: TarEntry | undefined;
  #extents: Extent[] = [];
  #map: LeadingMap | undefined;

  /** @param sink receives the members */
  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** Members so far, extended headers included. */
  get entries(): number {
    return this.#entries;
  }

  /** Name of the member being read, as a byte string; undefined between members. */
  get current(): string | undefined {
    return this.#entry?.name;
  }

  /**
   * Takes the next bytes of the archive.
   *
   * @throws NyxError data_loss for damage, invalid_argument for what is refused; whatever the sink throws
   */
  push(bytes: Bytes): void {
    let at = 0;
    const end = bytes.byteLength;
    while (at < end) {
      const before = at;
      switch (this.#state) {
        case "ended":
          at = end;
          break;
        case "data":
          at = this.#takeData(bytes, at);
          break;
        case "skip":
          at = this.#takeSkip(bytes, at);
          break;
        case "meta":
          at = this.#takeMeta(bytes, at);
          break;
        default:
          at = this.#takeBlock(bytes, at);
      }
      this.#offset += at - before;
    }
  }

  /** The archive's bytes are over; throws data_loss when it stops inside a member or a block. */
  finish(): void {
    if (this.#state === "ended" || (this.#state === "header" && this.#blockLength === 0)) {
      if (this.#local === undefined && this.#longName === undefined && this.#longLink === undefined) return;
    }
    const where = this.#entry === undefined ? "a header" : `entry ${JSON.stringify(toText(this.#entry.name))}`;
    throw corrupt(`it ends in the middle of ${where}`, this.#offset);
  }

  #takeBlock(bytes: Bytes, at: number): number {
    if (this.#blockLength === 0 && bytes.byteLength - at >= BLOCK) {
      this.#onBlock(bytes, at);
      return at + BLOCK;
    }
    const n = Math.min(BLOCK - this.#blockLength, bytes.byteLength - at);
    this.#block.set(bytes.subarray(at, at + n), this.#blockLength);
    this.#blockLength += n;
    if (this.#blockLength === BLOCK) {
      this.#blockLength = 0;
      this.#onBlock(this.#block, 0);
    }
    return at + n;
  }

  #onBlock(b: Bytes, at: number): void {
    if (this.#state === "sparseHeader") this.#onSparseHeader(b, at);
    else if (this.#state === "sparseMap") this.#onSparseMap(b, at);
    else if (isZeroBlock(b, at)) {
      if (++this.#zeroBlocks === 2) this.#state = "ended";
    } else if (this.#zeroBlocks > 0) {
      throw corrupt("a zero block stands between members", this.#offset);
    } else this.#onHeader(parseHeader(b, at, this.#offset), b, at);
  }

  #takeData(bytes: Bytes, at: number): number {
    const n = Math.min(this.#left, bytes.byteLength - at);
    this.#sink.data(at === 0 && n === bytes.byteLength ? bytes : bytes.subarray(at, at + n));
    this.#left -= n;
    if (this.#left === 0) this.#endData();
    return at + n;
  }

  #takeSkip(bytes: Bytes, at: number): number {
    const n = Math.min(this.#left, bytes.byteLength - at);
    this.#left -= n;
    if (this.#left === 0) this.#state = "header";
    return at + n;
  }

  #takeMeta(bytes: Bytes, at: number): number {
    const n = Math.min(this.#left, bytes.byteLength - at);
    this.#meta.set(bytes.subarray(at, at + n), this.#metaLength);
    this.#metaLength += n;
    this.#left -= n;
    if (this.#left === 0) {
      this.#onMeta();
      this.#skip(this.#padding);
    }
    return at + n;
  }

  #skip(length: number): void {
    this.#left = length;
    this.#state = length === 0 ? "header" : "skip";
  }

  #endData(): void {
    if (this.#inMember) this.#sink.end();
    this.#inMember = false;
    this.#entry = undefined;
    this.#skip(this.#padding);
  }

  #onHeader(h: Header, b: Bytes, at: number): void {
    this.#entries++;
    if (h.size < 0) throw refused(h.name, `its size ${h.size} is negative`);
    this.#padding = (BLOCK - (h.size % BLOCK)) % BLOCK;
    if (h.flag === "x" || h.flag === "g" || h.flag === "L" || h.flag === "K") {
      if (h.size > MAX_META) throw corrupt(`an extended header of ${h.size} bytes is over ${MAX_META}`, this.#offset);
      this.#meta = new Uint8Array(h.size);
      this.#metaLength = 0;
      this.#metaFlag = h.flag;
      this.#left = h.size;
      this.#state = "meta";
      if (h.size === 0) {
        this.#onMeta();
        this.#state = "header";
      }
      return;
    }
    if (h.flag === "V") {
      this.#skip(h.size + this.#padding);
      return;
    }
    this.#onMember(h, b, at);
  }

  #onMeta(): void {
    const start = this.#offset - this.#metaLength;
    if (this.#metaFlag === "x") this.#local = parsePax(this.#meta, start);
    else if (this.#metaFlag === "g") mergeGlobal(this.#global, parsePax(this.#meta, start).records);
    else {
      const name = fromCString(this.#meta, 0, this.#meta.byteLength);
      if (this.#metaFlag === "L") this.#longName = name;
      else this.#longLink = name;
    }
    this.#meta = this.#block;
  }

  /** The record of a key: the local header's, else the global one's; an empty local value hides both. */
  #record(key: string): string | undefined {
    const local = this.#local?.records.get(key);
    if (local !== undefined) return local === "" ? undefined : local;
    return this.#global.get(key);
  }

  #onMember(h: Header, b: Bytes, at: number): void {
    const local = this.#local;
    const name = this.#longName ?? this.#record("path") ?? h.name;
    let type = TYPES[h.flag];
    if (type === undefined) throw refused(name, `members of type ${JSON.stringify(h.flag)} are not supported`);
    if (type === "file" && name.endsWith("/") && h.flag !== "S") type = "dir";
    const size = HEADER_ONLY.has(h.flag) ? undefined : this.#record("size");
    const stored = HEADER_ONLY.has(h.flag) ? 0 : size === undefined ? h.size : paxInteger("size", size, this.#offset);
    const entry: TarEntry = {
      type,
      name,
      linkName: this.#longLink ?? this.#record("linkpath") ?? h.linkName,
      size: type === "file" ? stored : 0,
      mode: h.mode & 0o7777,
      uid: this.#id("uid", h.uid, name),
      gid: this.#id("gid", h.gid, name),
      mtime: { sec: h.mtime, nsec: 0 },
      major: h.major,
      minor: h.minor,
      xattrs: [],
    };
    this.#longName = this.#longLink = undefined;
    this.#entry = entry;
    if (local !== undefined || this.#global.size > 0) this.#applyPax(entry);
    this.#left = stored;
    this.#padding = (BLOCK - (stored % BLOCK)) % BLOCK;
    if (h.flag === "S") this.#beginOldSparse(b, at);
    else if (type === "file" && local !== undefined) this.#beginPaxSparse(entry, local);
    else this.#begin();
    this.#local = undefined;
  }

  #id(key: "uid" | "gid", header: number, name: string): number {
    const record = this.#record(key);
    const id = record === undefined ? header : paxInteger(key, record, this.#offset);
    if (id < 0 || id > MAX_ID) throw refused(name, `its ${key} ${id} is not between 0 and ${MAX_ID}`);
    return id;
  }

  #applyPax(entry: TarEntry): void {
    const mtime = this.#record("mtime");
    if (mtime !== undefined) entry.mtime = paxTime("mtime", mtime, this.#offset);
    const atime = this.#record("atime");
    if (atime !== undefined) entry.atime = paxTime("atime", atime, this.#offset);
    const major = this.#record("SCHILY.devmajor");
    if (major !== undefined) entry.major = paxInteger("SCHILY.devmajor", major, this.#offset);
    const minor = this.#record("SCHILY.devminor");
    if (minor !== undefined) entry.minor = paxInteger("SCHILY.devminor", minor, this.#offset);
    const records = this.#global.size === 0
      ? this.#local?.records ?? this.#global
      : new Map([...this.#global, ...this.#local?.records ?? []]);
    entry.xattrs = paxXattrs(records, this.#offset);
  }

  #beginOldSparse(b: Bytes, at: number): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    this.#extents = [];
    readHeaderMap(b, at + 386, 4, this.#extents, this.#offset);
    entry.size = parseNumber(b, at + 483, 12, "the real size", this.#offset);
    if (b[at + 482] !== 0) this.#state = "sparseHeader";
    else this.#beginSparse(this.#extents);
  }

  #onSparseHeader(b: Bytes, at: number): void {
    readHeaderMap(b, at, 21, this.#extents, this.#offset);
    if (b[at + 504] === 0) this.#beginSparse(this.#extents);
  }

  #beginPaxSparse(entry: TarEntry, { records, sparsePairs }: PaxHeader): void {
    const major = records.get("GNU.sparse.major");
    const map = records.get("GNU.sparse.map");
    const leading = major === "1" && records.get("GNU.sparse.minor") === "0";
    if (major !== undefined && major !== "0" && !leading) {
      throw refused(entry.name, `its sparse format ${toText(major)} is not supported`);
    }
    if (!leading && map === undefined && sparsePairs.length === 0) return this.#begin();
    entry.name = records.get("GNU.sparse.name") ?? entry.name;
    const real = records.get("GNU.sparse.realsize") ?? records.get("GNU.sparse.size");
    if (real === undefined) throw refused(entry.name, "its sparse map comes without the file's size");
    entry.size = paxInteger("GNU.sparse.realsize", real, this.#offset);
    if (leading) {
      this.#map = new LeadingMap();
      this.#state = "sparseMap";
      this.#needMapBlock();
    } else this.#beginSparse(pairsToExtents(map === undefined ? sparsePairs : map.split(","), this.#offset));
  }

  #needMapBlock(): void {
    if (this.#left < BLOCK) throw corrupt("a sparse map is longer than its file's data", this.#offset);
    this.#left -= BLOCK;
  }

  #onSparseMap(b: Bytes, at: number): void {
    const extents = this.#map?.push(b.subarray(at, at + BLOCK), this.#offset);
    if (extents === undefined) this.#needMapBlock();
    else {
      this.#map = undefined;
      this.#beginSparse(extents);
    }
  }

  #beginSparse(extents: Extent[]): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    checkExtents(extents, entry.size, this.#left, this.#offset);
    entry.sparse = extents;
    this.#extents = [];
    this.#begin();
  }

  #begin(): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    this.#sink.begin(entry);
    if (entry.type === "file") this.#inMember = true;
    else this.#sink.end();
    if (this.#left === 0) this.#endData();
    else if (this.#inMember) this.#state = "data";
    else {
      this.#entry = undefined;
      this.#skip(this.#left + this.#padding);
    }
  }
}
