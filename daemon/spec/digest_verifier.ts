/** Computes and verifies content digests, streaming (image-spec v1.1, descriptor, "Verification"). */

import { createHash, type Hash } from "node:crypto";
import { type Digest, type DigestAlgorithm, formatDigest, parseDigest } from "./digest.ts";
import { NyxError } from "./errors.ts";

/** Digest of bytes that are at hand as a whole. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

/** Hashes a stream and compares it with the digest, and the size when known, that it should have. */
export class DigestVerifier {
  readonly #expected: Digest;
  readonly #expectedSize: number | undefined;
  readonly #hash: Hash;
  #size = 0;

  /**
   * @param digest what the content should have
   * @param size bytes it should have; not checked when missing
   * @throws NyxError invalid_argument for a malformed digest
   */
  constructor(digest: string, size?: number) {
    this.#expected = parseDigest(digest);
    this.#expectedSize = size;
    this.#hash = createHash(this.#expected.algorithm);
  }

  /** Bytes hashed so far. */
  get size(): number {
    return this.#size;
  }

  /** Adds the next bytes. */
  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#size += bytes.byteLength;
  }

  /**
   * Ends the stream; call once.
   *
   * @param what name of the content for the error, such as `layer`
   * @throws NyxError data_loss when size or digest differ
   */
  verify(what: string): void {
    const expected = formatDigest(this.#expected);
    if (this.#expectedSize !== undefined && this.#size !== this.#expectedSize) {
      throw new NyxError(
        "data_loss",
        `Refused ${what} ${expected}: it has ${this.#size} bytes, its descriptor says ${this.#expectedSize}`,
        { context: { digest: expected, size: this.#size, expectedSize: this.#expectedSize } },
      );
    }
    const actual = `${this.#expected.algorithm}:${this.#hash.digest("hex")}`;
    if (actual !== expected) {
      throw new NyxError("data_loss", `Refused ${what} ${expected}: its bytes have the digest ${actual}`, {
        context: { digest: expected, actual },
      });
    }
  }
}

/**
 * Checks bytes that are at hand as a whole.
 *
 * @param bytes content
 * @param digest what it should have
 * @param what name of the content for the error
 * @throws NyxError data_loss when they differ
 */
export function verifyDigest(bytes: Uint8Array, digest: string, what: string): void {
  const verifier = new DigestVerifier(digest);
  verifier.update(bytes);
  verifier.verify(what);
}
