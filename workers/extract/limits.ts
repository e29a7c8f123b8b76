/** Bounds on a layer, watched while it is unpacked. */

import { NyxError } from "../../daemon/spec/errors.ts";
import type { FileKernel } from "../../ffi/file.ts";
import type { ExtractLimits } from "../protocol.ts";

/** The ratio is judged from here on: small layers of zeros are no bombs. */
const RATIO_FROM = 64 * 1024 * 1024;
/** Bytes between two looks at the disk. */
const LOOK_EVERY = 32 * 1024 * 1024;

/** Throws resource_exhausted as soon as a bound is passed. */
export class LimitGuard {
  #nextLook = 0;

  /**
   * @param k kernel
   * @param fd descriptor on the disk that is written to
   * @param limits bounds
   */
  constructor(private readonly k: FileKernel, private readonly fd: number, private readonly limits: ExtractLimits) {}

  /** Judges `unpacked` bytes from `packed` bytes. */
  bytes(unpacked: number, packed: number): void {
    const { maxBytes, maxRatio, minFreeBytes } = this.limits;
    if (unpacked > maxBytes) throw over(`it unpacks to more than ${maxBytes} bytes`);
    if (unpacked > RATIO_FROM && unpacked > packed * maxRatio) {
      throw over(`it unpacks to more than ${maxRatio} times its size, as a decompression bomb does`);
    }
    if (unpacked < this.#nextLook) return;
    this.#nextLook = unpacked + LOOK_EVERY;
    const space = this.k.fstatfs(this.fd);
    const free = space.blocksAvailable * space.blockSize;
    if (free < minFreeBytes) {
      throw over(`only ${free} bytes are free on its disk, and ${minFreeBytes} must stay free; free some space`);
    }
  }

  /** Judges the number of members. */
  entries(count: number): void {
    if (count > this.limits.maxEntries) throw over(`it has more than ${this.limits.maxEntries} entries`);
  }
}

function over(why: string): NyxError {
  return new NyxError("resource_exhausted", `Could not extract the layer: ${why}`);
}
