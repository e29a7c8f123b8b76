import assert from "node:assert/strict";

/**
 * The import rule: one direction, no circle. Each area may import from itself and from what is listed; everything else of
 * ours is refused.
 */
const RULES: { area: RegExp; may: RegExp[] }[] = [
  { area: /^ffi\//, may: [/^ffi\//] },
  { area: /^daemon\/spec\//, may: [/^daemon\/spec\//] },
  { area: /^daemon\/client\//, may: [/^daemon\/(client|spec)\//] },
  {
    area: /^workers\/(host|serve|channel|envelope|protocol)\.ts$/,
    may: [/^daemon\/spec\//, /^workers\/(host|serve|channel|envelope|protocol)\.ts$/],
  },
  { area: /^workers\/[a-z]+\//, may: [/^ffi\//, /^daemon\/spec\//, /^workers\//] },
  {
    area: /^daemon\//,
    may: [/^daemon\//, /^workers\/(host|serve|channel|envelope|protocol)\.ts$/, /^workers\/[a-z]+\/permissions\.ts$/],
  },
  { area: /^mod\.ts$/, may: [/^daemon\/(spec|client)\//] },
  // What builds the programs knows both of them, and neither of them knows it.
  { area: /^cli\/packaging\//, may: [/^cli\//, /^mod\.ts$/, /^daemon\/(spec\/|(config|permissions)\.ts$)/] },
  { area: /^cli\//, may: [/^cli\/(?!packaging\/)/, /^mod\.ts$/, /^daemon\/spec\//] },
];

const SPECIFIER =
  /(?:^|[\s;}])(?:import|export)\b[^;"']*?from\s*["']([^"']+)["']|import\s*\(\s*["']([^"']+)["']|^import\s+["']([^"']+)["']/gm;

const root = new URL("../../", import.meta.url);

function sources(dir: string): string[] {
  return [...Deno.readDirSync(new URL(dir, root))].flatMap((entry) =>
    entry.isDirectory ? sources(`${dir}${entry.name}/`) : entry.name.endsWith(".ts") ? [`${dir}${entry.name}`] : []
  );
}

/** Paths, relative to the root, of what a source text imports from the project itself. */
function importsOf(path: string, text: string): string[] {
  const found: string[] = [];
  for (const match of text.matchAll(SPECIFIER)) {
    const specifier = match[1] ?? match[2] ?? match[3] ?? "";
    if (!specifier.startsWith(".")) continue;
    found.push(new URL(specifier, new URL(path, "file:///")).pathname.slice(1));
  }
  return found;
}

function violations(path: string, text: string): string[] {
  const rule = RULES.find((r) => r.area.test(path));
  if (rule === undefined) return [`${path} belongs to no area`];
  return importsOf(path, text).filter((target) => !rule.may.some((m) => m.test(target))).map((t) =>
    `${path} imports ${t}`
  );
}

Deno.test("import rule: ffi and spec know nothing above them, workers not the daemon, the CLI only mod.ts and spec", () => {
  const paths = ["ffi/", "daemon/", "workers/", "cli/"].flatMap(sources).concat("mod.ts")
    .filter((p) => !p.endsWith("_test.ts"));
  assert.ok(paths.length > 50, "the walk found the sources");
  const bad = paths.flatMap((p) => violations(p, Deno.readTextFileSync(new URL(p, root))));
  assert.deepEqual(bad, []);
});

Deno.test("import rule: the check itself sees each kind of import", () => {
  assert.deepEqual(violations("ffi/x.ts", 'import { a } from "../daemon/spec/errors.ts";'), [
    "ffi/x.ts imports daemon/spec/errors.ts",
  ]);
  assert.deepEqual(violations("cli/x.ts", 'const m = await import("../daemon/main.ts");').length, 1);
  assert.deepEqual(violations("workers/pull/x.ts", 'export * from "../../daemon/images/y.ts";').length, 1);
  assert.deepEqual(violations("workers/pull/x.ts", 'import type { T } from "./y.ts";\nimport "../serve.ts";'), []);
});
