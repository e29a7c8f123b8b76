/**
 * The whole test command: installs what is missing, runs the gates and the tests, checks that the host is as before, and
 * ends with the line `N passed, N failed, N skipped`. Exit code 1 when anything failed.
 *
 * `--ok` runs the gates and the unit tests alone.
 */

import { cacheModules, installPackages, RUNTIME_PACKAGES, TEST_PACKAGES } from "./setup.ts";
import { hostState, leftovers } from "./support/host_state.ts";

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

const tally: Tally = { passed: 0, failed: 0, skipped: 0 };
const SOURCES = ["mod.ts", "cli", "daemon", "ffi", "workers", "tests"];

const DATA = testData();

/** Time limit of one `deno test` call: a hang becomes a failure that CI can still report. */
const TEST_LIMIT_MS = 30 * 60_000;

/** What failed and why, told once more at the end: a log of which only the end is kept still says it. */
const failures: string[] = [];
/** Lines of a failure that are told again. */
const TOLD_LINES = 30;

function report(name: string, ok: boolean, began: number, detail = ""): void {
  tally[ok ? "passed" : "failed"]++;
  if (!ok) failures.push(`${name}\n${detail}`);
  console.log(`${ok ? "ok    " : "FAILED"} ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  if (!ok && detail !== "") console.log(detail);
}

/** Test data that lies beside a checkout; a test that wants what is missing says so and is skipped. */
function testData(): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, dir] of [["NYX_SCHEMAS", "schemas"], ["NYX_COMPOSE_CORPUS", "compose-corpus"]] as const) {
    const path = Deno.env.get(name) ?? new URL(`../../shared/${dir}`, import.meta.url).pathname;
    try {
      if (Deno.statSync(path).isDirectory) found[name] = path;
    } catch {
      console.log(`${name} is not set and ${path} does not exist: tests that need it are skipped`);
    }
  }
  return found;
}

async function deno(args: string[], show: boolean): Promise<{ success: boolean; text: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: { NO_COLOR: "1", ...DATA },
    stdin: "null",
    stdout: show ? "inherit" : "piped",
    stderr: show ? "inherit" : "piped",
    signal: AbortSignal.timeout(TEST_LIMIT_MS),
  }).spawn();
  if (show) return { success: (await child.status).success, text: "" };
  const { success, stdout, stderr } = await child.output();
  return { success, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

async function gate(name: string, args: string[]): Promise<void> {
  const began = performance.now();
  const { success, text } = await deno(args, false);
  report(name, success, began, text);
}

const ENTITIES: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

/** Names and messages of the failures in a JUnit report. */
function failuresIn(xml: string): string[] {
  const cases = xml.matchAll(/<testcase name="([^"]*)" classname="([^"]*)"[^>]*>\s*<(?:failure|error)[^>]*>([^<]*)</g);
  return [...cases].map(([, name, file, message]) =>
    `${name} (${file})\n${message}`.replace(/&(\w+);/g, (whole, entity: string) => ENTITIES[entity] ?? whole)
  );
}

/** Adds the counts of a JUnit report; a report that is missing or without a test counts as a failure. */
async function count(path: string, success: boolean): Promise<void> {
  const xml = await Deno.readTextFile(path).catch(() => "");
  const head = /<testsuites[^>]*\stests="(\d+)"[^>]*>/.exec(xml)?.[0] ?? "";
  const number = (name: string) => Number(new RegExp(`\\s${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
  const skipped = (xml.match(/<skipped/g) ?? []).length;
  const failed = number("failures") + number("errors");
  const total = number("tests");
  failures.push(...failuresIn(xml));
  tally.skipped += skipped;
  tally.failed += failed;
  tally.passed += Math.max(0, total - failed - skipped);
  if (total === 0 || (!success && failed === 0)) {
    tally.failed++;
    console.log("FAILED deno test ended without a complete report");
  }
}

async function tests(paths: string[]): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "nyx-run-" });
  try {
    const junit = `${dir}/junit.xml`;
    const { success } = await deno(["test", "-A", "--no-check", "--quiet", `--junit-path=${junit}`, ...paths], true);
    await count(junit, success);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Waits a little for the kernel to finish what it does by itself (a veth goes some 20 ms after its namespace). */
async function settledLeftovers(before: Awaited<ReturnType<typeof hostState>>): Promise<string[]> {
  for (let i = 0; i < 20; i++) {
    const left = leftovers(before, await hostState());
    if (left.length === 0) return left;
    await new Promise((r) => setTimeout(r, 250));
  }
  return leftovers(before, await hostState());
}

const quick = Deno.args.includes("--ok");
if (!quick) await installPackages([...RUNTIME_PACKAGES, ...TEST_PACKAGES]);
await cacheModules();
await gate("format", ["fmt", "--check", "--quiet"]);
await gate("lint", ["lint", "--quiet"]);
await gate("types", ["check", "--quiet", ...SOURCES]);
await gate("documentation", ["doc", "--lint", "mod.ts"]);
if (quick) {
  await tests(["daemon", "workers", "ffi", "cli", "tests/structure", "tests/support"]);
} else {
  const began = performance.now();
  const before = await hostState();
  const chosen = Deno.args.filter((a) => !a.startsWith("--"));
  await tests(chosen.length > 0 ? chosen : ["daemon", "workers", "ffi", "cli", "tests"]);
  const left = await settledLeftovers(before);
  report(
    "the host is as before: no mount, netns, link, rule, cgroup, process or file is left",
    left.length === 0,
    began,
    left.join("\n"),
  );
}
for (const failure of failures) {
  console.log(`\nFailed: ${failure.trim().split("\n").slice(0, TOLD_LINES).join("\n  ")}`);
}
console.log(`${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
Deno.exit(tally.failed === 0 ? 0 : 1);
