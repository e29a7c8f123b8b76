import assert from "node:assert/strict";
import { VERSION } from "../../daemon/spec/version.ts";
import { debianChangelog, parseChangelog, releaseNotes } from "./changelog.ts";
import { billOfMaterials, planRelease, writeChecksums } from "./release.ts";
import { lockedPackages, type LockFile, sbom } from "./sbom.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

interface Component {
  name: string;
  version: string;
  scope: string;
  purl: string;
  hashes?: { alg: string; content: string }[];
  licenses?: { license: { id: string } }[];
}

Deno.test("billOfMaterials: every package of deno.lock once, with its hash and licence; what users get is marked as required", async () => {
  const text = await billOfMaterials(ROOT);
  const bom = JSON.parse(text) as { components: Component[]; dependencies: { ref: string; dependsOn?: string[] }[] };
  const lock: LockFile = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.lock`));
  const [runtime, ...components] = bom.components;
  assert.equal(`${runtime?.name} ${runtime?.version}`, `deno ${Deno.version.deno}`);
  assert.deepEqual(
    components.map(({ name, version }) => `${name}@${version}`).sort(),
    lockedPackages(lock).map(({ name, version }) => `${name}@${version}`).sort(),
  );
  const imports: Record<string, string> = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`)).imports;
  const required = components.filter(({ scope }) => scope === "required").map(({ name, version }) =>
    `npm:${name}@${version}`
  );
  assert.deepEqual(required.sort(), Object.values(imports).sort());
  for (const { name, version, hashes, licenses } of components) {
    const integrity = Object.entries(lock.npm ?? {}).find(([key]) =>
      key.startsWith(`${name}@${version}`)
    )?.[1].integrity ?? "";
    const hex = Array.from(atob(integrity.slice("sha512-".length)), (c) =>
      c.charCodeAt(0).toString(16).padStart(2, "0"));
    assert.deepEqual(hashes, [{ alg: "SHA-512", content: hex.join("") }], name);
    assert.match(licenses?.[0]?.license.id ?? "", /^(MIT|ISC|BSD-[23]-Clause)$/, name);
  }
  const refs = new Set(bom.dependencies.map(({ ref }) => ref));
  for (const to of bom.dependencies.flatMap(({ dependsOn }) => dependsOn ?? [])) assert.ok(refs.has(to), to);
  assert.equal(await billOfMaterials(ROOT), text, "the same source gives the same text");
});

Deno.test("sbom: scoped names, peers, and a lock file that lacks what it needs", () => {
  const facts = {
    version: "1.0.0",
    build: { commit: "unknown", buildDate: "unknown" },
    deno: "2.0.0",
    imported: ["npm:/@a/b@1.0.0"],
    licences: new Map<string, string>(),
  };
  const lock: LockFile = {
    npm: {
      "@a/b@1.0.0_c@2.0.0": { integrity: "sha512-AAEC", dependencies: ["c"] },
      "c@2.0.0": { integrity: "sha512-AAEC" },
      "only-tests@3.0.0": { integrity: "sha512-AAEC" },
    },
  };
  const { components } = sbom(lock, facts) as unknown as { components: Component[] };
  assert.deepEqual(components.slice(1).map(({ purl, scope }) => [purl, scope]), [
    ["pkg:npm/%40a/b@1.0.0", "required"],
    ["pkg:npm/c@2.0.0", "required"],
    ["pkg:npm/only-tests@3.0.0", "excluded"],
  ]);
  assert.deepEqual(components[1]?.hashes, [{ alg: "SHA-512", content: "000102" }]);
  assert.throws(() => sbom({ npm: {} }, facts), /@a\/b@1\.0\.0 is imported and not in it/);
});

Deno.test("docs/CHANGELOG.md: begins with the version of the source, which is what a release says of itself", async () => {
  const { notes } = await planRelease(ROOT, true);
  assert.equal(notes.version, VERSION);
  const all = parseChangelog(Deno.readTextFileSync(`${ROOT}/docs/CHANGELOG.md`));
  assert.deepEqual(all.map(({ date }) => date), all.map(({ date }) => date).toSorted().reverse());
});

Deno.test("releaseNotes: a version without a section, and a heading that is none, are refused", () => {
  assert.throws(
    () => releaseNotes("# C\n\n## 1.0.0, 2026-01-02\n\n- x\n", "1.1.0"),
    /begins with 1\.0\.0; write a section "## 1\.1\.0/,
  );
  assert.throws(() => parseChangelog("## 1.0\n\n- x\n"), /"## 1\.0" is not like/);
  assert.throws(() => parseChangelog("## 1.0.0, 2026-01-02\n\nwords\n"), /1\.0\.0 has no entry/);
});

Deno.test("debianChangelog: in the form that dpkg reads, with lines under 80 characters", () => {
  const long = `- ${"word ".repeat(40)}\n  and more\n- second`;
  const text = debianChangelog(parseChangelog(`## 1.2.0, 2026-02-03\n\n${long}\n`), "nyx-engine", "A <a@b.invalid>");
  const lines = text.split("\n");
  assert.equal(lines[0], "nyx-engine (1.2.0) stable; urgency=medium");
  assert.match(lines[2] ?? "", /^ {2}\* word word/);
  assert.ok(lines.every((line) => line.length < 80));
  assert.ok(lines.includes("  * second"));
  assert.equal(lines.at(-2), " -- A <a@b.invalid>  Tue, 03 Feb 2026 00:00:00 +0000");
  assert.match(text, /and more\n/);
});

Deno.test("writeChecksums: sha256sum finds what it lists, and notices a change", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-sums-" });
  try {
    for (const name of ["b", "a"]) Deno.writeTextFileSync(`${dir}/${name}`, name);
    await writeChecksums(dir, ["b", "a"]);
    const check = () => new Deno.Command("sha256sum", { args: ["-c", "SHA256SUMS"], cwd: dir }).output();
    assert.equal(new TextDecoder().decode((await check()).stdout), "a: OK\nb: OK\n");
    Deno.writeTextFileSync(`${dir}/a`, "other");
    assert.equal((await check()).success, false);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
