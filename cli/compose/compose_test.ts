import assert from "node:assert/strict";
import { hoistGroupFlags } from "../args/tree.ts";
import { UsageError } from "../args/definition.ts";
import { command as composeRun } from "../commands/compose_run.ts";
import { COMMANDS } from "../commands/table.ts";
import { processContext } from "../context.ts";
import { labelOf, LineWriter } from "./log_lines.ts";
import { parseScale, PLAN_FLAGS, planOptions } from "./plan_flags.ts";
import { parseArgs } from "../args/parse.ts";
import type { Project } from "./source.ts";
import { ProjectWatch } from "./watch.ts";
import { readPlanFile, writePlanFile } from "./plan_file.ts";

Deno.test("hoistGroupFlags: options before a compose command go behind it by their long names, others stay", () => {
  const hoist = (...words: string[]) => hoistGroupFlags(COMMANDS, words);
  assert.deepEqual(hoist("compose", "-f", "a.yaml", "-fb.yaml", "-p", "shop", "logs", "-f", "web"), [
    "compose",
    "logs",
    "--file=a.yaml",
    "--file=b.yaml",
    "--project-name=shop",
    "-f",
    "web",
  ]);
  assert.deepEqual(hoist("compose", "up", "-d"), ["compose", "up", "-d"]);
  assert.deepEqual(hoist("compose", "--help"), ["compose", "--help"]);
  assert.deepEqual(hoist("ps", "-a"), ["ps", "-a"]);
  assert.throws(() => hoist("compose", "--nonsense", "up"), UsageError);
});

Deno.test("compose: every command takes the options that may stand before it, also one with an -f or -p of its own", async () => {
  const children = COMMANDS.compose?.children ?? assert.fail("no compose");
  const words = ["-f", "a.yaml", "-p", "shop", "--profile", "x", "--env-file", "e", "--project-directory", "d"];
  for (const [name, node] of Object.entries(children)) {
    const { command } = await node.load?.() ?? assert.fail(name);
    const [, , ...argv] = hoistGroupFlags(COMMANDS, ["compose", ...words, name]);
    const { flags } = parseArgs(command.flags, argv, { optionsFirst: true });
    assert.deepEqual((flags as { file?: string[] }).file, ["a.yaml"], name);
  }
});

Deno.test("labelOf: the project's name is left out, and only that", () => {
  assert.deepEqual([labelOf("shop-web-1", "shop"), labelOf("mine", "shop")], ["web-1", "mine"]);
});

Deno.test("parseScale and planOptions: numbers by service; contradictions and unknown policies are refused", () => {
  assert.deepEqual(parseScale(["web=3", "a=b=0"].slice(0, 1)), { web: 3 });
  assert.throws(() => parseScale(["web"]), /SERVICE=NUMBER/);
  assert.throws(() => parseScale(["web=-1"]), /SERVICE=NUMBER/);
  const options = (...argv: string[]) =>
    planOptions(parseArgs(PLAN_FLAGS, argv).flags as Parameters<typeof planOptions>[0], []);
  assert.deepEqual(options("--force-recreate", "--pull", "always", "--scale", "a=2"), {
    force_recreate: true,
    pull: "always",
    scale: { a: 2 },
  });
  assert.throws(() => options("--force-recreate", "--no-recreate"), /contradicts/);
  assert.throws(() => options("--pull", "often"), /always, missing or never/);
  assert.deepEqual(options("--build"), { build: true });
  assert.throws(() => options("--build", "--no-build"), /contradicts --build/);
});

Deno.test("LineWriter: lines of several containers stay whole, each behind its name, columns in line", async () => {
  const written: Uint8Array[] = [];
  const context = Object.create(processContext({ debug: false }), {
    out: { value: { isTerminal: false, bytes: (bytes: Uint8Array) => Promise.resolve(void written.push(bytes)) } },
  });
  const writer = new LineWriter(context, { prefix: true, color: false });
  writer.expect(["a-1", "long-10"]);
  await Promise.all(["a-1", "long-10", "a-1"].map((label, i) => writer.line(label, new TextEncoder().encode(`${i}`))));
  const text = written.map((bytes) => new TextDecoder().decode(bytes)).join("");
  assert.equal(text, "a-1      | 0\nlong-10  | 1\na-1      | 2\n");
});

Deno.test("readPlanFile: gives back what was written, for nobody else to read, and refuses anything else", () => {
  const dir = Deno.makeTempDirSync();
  try {
    const path = `${dir}/plan.json`;
    const plan = { project: "shop", steps: [], blocked: [], warnings: [], world: "0" };
    writePlanFile(path, { options: { scale: { a: 1 } }, plan });
    assert.deepEqual(readPlanFile(path), { options: { scale: { a: 1 } }, plan });
    assert.equal((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
    Deno.writeTextFileSync(path, "{}");
    assert.throws(() => readPlanFile(path), /it is not what nyx compose plan --output writes/);
    assert.throws(() => readPlanFile(`${dir}/none`), /there is no such file/);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("compose run --build asks for the service's image to be built anew", async () => {
  const path = Deno.makeTempFileSync({ suffix: ".yaml" });
  try {
    const asked: { build?: boolean; service?: string }[] = [];
    const client = {
      compose: {
        run: (request: object) => (asked.push(request), Promise.resolve({ id: "1", name: "n", warnings: [] })),
      },
      containers: { start: () => Promise.resolve() },
    };
    const context = Object.create(processContext({ debug: false }), {
      client: { value: () => Promise.resolve(client) },
      out: { value: { isTerminal: false, text: () => {} } },
    });
    for (const more of [["--build"], []]) {
      const { flags } = parseArgs(composeRun.flags, ["-d", `--file=${path}`, ...more]);
      await composeRun.run(context, flags as Parameters<typeof composeRun.run>[1], ["web"]);
    }
    assert.deepEqual(asked.map(({ service, build }) => [service, build]), [["web", true], ["web", undefined]]);
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("ProjectWatch: a file that goes while it is looked at is told, without its control characters, and the watch goes on", async () => {
  const dir = Deno.makeTempDirSync();
  const over = new AbortController();
  try {
    Deno.writeTextFileSync(`${dir}/a`, "1");
    const develop = {
      watch: ["one", "two"].map((target) => ({ action: "sync", path: dir, target: `/${target}`, initial_sync: true })),
    };
    const client = {
      compose: {
        config: () => Promise.resolve({ text: JSON.stringify({ services: { web: { develop } } }) }),
        ps: () => Promise.reject(new Deno.errors.NotFound("gone\x1b[2J")),
      },
    };
    const said: string[] = [];
    const context = Object.create(processContext({ debug: false }), {
      client: { value: () => Promise.resolve(client) },
      err: { value: { isTerminal: false, text: (text: string) => void said.push(text) } },
    });
    const project = { request: (call: (source: object) => unknown) => call({}) } as unknown as Project;
    const watch = await ProjectWatch.of(context, project, () => Promise.resolve(project), []);
    const running = watch?.run(over.signal);
    for (let i = 0; i < 100 && said.length < 3; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    over.abort();
    await running;
    assert.equal(said.length, 3, said.join(""));
    for (const text of said.slice(1)) assert.match(text, /nyx: warning:.*gone/);
    assert.ok(!said.join("").includes("\x1b[2J"));
  } finally {
    over.abort();
    Deno.removeSync(dir, { recursive: true });
  }
});
