/** A compose project on a real nyxd, for the tests of one file. */

import assert from "node:assert/strict";
import type { CliResult, Nyxd } from "./daemon.ts";

/** A command in YAML that sleeps, and ends at once when it is told to. */
export const SLEEP = `["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"]`;

/** Fails with what a command said, unless it ended with 0. */
export function ok(result: CliResult): void {
  assert.equal(result.code, 0, result.stderr + result.stdout);
}

/** A project's directory, and the CLI in it. */
export interface TestProject {
  readonly dir: string;
  /** Writes a file below the directory. */
  write(path: string, text: string): void;
  /** Runs `nyx compose` with the project's file. */
  compose(...args: string[]): Promise<CliResult>;
  /** The same, against another daemon. */
  on(nyxd: Nyxd): TestProject;
}

/** Makes a project; `yaml` is its compose file. The directory goes with the world's. */
export function testProject(nyxd: Nyxd, dir: string, yaml: string, env: Record<string, string> = {}): TestProject {
  Deno.mkdirSync(dir, { recursive: true });
  const write = (path: string, text: string) => Deno.writeTextFileSync(`${dir}/${path}`, text);
  write("compose.yaml", yaml);
  const on = (daemon: Nyxd): TestProject => ({
    dir,
    write,
    compose: (...args) => daemon.nyx(["compose", "-f", `${dir}/compose.yaml`, ...args], { env }),
    on,
  });
  return on(nyxd);
}
