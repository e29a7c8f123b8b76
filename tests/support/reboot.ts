/**
 * A power cut, for one nyxd: everything of it that lives in the kernel goes at once (processes, mounts, namespaces, links, rules,
 * cgroups), its files stay, and the boot gets another id.
 */

import type { Nyxd } from "./daemon.ts";
import { names } from "./truth.ts";

function tryLink(path: string): string {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return "";
  }
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

async function run(...argv: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(argv[0] ?? "", { args: argv.slice(1), stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

/** Directories of the containers' cgroups, in every hierarchy, deepest first. */
function cgroups(slot: number): string[] {
  const roots = ["/sys/fs/cgroup", ...names("/sys/fs/cgroup").map((n) => `/sys/fs/cgroup/${n}`)];
  const below = (dir: string): string[] =>
    names(dir).filter((n) => isDirectory(`${dir}/${n}`)).flatMap((n) => [...below(`${dir}/${n}`), `${dir}/${n}`]);
  return roots.map((r) => `${r}/nyx-t${slot}`).filter(isDirectory).flatMap((d) => [...below(d), d]);
}

function isDirectory(path: string): boolean {
  try {
    return Deno.lstatSync(path).isDirectory;
  } catch {
    return false;
  }
}

function monitors(baseDir: string): number[] {
  return names("/proc").filter((n) => /^\d+$/.test(n) && tryLink(`/proc/${n}/cwd`).startsWith(`${baseDir}/run/`))
    .map(Number);
}

function pidsIn(dir: string): number[] {
  try {
    return Deno.readTextFileSync(`${dir}/cgroup.procs`).split("\n").filter((l) => l !== "").map(Number);
  } catch {
    return [];
  }
}

/** Kills nyxd and all that it has in the kernel, as a power cut does. The caller starts it again on the same base directory. */
export async function powerCut(nyxd: Nyxd): Promise<void> {
  const { baseDir, slot, bridge } = nyxd;
  await nyxd.stop("SIGKILL");
  const dirs = cgroups(slot);
  // Monitors first: nobody may write down how a container ended.
  for (const pid of [...monitors(baseDir), ...dirs.flatMap(pidsIn)]) kill(pid);
  while (dirs.flatMap(pidsIn).length > 0) await new Promise((r) => setTimeout(r, 10));
  for (const dir of dirs) await run("rmdir", dir);
  const mounts = Deno.readTextFileSync("/proc/self/mountinfo").split("\n").map((l) => l.split(" ")[4] ?? "")
    .filter((m) => m.startsWith(`${baseDir}/`));
  for (const mount of mounts.sort((a, b) => b.length - a.length)) await run("umount", "-l", mount);
  const links = (await run("ip", "-o", "link", "show", "master", bridge)).matchAll(/^\d+: ([^:@]+)/gm);
  for (const [, link = ""] of links) await run("ip", "link", "delete", link);
  await run("ip", "link", "delete", bridge);
  const table = (await run("nft", "list", "tables")).split("\n").find((l) => l.includes(bridge));
  if (table !== undefined) await run("nft", "delete", ...table.split(" "));
  Deno.writeTextFileSync(`${baseDir}/run/boot-id`, "another boot\n");
}
