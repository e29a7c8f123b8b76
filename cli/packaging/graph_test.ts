import assert from "node:assert/strict";
import { programGraph, workersOf } from "./graph.ts";
import { allDone } from "./stage.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

function sources(dir: string): string[] {
  return [...Deno.readDirSync(`${ROOT}/${dir}`)].flatMap(({ name, isDirectory }) =>
    isDirectory
      ? sources(`${dir}/${name}`)
      : name.endsWith(".ts") && !name.endsWith("_test.ts")
      ? [`${dir}/${name}`]
      : []
  );
}

Deno.test("programGraph: nyxd's list has every worker that the source could start, and what each of them imports", async () => {
  const { modules, workers, packages } = await programGraph(ROOT, "daemon/main.ts");
  const all = ["daemon", "workers", "ffi"].flatMap(sources);
  // A worker's entry is a main.ts by custom: one that nothing starts, or that the walk misses, shows here.
  assert.deepEqual(workers, all.filter((p) => p.endsWith("/main.ts") && p !== "daemon/main.ts").sort());
  assert.ok(workers.length >= 6);
  // The walk by text, not by Deno: values imported anywhere in the list are in the list.
  const values =
    /^(?:import|export)\s+(?!type\b)[^;]*?from\s+"(\.[^"]+)"|^import\s+"(\.[^"]+)"|[^.\w]import\(\s*"(\.[^"]+)"\s*\)(?!\.)/gm;
  const missing = modules.flatMap((path) =>
    [...Deno.readTextFileSync(`${ROOT}/${path}`).matchAll(values)]
      .map((m) => new URL(m[1] ?? m[2] ?? m[3] ?? "", `file:///${path}`).pathname.slice(1))
      .filter((target) => !modules.includes(target)).map((target) => `${path} imports ${target}`)
  );
  assert.deepEqual(missing, []);
  const imports: Record<string, string> = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`)).imports;
  assert.deepEqual(packages.map((p) => p.replace("npm:/", "npm:")), Object.values(imports).sort());
});

Deno.test("programGraph: the CLI starts no worker and needs no package", async () => {
  const { modules, workers, packages } = await programGraph(ROOT, "cli/main.ts");
  assert.deepEqual({ workers, packages }, { workers: [], packages: [] });
  // Every command is loaded when it is typed: all are in the list.
  assert.deepEqual(sources("cli/commands").filter((path) => !modules.includes(path)), []);
});

Deno.test("programGraph: a module that is missing is named with who imports it", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-graph-" });
  try {
    Deno.writeTextFileSync(`${dir}/deno.json`, "{}");
    Deno.writeTextFileSync(`${dir}/a.ts`, 'new Worker(new URL("./w.ts", import.meta.url), { type: "module" });\n');
    Deno.writeTextFileSync(`${dir}/w.ts`, 'const { b } = await import("./b.ts");\nb();\n');
    await assert.rejects(programGraph(dir, "a.ts"), /Could not load .*b\.ts, which w\.ts imports/);
    Deno.writeTextFileSync(`${dir}/b.ts`, "export const b = () => {};\n");
    assert.deepEqual((await programGraph(dir, "a.ts")).modules, ["a.ts", "b.ts", "w.ts"]);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("workersOf: finds workers in any layout, and refuses one that cannot be followed", () => {
  const split =
    'start: () =>\n  new Worker(\n    new URL("../b/main.ts", import.meta.url),\n    { type: "module" },\n  )';
  assert.deepEqual(workersOf("a/x/y.ts", split), ["a/b/main.ts"]);
  assert.deepEqual(workersOf("a.ts", '// new Worker(url)\n/** `new Worker(url, {})` */\nconst x = "https://h";'), []);
  assert.throws(() => workersOf("a.ts", "new Worker(url)"), /workers of a\.ts: write new Worker\(new URL/);
  assert.throws(() => workersOf("a.ts", "new Worker(new URL(name, import.meta.url))"), /workers of a\.ts/);
  assert.throws(() => workersOf("a.ts", "await import(name)"), /modules of a\.ts/);
  assert.throws(() => workersOf("a.ts", "import(`./${name}.ts`)"), /modules of a\.ts/);
  assert.deepEqual(workersOf("a.ts", 'await import(\n  "./b.ts",\n);\nthis.#import(tree);'), []);
});

Deno.test("allDone: a failure is told when everything has ended, so that nothing works in a directory that is removed", async () => {
  let ended = false;
  const slow = new Promise<void>((resolve) =>
    setTimeout(() => {
      ended = true;
      resolve();
    }, 20)
  );
  await assert.rejects(allDone([Promise.reject(new Error("first")), slow]), /first/);
  assert.equal(ended, true);
});
