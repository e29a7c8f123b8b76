/**
 * A nyxd with CNI networks in a network namespace of its own: what plugins do to rules, sysctls and links never meets those of the
 * machine, and goes with the namespace, the chains that portmap and firewall never remove included.
 */

import { type Nyxd, type NyxdOptions, startNyxd } from "./daemon.ts";
import { inNetns, mustInNetns, type Outcome, TestHosts } from "./net_hosts.ts";
import { busyboxImage } from "./oci.ts";
import { names } from "./truth.ts";

/** All that containers leave on the machine and in nyxd's directory, but for chains of plugins that belong to no container. */
export function traces(world: CniWorld): Record<"rules" | "links" | "leases" | "results" | "netns", string[]> {
  const { baseDir, prefix } = world.nyxd;
  const rules = ["iptables-save", "ip6tables-save"].map((tool) => world.run(tool).stdout).join("\n").split("\n");
  return {
    rules: rules.filter((l) => l.includes(prefix) || /CNI-(DN-)?[0-9a-f]{8}/.test(l) || l.includes("dport")),
    links: world.must("ip", "-br", "link").split("\n").filter((l) => l.startsWith("veth")),
    leases: names(`${baseDir}/network/cni/ipam/nyx`).filter((n) => n.startsWith("10.")),
    results: names(`${baseDir}/network/cni/results`),
    netns: names(`${baseDir}/run/netns`),
  };
}

/** What {@linkcode traces} finds where no container is attached. */
export const NOTHING = { rules: [], links: [], leases: [], results: [], netns: [] };

/** Such a nyxd, and its machine. */
export interface CniWorld extends AsyncDisposable {
  /** The one that was started last. */
  nyxd: Nyxd;
  readonly hosts: TestHosts;
  readonly confDir: string;
  /** Reference of the busybox image. */
  readonly image: string;
  /** Runs a program on the machine. */
  run(...argv: string[]): Outcome;
  /** Standard output of a program on the machine; its failure is the test's. */
  must(...argv: string[]): string;
  /** Starts nyxd again on the same base directory, after it was stopped or killed. */
  again(args?: string[]): Promise<Nyxd>;
}

/** Makes the machine, starts nyxd, and loads the image. */
export async function startCniWorld(options: NyxdOptions = {}): Promise<CniWorld> {
  const hosts = new TestHosts();
  const dir = Deno.makeTempDirSync({ prefix: "nyx-cni-" });
  const confDir = `${dir}/net.d`;
  Deno.mkdirSync(confDir);
  const image = "busybox:latest";
  const places = [`--net-driver=cni`, `--cni-conf-dir=${confDir}`];
  const { args = [], ...rest } = options;
  const start = (more: string[], again: NyxdOptions) =>
    startNyxd({ ...rest, ...again, netns: hosts.host, args: [...places, ...more] });
  const clean = async () => {
    await hosts[Symbol.asyncDispose]();
    Deno.removeSync(dir, { recursive: true });
  };
  let nyxd: Nyxd | undefined;
  try {
    nyxd = await start(args, {});
    busyboxImage({ dir: `${dir}/layout` });
    const tar = new Deno.Command("tar", { args: ["-C", `${dir}/layout`, "-cf", `${dir}/image.tar`, "."] });
    await tar.output();
    const loaded = await nyxd.nyx(["load", "-i", `${dir}/image.tar`]);
    const id = /sha256:[0-9a-f]{64}/.exec(loaded.stdout)?.[0];
    if (id !== undefined) await nyxd.nyx(["tag", id, image]);
  } catch (e) {
    await nyxd?.[Symbol.asyncDispose]();
    await clean();
    throw e;
  }
  const world: CniWorld = {
    nyxd,
    hosts,
    confDir,
    image,
    run: (...argv) => inNetns(hosts.host, argv),
    must: (...argv) => mustInNetns(hosts.host, argv),
    again: async (more = args) => {
      const { baseDir, slot } = world.nyxd;
      return world.nyxd = await start(more, { baseDir, slot });
    },
    [Symbol.asyncDispose]: async () => {
      try {
        await world.nyxd[Symbol.asyncDispose]();
        if (world.nyxd !== nyxd) await nyxd[Symbol.asyncDispose]();
      } finally {
        await clean();
      }
    },
  };
  return world;
}
