import { strict as assert } from "node:assert";
import type { Descriptor } from "./image.ts";
import {
  formatPlatform,
  hostPlatform,
  matchesPlatform,
  normalizePlatform,
  offeredPlatforms,
  parsePlatform,
  platformRank,
  selectPlatform,
} from "./platform.ts";

function entry(platform: string | undefined, size = 1): Descriptor {
  const [os = "", architecture = "", variant] = platform?.split("/") ?? [];
  return {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: `sha256:${"0".repeat(64)}`,
    size,
    ...(platform === undefined
      ? {}
      : { platform: { os, architecture, ...(variant === undefined ? {} : { variant }) } }),
  };
}

function choose(wanted: string, ...offers: string[]): string | undefined {
  const chosen = selectPlatform(parsePlatform(wanted), offers.map((o) => entry(o)));
  return chosen?.platform === undefined ? undefined : formatPlatform(chosen.platform);
}

Deno.test("parsePlatform: aliases and default variants are normalised", () => {
  const cases: Record<string, string> = {
    "linux/amd64": "linux/amd64",
    "linux/x86_64": "linux/amd64",
    "linux/amd64/v1": "linux/amd64",
    "linux/amd64/v3": "linux/amd64/v3",
    "linux/arm64/v8": "linux/arm64",
    "linux/arm64/8": "linux/arm64",
    "linux/aarch64": "linux/arm64",
    "linux/arm": "linux/arm/v7",
    "linux/arm/6": "linux/arm/v6",
    "linux/armhf": "linux/arm/v7",
    "linux/armel": "linux/arm/v6",
    "linux/i386": "linux/386",
    "Linux/AMD64": "linux/amd64",
    arm64: "linux/arm64",
    riscv64: "linux/riscv64",
    "linux/constructor": "linux/constructor",
  };
  for (const [text, normal] of Object.entries(cases)) assert.equal(formatPlatform(parsePlatform(text)), normal, text);
});

Deno.test("parsePlatform: refuses malformed texts", () => {
  for (const text of ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b", "linux/../x/y", "linux//v7"]) {
    assert.throws(() => parsePlatform(text), /Invalid platform/, text);
  }
});

Deno.test("selectPlatform: takes the exact match, else the best that runs there", () => {
  assert.equal(choose("linux/amd64", "linux/arm64", "linux/amd64"), "linux/amd64");
  assert.equal(choose("linux/amd64", "linux/386"), "linux/386");
  assert.equal(choose("linux/amd64", "linux/386", "linux/amd64"), "linux/amd64");
  assert.equal(choose("linux/amd64", "linux/amd64/v3"), undefined);
  assert.equal(choose("linux/amd64/v3", "linux/amd64", "linux/amd64/v2", "linux/amd64/v4"), "linux/amd64/v2");
  assert.equal(choose("linux/arm64", "linux/arm/v7", "linux/arm64/v8"), "linux/arm64/v8");
  assert.equal(choose("linux/arm64", "linux/arm/v6", "linux/arm/v7"), "linux/arm/v7");
  assert.equal(choose("linux/arm64", "linux/arm64/v9"), undefined);
  assert.equal(choose("linux/arm64/v9", "linux/arm64"), "linux/arm64");
  assert.equal(choose("linux/arm/v7", "linux/arm/v6", "linux/arm/v5"), "linux/arm/v6");
  assert.equal(choose("linux/arm/v6", "linux/arm/v7"), undefined);
  assert.equal(choose("linux/arm/v7", "linux/arm"), "linux/arm");
  assert.equal(choose("linux/s390x", "linux/amd64", "windows/amd64"), undefined);
  assert.equal(choose("linux/amd64", "windows/amd64", "unknown/unknown"), undefined);
});

Deno.test("selectPlatform: first of equals, and never an entry without a platform", () => {
  const first = entry("linux/amd64", 1);
  assert.equal(selectPlatform(parsePlatform("linux/amd64"), [entry(undefined), first, entry("linux/amd64", 2)]), first);
  assert.equal(selectPlatform(parsePlatform("linux/amd64"), [entry(undefined)]), undefined);
});

Deno.test("platformRank: another os.version does not match when both name one", () => {
  const wanted = { os: "windows", architecture: "amd64", "os.version": "10.0.1" };
  assert.equal(platformRank(wanted, { os: "windows", architecture: "amd64", "os.version": "10.0.2" }), undefined);
  assert.equal(platformRank(wanted, { os: "windows", architecture: "amd64" }), 0);
});

Deno.test("hostPlatform: is normalised and runs on itself", () => {
  const host = hostPlatform();
  assert.deepEqual(normalizePlatform(host), host);
  assert.ok(matchesPlatform(host, host));
  assert.equal(host.os, "linux");
});

Deno.test("offeredPlatforms: lists each once and leaves attestations out", () => {
  assert.deepEqual(
    offeredPlatforms([entry("linux/amd64"), entry("unknown/unknown"), entry("linux/amd64"), entry("linux/arm/v7")]),
    ["linux/amd64", "linux/arm/v7"],
  );
});
