/**
 * What a disk holds after a power cut. A drive keeps writes in memory until it is told to flush, and brings them to the medium in any order
 * before that: QEMU logs what the guest wrote (driver blklogwrites, in the form of Linux's dm-log-writes), and here a disk is made that has
 * all that was flushed, and of the rest what chance left.
 */

/** Sector of the log and of the disk; given to QEMU so. */
export const LOG_SECTOR = 512;

const FLUSH = 1;
const FUA = 2;
const DISCARD = 4;

/** One logged request. */
interface Entry {
  /** Where on the disk, bytes. */
  offset: number;
  /** Where in the log its data lies, bytes. */
  dataAt: number;
  length: number;
  flags: number;
}

/** Requests in the order in which they were made. */
function* entries(log: Deno.FsFile): Generator<Entry> {
  const head = new Uint8Array(LOG_SECTOR);
  const view = new DataView(head.buffer);
  const number = (at: number) => Number(view.getBigUint64(at, true));
  // The first sector is the log's own head.
  let at = LOG_SECTOR;
  while (true) {
    log.seekSync(at, Deno.SeekMode.Start);
    if ((log.readSync(head) ?? 0) < LOG_SECTOR) return;
    const [sector, sectors, flags] = [number(0), number(8), number(16)];
    if (sectors === 0 && flags === 0) return;
    const length = (flags & DISCARD) === 0 ? sectors * LOG_SECTOR : 0;
    yield { offset: sector * LOG_SECTOR, dataAt: at + LOG_SECTOR, length, flags };
    at += LOG_SECTOR + length;
  }
}

/** Counts of what a cut left. */
export interface Replayed {
  /** Writes that had been flushed. */
  kept: number;
  /** Writes after the last flush that chance left. */
  lucky: number;
  /** Those it did not. */
  lost: number;
}

/**
 * Writes to `disk`, which is as it was before the log began, what survives.
 *
 * @param survives asked for each write that no flush followed
 */
export function replay(logPath: string, disk: string, survives: () => boolean): Replayed {
  using log = Deno.openSync(logPath);
  using target = Deno.openSync(disk, { write: true });
  const all = [...entries(log)];
  const lastFlush = all.findLastIndex((e) => (e.flags & FLUSH) !== 0);
  const result = { kept: 0, lucky: 0, lost: 0 };
  all.forEach((entry, i) => {
    if (entry.length === 0) return;
    const safe = i <= lastFlush || (entry.flags & FUA) !== 0;
    if (!safe && !survives()) return void result.lost++;
    result[safe ? "kept" : "lucky"]++;
    const data = new Uint8Array(entry.length);
    log.seekSync(entry.dataAt, Deno.SeekMode.Start);
    for (let n = 0; n < data.length;) {
      const got = log.readSync(data.subarray(n));
      if (got === null) return;
      n += got;
    }
    target.seekSync(entry.offset, Deno.SeekMode.Start);
    for (let n = 0; n < data.length;) n += target.writeSync(data.subarray(n));
  });
  return result;
}
