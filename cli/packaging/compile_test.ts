import assert from "node:assert/strict";
import { nyxdPermissions } from "../../daemon/permissions.ts";
import { VERSION } from "../../daemon/spec/version.ts";
import { bundle, type Bundles } from "./bundle.ts";
import { checkExecutable, compileArguments, compileProgram, DEFAULT_PATHS, HOST_ARCHITECTURE } from "./compile.ts";
import { programGraph } from "./graph.ts";
import { NYX_FLAGS, UNSTABLE_FLAGS } from "./launchers.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** Bundles for all tests of this file; the last one removes them. */
const shared = Deno.makeTempDirSync({ prefix: "nyx-compile-" });
let made: Promise<Bundles> | undefined;

async function withBundles(test: (bundles: Bundles, dir: string) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-compile-" });
  try {
    await test(await (made ??= bundle({ root: ROOT, outDir: shared })), dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test.afterAll(() => Deno.removeSync(shared, { recursive: true }));

async function withEnv(values: Record<string, string>, test: () => Promise<void>): Promise<void> {
  const before = Object.keys(values).map((name) => [name, Deno.env.get(name)] as const);
  try {
    for (const [name, value] of Object.entries(values)) Deno.env.set(name, value);
    await test();
  } finally {
    for (const [name, value] of before) value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
  }
}

Deno.test("UNSTABLE_FLAGS: the features of deno.json, which bundles and executables do not read", () => {
  const { unstable } = JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`));
  assert.deepEqual(UNSTABLE_FLAGS, unstable.map((name: string) => `--unstable-${name}`));
});

Deno.test("compileArguments: nyxd gets its default permissions and every worker, nyx what its launcher gives it", async () => {
  await withBundles(async (bundles) => {
    const { workers } = await programGraph(ROOT, "daemon/main.ts");
    assert.equal(bundles.workers.length, workers.length);
    const daemon = compileArguments(bundles, "nyxd", DEFAULT_PATHS);
    assert.deepEqual(
      daemon.filter((word) => word.startsWith("--allow")),
      nyxdPermissions({ baseDir: "/var/lib/nyxd", socket: "/run/nyxd/nyxd.sock", crun: "/usr/bin/crun" }).map((f) =>
        f.flag
      ),
    );
    // What the embedded programs ask for, read from their text: each file is there and in the list.
    const named = [...bundles.programs, ...bundles.workers].flatMap((file) =>
      [...Deno.readTextFileSync(`${bundles.dir}/${file}`).matchAll(/new URL\("\.\/([^"]+)",\s*import\.meta\.url\)/g)]
        .map(([, name]) => name)
    );
    assert.deepEqual([...new Set(named)].sort(), bundles.workers.toSorted());
    assert.deepEqual(
      daemon.filter((word) => word.startsWith("--include=")).sort(),
      bundles.workers.map((file) => `--include=${file}`).sort(),
    );
    assert.equal(daemon.at(-1), "nyxd.js");
    const cli = compileArguments(bundles, "nyx", DEFAULT_PATHS);
    assert.deepEqual(cli.filter((word) => word.startsWith("--allow")), NYX_FLAGS);
    assert.ok(!cli.some((word) => word.startsWith("--include")));
  });
});

Deno.test("compileProgram: without a runtime it ends with one sentence that has the way out, and leaves no file", async () => {
  await withBundles(async (bundles, dir) => {
    const path = `${dir}/nyx`;
    const compiling = (architecture: "amd64" | "arm64") =>
      compileProgram({ bundles, program: "nyx", architecture, path });
    const other = HOST_ARCHITECTURE === "amd64" ? "arm64" : "amd64";
    // Nothing cached, and a proxy that nobody listens on: no network, wherever the test runs.
    await withEnv(
      { DENO_DIR: `${dir}/cache`, HTTPS_PROXY: "http://127.0.0.1:1", https_proxy: "http://127.0.0.1:1" },
      () =>
        assert.rejects(compiling("amd64"), {
          code: "unavailable",
          message:
            /denort \d.*could not be downloaded \(.+\); unpack denort-x86_64-unknown-linux-gnu\.zip.*DENORT_BIN.*deno task bundle/,
        }),
    );
    await withEnv(
      { DENORT_BIN: `${dir}/none` },
      () => assert.rejects(compiling("amd64"), /Could not read DENORT_BIN ".*none"/),
    );
    await withEnv({ DENORT_BIN: "/etc/passwd" }, () => assert.rejects(compiling("amd64"), /is no ELF executable/));
    await withEnv(
      { DENORT_BIN: Deno.execPath() },
      () => assert.rejects(compiling(other), /is for another architecture/),
    );
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), ["cache"]);
  });
});

interface Embedded {
  permissions: Record<string, string[] | boolean | null>;
  unstable_config: { features: string[] };
}

/** What `deno compile` wrote behind the runtime about how to run. */
function embedded(bytes: Uint8Array): Embedded {
  const text = new TextDecoder("latin1").decode(bytes);
  const begin = text.lastIndexOf('{"argv":');
  for (let end = text.indexOf("}", begin); end > 0 && end - begin < 100_000; end = text.indexOf("}", end + 1)) {
    try {
      return JSON.parse(text.slice(begin, end + 1));
    } catch {
      // Not yet its end.
    }
  }
  throw new Error("The executable holds no description");
}

Deno.test("compileProgram: in a stand-in for denort, all files and permissions are embedded; that it is no denort is noticed", async () => {
  await withBundles(async (bundles, dir) => {
    const path = `${dir}/nyxd`;
    // deno itself is no denort: it runs as deno, whatever was appended. What is appended is as with the real one.
    await withEnv(
      { DENORT_BIN: Deno.execPath() },
      () => compileProgram({ bundles, program: "nyxd", architecture: HOST_ARCHITECTURE, path }),
    );
    const bytes = Deno.readFileSync(path);
    const { permissions, unstable_config } = embedded(bytes);
    for (const { flag } of nyxdPermissions(DEFAULT_PATHS)) {
      const [name = "", values] = flag.slice("--allow-".length).split("=");
      assert.deepEqual(permissions[`allow_${name}`], values?.split(",") ?? [], name);
    }
    assert.equal(permissions["prompt"], false);
    assert.deepEqual(unstable_config.features.sort(), UNSTABLE_FLAGS.map((f) => f.slice("--unstable-".length)).sort());
    const tail = bytes.subarray(Deno.statSync(Deno.execPath()).size - 1_000_000);
    for (const file of ["nyxd.js", ...bundles.workers]) {
      const text = Deno.readFileSync(`${bundles.dir}/${file}`).subarray(0, 4000);
      assert.ok(new TextDecoder("latin1").decode(tail).includes(new TextDecoder("latin1").decode(text)), file);
    }
    await assert.rejects(
      checkExecutable(path, `nyxd ${VERSION}`),
      /was to print "nyxd .* printed "deno .*is DENORT_BIN a denort/,
    );
  });
});
