import { strict as assert } from "node:assert";
import { NyxError } from "./errors.ts";
import {
  familiarReference,
  familiarRepository,
  formatReference,
  formatRepository,
  MAX_PATH_LENGTH,
  parseReference,
  tryParseReference,
} from "./reference.ts";

const HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const DIGEST = `sha256:${HEX}`;

Deno.test("parseReference: normalises as Docker does", () => {
  const cases: Record<string, string> = {
    busybox: "docker.io/library/busybox:latest",
    "busybox:1.36": "docker.io/library/busybox:1.36",
    "library/busybox": "docker.io/library/busybox:latest",
    "docker.io/busybox": "docker.io/library/busybox:latest",
    "index.docker.io/busybox": "docker.io/library/busybox:latest",
    "index.docker.io/org/app:v1": "docker.io/org/app:v1",
    "org/app": "docker.io/org/app:latest",
    "a/b/c": "docker.io/a/b/c:latest",
    "ghcr.io/org/app:1.2": "ghcr.io/org/app:1.2",
    "localhost/app": "localhost/app:latest",
    "localhost:5000/app": "localhost:5000/app:latest",
    "localhost:5000/app:5000": "localhost:5000/app:5000",
    "127.0.0.1:5000/a/b": "127.0.0.1:5000/a/b:latest",
    "[::1]:5000/app": "[::1]:5000/app:latest",
    "[2001:db8::1]/app:x": "[2001:db8::1]/app:x",
    "Registry/app": "Registry/app:latest",
    "xn--bcher-kva.example/app": "xn--bcher-kva.example/app:latest",
    [`busybox@${DIGEST}`]: `docker.io/library/busybox@${DIGEST}`,
    [`busybox:1@${DIGEST}`]: `docker.io/library/busybox:1@${DIGEST}`,
    "a__b/c-----d.e_f": "docker.io/a__b/c-----d.e_f:latest",
    "app:_x.Y-Z": "docker.io/library/app:_x.Y-Z",
    "test:5000": "docker.io/library/test:5000",
    [HEX.slice(1)]: `docker.io/library/${HEX.slice(1)}:latest`,
    [`${HEX}:x`]: `docker.io/library/${HEX}:x`,
  };
  for (const [text, canonical] of Object.entries(cases)) {
    assert.equal(formatReference(parseReference(text)), canonical, text);
  }
});

Deno.test("parseReference: refuses what the grammar refuses, with invalid_argument that names the value", () => {
  const bad = [
    "",
    " ",
    "busybox ",
    " busybox",
    "BusyBox",
    "org/App",
    HEX,
    ":tag",
    "busybox:",
    "busybox:-x",
    "busybox:.x",
    "busybox:a b",
    `busybox:${"a".repeat(129)}`,
    "busybox@",
    "busybox@sha256:abc",
    `busybox@${DIGEST}@${DIGEST}`,
    `busybox@${DIGEST.toUpperCase()}`,
    `busybox@md5:${HEX.slice(32)}`,
    `@${DIGEST}`,
    "a//b",
    "/a",
    "a/",
    "a/../b",
    "../a",
    "./a",
    "a/./b",
    "a..b",
    "a___b",
    "a._b",
    "-a",
    "a-",
    "_a",
    "a/-b",
    "http://host/app",
    "https://host/app",
    "host:port/app",
    "host:0/app",
    "host:70000/app",
    "host:/app",
    "-host.x/app",
    "host-.x/app",
    "ho_st.x/app",
    "user:pw@host.x/app",
    "[::1/app",
    "::1/app",
    "[zz]/app",
    "[:::]/app",
    "[fe80::1%eth0]/app",
    "a\0b",
    "a\nb",
    "busybox\n",
    "busybox:1\n",
    "büsybox",
    "host.x/app?x=1",
    "host.x/app#x",
    "host.x\\app",
    "a".repeat(2000),
  ];
  for (const text of bad) {
    assert.throws(
      () => parseReference(text),
      (e) => e instanceof NyxError && e.code === "invalid_argument",
      `accepted ${JSON.stringify(text)}`,
    );
    assert.equal(tryParseReference(text), undefined);
  }
  assert.throws(() => parseReference("org/App"), /org\/App.*lower case/);
});

Deno.test("parseReference: a name alone is never a registry, so localhost is a repository", () => {
  assert.equal(formatReference(parseReference("localhost")), "docker.io/library/localhost:latest");
});

Deno.test("parseReference: repository names of 255 characters pass, 256 do not", () => {
  const path = (n: number) => `a/${"b".repeat(n - 2)}`;
  assert.equal(parseReference(`x.y/${path(MAX_PATH_LENGTH)}`).path.length, MAX_PATH_LENGTH);
  assert.equal(tryParseReference(`x.y/${path(MAX_PATH_LENGTH + 1)}`), undefined);
  assert.equal(tryParseReference(`${"a".repeat(254)}`), undefined, "library/ counts");
});

Deno.test("parseReference: same path in two registries gives two repositories", () => {
  const names = ["busybox", "quay.io/library/busybox", "localhost/library/busybox", "quay.io:443/library/busybox"];
  assert.equal(new Set(names.map((n) => formatRepository(parseReference(n)))).size, names.length);
});

Deno.test("familiarReference: shortens Docker's names and nothing else", () => {
  const cases: Record<string, string> = {
    "docker.io/library/busybox:latest": "busybox:latest",
    "docker.io/org/app:1": "org/app:1",
    "docker.io/a/b/c:1": "a/b/c:1",
    "docker.io/library/a/b:1": "library/a/b:1",
    "ghcr.io/org/app:1": "ghcr.io/org/app:1",
    "localhost:5000/app:1": "localhost:5000/app:1",
    [`docker.io/library/busybox@${DIGEST}`]: `busybox@${DIGEST}`,
    "docker.io/foo.bar/x:1": "docker.io/foo.bar/x:1",
    "docker.io/localhost/x:1": "docker.io/localhost/x:1",
    [`docker.io/library/${HEX}:x`]: `docker.io/library/${HEX}:x`,
  };
  for (const [canonical, familiar] of Object.entries(cases)) {
    assert.equal(familiarReference(parseReference(canonical)), familiar, canonical);
  }
  assert.equal(familiarRepository(parseReference("busybox:1")), "busybox");
});

/** A small deterministic generator, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

Deno.test("property: every generated valid reference survives format, parse and familiar form", () => {
  const next = random(42);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(next() * all.length)] as T;
  const word = () => Array.from({ length: 1 + Math.floor(next() * 6) }, () => pick([..."abcxyz019"])).join("");
  const component = () =>
    word() + Array.from({ length: Math.floor(next() * 3) }, () => pick([".", "_", "__", "-", "---"]) + word()).join("");
  const domain = () =>
    pick(["org/", "a.b/", "localhost/", "h:5000/", "[::1]:80/", "docker.io/", "A/", "index.docker.io/"]);
  for (let i = 0; i < 3000; i++) {
    const path = Array.from({ length: 1 + Math.floor(next() * 3) }, component).join("/");
    const tag = pick(["", "", ":latest", ":1.0", `:_${word()}-X`]);
    const digest = pick(["", "", `@${DIGEST}`]);
    const text = domain() + path + tag + digest;
    const ref = parseReference(text);
    assert.deepEqual(parseReference(formatReference(ref)), ref, text);
    assert.deepEqual(parseReference(familiarReference(ref)), ref, text);
    assert.ok(ref.tag !== undefined || ref.digest !== undefined);
  }
});

Deno.test("property: whatever is accepted holds no character that a path, a URL or an argument could trip over", () => {
  const next = random(7);
  const alphabet = [..."ab1.:/@-_[]%~ \n\\?#&AB", "..", "sha256:", DIGEST, "localhost"];
  let accepted = 0;
  for (let i = 0; i < 20_000; i++) {
    const text = Array.from(
      { length: 1 + Math.floor(next() * 8) },
      () => alphabet[Math.floor(next() * alphabet.length)] as string,
    ).join("");
    const ref = tryParseReference(text);
    if (ref === undefined) continue;
    accepted++;
    const canonical = formatReference(ref);
    assert.match(canonical, /^[A-Za-z0-9.:/@_[\]-]+$/, text);
    for (const part of [ref.domain, ...ref.path.split("/"), ref.tag ?? "x"]) {
      assert.ok(part !== "" && part !== "." && part !== ".." && !part.startsWith("-"), text);
    }
    assert.deepEqual(parseReference(canonical), ref, text);
  }
  assert.ok(accepted > 100, `only ${accepted} were accepted`);
});
