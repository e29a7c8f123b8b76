/** What a tar archive says about one member, after long names, PAX records and sparse maps were applied. */

import type { Timespec } from "../../../ffi/file_types.ts";

/** Kinds of member that a layer may hold. */
export type EntryType = "file" | "link" | "symlink" | "char" | "block" | "dir" | "fifo";

/** A run of stored bytes in a sparse file. */
export interface Extent {
  /** Place in the file. */
  offset: number;
  /** Bytes; the archive stores exactly these. */
  length: number;
}

/** One member. Names are byte strings, as stored: not cleaned, not checked. */
export interface TarEntry {
  type: EntryType;
  name: string;
  /** Target of a symbolic or hard link. */
  linkName: string;
  /** Length of a file once extracted. */
  size: number;
  /** Where stored bytes go in a sparse file; missing for an ordinary one. */
  sparse?: Extent[];
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  mtime: Timespec;
  /** Missing when the archive does not tell. */
  atime?: Timespec;
  major: number;
  minor: number;
  /** Extended attributes; names are text. */
  xattrs: [string, Uint8Array<ArrayBuffer>][];
}

/** Receives members in order: `begin`, then `data` for the stored bytes of a file, then `end`. */
export interface TarSink {
  begin(entry: TarEntry): void;
  /** Valid during the call only. */
  data(bytes: Uint8Array<ArrayBuffer>): void;
  end(): void;
}
