/**
 * What nyxd says about its containers against what the host has: an independent look at mounts, namespaces, links, rules,
 * cgroups, processes, leases and files. Every difference is one sentence.
 */

import type { Nyxd } from "./daemon.ts";

const ID = /[0-9a-f]{64}/;

async function output(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args, stderr: "null", stdin: "null" }).output();
  return new TextDecoder().decode(stdout);
}

/** Names of what is in a directory; none where there is no directory. */
export function names(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map((e) => e.name);
  } catch {
    return [];
  }
}

function idsIn(list: Iterable<string>): Set<string> {
  return new Set([...list].flatMap((n) => ID.exec(n)?.[0] ?? []));
}

/** Ids in the names of what exists below every cgroup hierarchy's parent. */
function cgroups(slot: number): Set<string> {
  const roots = ["/sys/fs/cgroup", ...names("/sys/fs/cgroup").map((n) => `/sys/fs/cgroup/${n}`)];
  return idsIn(roots.flatMap((r) => names(`${r}/nyx-t${slot}`)));
}

/** Processes whose working directory is a container's monitor directory, by id. */
function monitors(baseDir: string): Set<string> {
  const found: string[] = [];
  for (const pid of names("/proc").filter((n) => /^\d+$/.test(n))) {
    try {
      const cwd = Deno.readLinkSync(`/proc/${pid}/cwd`);
      if (cwd.startsWith(`${baseDir}/run/monitor/`)) found.push(cwd);
    } catch {
      // It has ended, or is a kernel thread.
    }
  }
  return idsIn(found);
}

async function portElements(bridge: string): Promise<number> {
  const tables = await output("nft", "list", "tables");
  const table = tables.split("\n").find((l) => l.includes(bridge))?.split(" ").at(-1);
  if (table === undefined) return 0;
  const text = await output("nft", "-n", "list", "table", "inet", table);
  return (text.match(/\b(6|17|tcp|udp) \. \d+ : /g) ?? []).length;
}

/** Links on the bridges of all networks. */
async function bridgePorts(nyxd: Nyxd): Promise<number> {
  let links = 0;
  for (const { bridge } of await nyxd.client.networks.list()) {
    if (bridge === "") continue;
    links += (await output("ip", "-o", "link", "show", "master", bridge)).split("\n").filter((l) => l !== "").length;
  }
  return links;
}

function compare(what: string, found: Set<string>, wanted: Set<string>, complete: boolean): string[] {
  const short = (id: string) => id.slice(0, 12);
  const extra = [...found].filter((id) => !wanted.has(id)).map((id) => `${what} of ${short(id)} is an orphan`);
  const missing = complete ? [...wanted].filter((id) => !found.has(id)) : [];
  return [...extra, ...missing.map((id) => `${what} of ${short(id)} is missing`)];
}

/** Options of {@linkcode untruths}. */
export interface TruthOptions {
  /** Containers whose monitor was killed on purpose. */
  withoutMonitor?: boolean;
}

/** Differences between what nyxd says and what is there; empty when all is true. */
export async function untruths(nyxd: Nyxd, options: TruthOptions = {}): Promise<string[]> {
  const { baseDir } = nyxd;
  const all = await nyxd.client.containers.list({ all: true });
  const known = new Set(all.map((c) => c.id));
  const live = new Set(all.filter((c) => ["running", "paused"].includes(c.status)).map((c) => c.id));
  const unsettled = all.filter((c) => !["running", "paused", "exited", "created"].includes(c.status));
  const mounts = Deno.readTextFileSync("/proc/self/mountinfo").split("\n").map((l) => l.split(" ")[4] ?? "")
    .filter((m) => m.startsWith(`${baseDir}/overlay/`));
  const leases = await Deno.readTextFile(`${baseDir}/network/leases.json`).catch(() => "");
  const details = await Promise.all([...live].map((id) => nyxd.client.containers.inspect(id)));
  const published = details.reduce((n, d) => n + d.network.ports.length, 0);
  const elements = await portElements(nyxd.bridge);
  const links = await bridgePorts(nyxd);
  const joined = details.reduce((n, d) => n + d.network.endpoints.length, 0);
  const dead = details.filter((d) => names(`/proc/${d.state.pid}`).length === 0);
  return [
    ...unsettled.map((c) => `${c.id.slice(0, 12)} is ${c.status}`),
    ...dead.map((d) => `${d.id.slice(0, 12)} is said to run, but its process is gone`),
    ...compare("the mount", idsIn(mounts), live, true),
    ...compare("the network namespace", idsIn(names(`${baseDir}/run/netns`)), live, true),
    ...compare("the cgroup", cgroups(nyxd.slot), live, false),
    ...compare("crun's state", idsIn(names(`${baseDir}/run/crun`)), live, true),
    ...compare("the monitor", monitors(baseDir), live, options.withoutMonitor !== true),
    ...compare("the monitor's directory", idsIn(names(`${baseDir}/run/monitor`)), live, true),
    ...compare("the lease", new Set(leases.match(new RegExp(ID, "g")) ?? []), known, false),
    ...compare("the overlay directory", idsIn(names(`${baseDir}/overlay`)), known, false),
    ...compare("the bundle", idsIn(names(`${baseDir}/bundles`)), known, false),
    ...compare("the log", idsIn(names(`${baseDir}/logs`)), known, false),
    ...compare("the record", idsIn(names(`${baseDir}/supervisor/containers`)), known, true),
    ...names(`${baseDir}/run/exec`).map((n) => `run/exec/${n} is left`),
    ...names(`${baseDir}/supervisor/containers`).filter((n) => !n.endsWith(".json")).map((n) =>
      `record file ${n} is left`
    ),
    ...(elements === published ? [] : [`${elements} port rules for ${published} published ports`]),
    ...(links === joined ? [] : [`${links} links on bridges for ${joined} that containers should have`]),
  ];
}

/** Waits until everything is true; the last differences otherwise. */
export async function untilTrue(nyxd: Nyxd, options: TruthOptions = {}, waitMs = 4000): Promise<string[]> {
  const end = Date.now() + waitMs;
  while (true) {
    const found = await untruths(nyxd, options);
    if (found.length === 0 || Date.now() > end) return found;
    await new Promise((r) => setTimeout(r, 20));
  }
}
