/**
 * Content digests: `algorithm:hex` and their grammar (image-spec v1.1, descriptor, "Digests").
 *
 * Computing and verifying them is in digest_verifier.ts, so that what only parses need not load node:crypto.
 */

import { invalid } from "./errors.ts";

/** Algorithms that nyx computes, with the length of their hex form. */
const HEX_LENGTH = { sha256: 64, sha512: 128 } as const;

/** Algorithm of a digest. */
export type DigestAlgorithm = keyof typeof HEX_LENGTH;

/** A digest taken apart. */
export interface Digest {
  algorithm: DigestAlgorithm;
  /** Lower-case hex without the algorithm. */
  hex: string;
}

/**
 * Takes `sha256:<64 hex>` or `sha512:<128 hex>` apart.
 *
 * @returns undefined for anything else, upper-case hex included
 */
export function tryParseDigest(text: string): Digest | undefined {
  const colon = text.indexOf(":");
  const algorithm = text.slice(0, colon);
  if (colon < 0 || !Object.hasOwn(HEX_LENGTH, algorithm)) return undefined;
  const hex = text.slice(colon + 1);
  if (hex.length !== HEX_LENGTH[algorithm as DigestAlgorithm] || !/^[0-9a-f]+$/.test(hex)) return undefined;
  return { algorithm: algorithm as DigestAlgorithm, hex };
}

/**
 * Takes `sha256:<64 hex>` or `sha512:<128 hex>` apart.
 *
 * @param text digest with its algorithm
 * @param field name for the error
 * @throws NyxError invalid_argument
 */
export function parseDigest(text: string, field = "digest"): Digest {
  const digest = tryParseDigest(text);
  if (digest === undefined) {
    throw invalid(field, text, "write sha256: and 64, or sha512: and 128, lower-case hexadecimal digits");
  }
  return digest;
}

/** Whether a text is a digest that nyx can verify. */
export function isDigest(text: string): boolean {
  return tryParseDigest(text) !== undefined;
}

/** The text form `algorithm:hex`. */
export function formatDigest(digest: Digest): string {
  return `${digest.algorithm}:${digest.hex}`;
}
