/** What nyx may leave behind on a host, so that a test can compare before and after. */

async function lines(command: string, ...args: string[]): Promise<string[]> {
  const { stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout).split("\n").map((l) => l.trim()).filter((l) => l !== "");
}

function listDir(path: string): string[] {
  try {
    return [...Deno.readDirSync(path)].map((e) => `${path}/${e.name}`);
  } catch {
    return [];
  }
}

/** Directories below the cgroup file systems that bear nyx's name. */
function cgroups(): string[] {
  const roots = ["/sys/fs/cgroup", ...listDir("/sys/fs/cgroup")];
  return roots.flatMap(listDir).filter((p) => /\/nyx[^/]*$/.test(p)).flatMap((
    p,
  ) => [p, ...listDir(p).filter((c) => /[0-9a-f]{64}$/.test(c))]);
}

/** Command lines of processes that nyx starts or that its tests do. */
async function processes(): Promise<string[]> {
  const all = await lines("ps", "-eo", "pid=,args=");
  return all.map((l) => l.replace(/^\d+\s+/, "")).filter((l) =>
    /nyx|docker-registry|\bcrun\b/.test(l) && !/tests\/run\.ts|deno task|deno test|\bps -eo\b|\.ci\/run/.test(l)
  );
}

/** One kind of leftover and what there is of it. */
export type HostState = Record<string, string[]>;

/** Where iproute2 pins namespaces: `ip netns add` mounts it over itself once and for good. */
const NETNS_DIR = "/run/netns";

/** Reads the state of the host. */
export async function hostState(): Promise<HostState> {
  const mounts = (await Deno.readTextFile("/proc/self/mountinfo")).split("\n").map((l) => l.split(" ")[4] ?? "");
  return {
    mounts: mounts.filter((m) => m !== "" && m !== NETNS_DIR).sort(),
    netns: await lines("ip", "netns", "list"),
    links: (await lines("ip", "-o", "link")).map((l) => l.split(":")[1]?.trim() ?? "").sort(),
    addresses: (await lines("ip", "-o", "addr")).map((l) => l.split(/\s+/).slice(1, 4).join(" ")).sort(),
    routes: await lines("ip", "route"),
    tables: await lines("nft", "list", "tables"),
    cgroups: cgroups(),
    processes: await processes(),
    temporary: [...listDir("/tmp"), ...listDir("/dev/shm")].filter((p) => /\/nyx-/.test(p)),
  };
}

/** What is there now and was not before, one line each. */
export function leftovers(before: HostState, after: HostState): string[] {
  return Object.entries(after).flatMap(([kind, now]) => {
    const rest = [...(before[kind] ?? [])];
    return now.filter((item) => {
      const at = rest.indexOf(item);
      if (at >= 0) rest.splice(at, 1);
      return at < 0;
    }).map((item) => `${kind}: ${item}`);
  });
}
