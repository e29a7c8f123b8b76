/** Writes a cpio archive in the "newc" form, as the kernel unpacks it into its first root (initramfs buffer format). */

/** One member of an archive. */
export interface CpioEntry {
  /** Relative path, without a leading slash. */
  path: string;
  /** File type and permission bits, such as 0o100755. */
  mode: number;
  data?: Uint8Array;
}

const encoder = new TextEncoder();

function member(entry: CpioEntry, inode: number): Uint8Array[] {
  const name = encoder.encode(`${entry.path}\0`);
  const data = entry.data ?? new Uint8Array();
  const links = 1;
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, entry.mode, 0, 0, links, 0, data.byteLength, 0, 0, 0, 0, name.byteLength, 0];
  const head = encoder.encode(`070701${fields.map((f) => f.toString(16).padStart(8, "0")).join("")}`);
  const pad = (length: number) => new Uint8Array((4 - length % 4) % 4);
  return [head, name, pad(head.byteLength + name.byteLength), data, pad(data.byteLength)];
}

/** The archive's bytes; parents must come before what lies in them. */
export function cpio(entries: readonly CpioEntry[]): Uint8Array<ArrayBuffer> {
  const parts = [...entries, { path: "TRAILER!!!", mode: 0 }].flatMap((e, i) => member(e, i + 1));
  const bytes = new Uint8Array(parts.reduce((n, p) => n + p.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}
