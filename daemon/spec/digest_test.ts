import { strict as assert } from "node:assert";
import { formatDigest, isDigest, parseDigest, tryParseDigest } from "./digest.ts";
import { digestOf, DigestVerifier, verifyDigest } from "./digest_verifier.ts";
import { NyxError } from "./errors.ts";

const EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

function code(f: () => unknown): string | undefined {
  try {
    f();
  } catch (e) {
    return e instanceof NyxError ? e.code : `not a NyxError: ${e}`;
  }
  return undefined;
}

Deno.test("parseDigest: takes sha256 and sha512 apart and formatDigest puts them together", () => {
  assert.deepEqual(parseDigest(EMPTY), { algorithm: "sha256", hex: EMPTY.slice(7) });
  assert.equal(formatDigest(parseDigest(EMPTY)), EMPTY);
  const long = digestOf(new Uint8Array(), "sha512");
  assert.equal(parseDigest(long).hex.length, 128);
  assert.equal(formatDigest(parseDigest(long)), long);
});

Deno.test("tryParseDigest: refuses other algorithms, lengths, case and anything that is no hex", () => {
  const hex = EMPTY.slice(7);
  const bad = [
    "",
    "sha256",
    "sha256:",
    hex,
    `md5:${hex.slice(0, 32)}`,
    `sha256:${hex.slice(1)}`,
    `sha256:${hex}0`,
    `sha256:${hex.toUpperCase()}`,
    `SHA256:${hex}`,
    `sha256:${"../".repeat(21)}a`,
    `sha256:${hex.slice(1)}\n`,
    `sha512:${hex}`,
    `__proto__:${hex}`,
    `constructor:${hex}`,
    `sha256+b64:${hex}`,
  ];
  for (const text of bad) assert.equal(tryParseDigest(text), undefined, text);
  assert.ok(isDigest(EMPTY));
  assert.equal(code(() => parseDigest("sha256:x", "descriptor digest")), "invalid_argument");
});

Deno.test("DigestVerifier: accepts the right bytes in any pieces", () => {
  const bytes = crypto.getRandomValues(new Uint8Array(10_000));
  const verifier = new DigestVerifier(digestOf(bytes), bytes.length);
  for (let at = 0; at < bytes.length; at += 777) verifier.update(bytes.subarray(at, at + 777));
  assert.equal(verifier.size, bytes.length);
  verifier.verify("layer");
});

Deno.test("DigestVerifier: refuses wrong bytes, short and extra ones as data_loss", () => {
  const bytes = new TextEncoder().encode("hello");
  const run = (given: string, size?: number) =>
    code(() => {
      const verifier = new DigestVerifier(digestOf(bytes), size);
      verifier.update(new TextEncoder().encode(given));
      verifier.verify("layer");
    });
  assert.equal(run("hello", 5), undefined);
  assert.equal(run("hellO", 5), "data_loss");
  assert.equal(run("hell", 5), "data_loss");
  assert.equal(run("hello!", 5), "data_loss");
  assert.equal(run("hello", 6), "data_loss");
  verifyDigest(new Uint8Array(), EMPTY, "config");
  assert.equal(code(() => verifyDigest(bytes, EMPTY, "config")), "data_loss");
});
