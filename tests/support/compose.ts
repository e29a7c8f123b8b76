/** A compose project on a real nyxd, for the tests of one file. */

import type { CliResult, Nyxd } from "./daemon.ts";

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
