/** A host for tests of the CNI backend: its own namespace, directories for configuration and plugins, and a worker on it. */

import type { NetworkDefinition } from "../../workers/protocol.ts";
import { inNetns, mustInNetns, type NetworkWorker, TestHosts } from "./net_hosts.ts";

/** Where Debian puts plugins. */
export const PLUGINS = "/usr/lib/cni";

/** The default network of these tests. */
export const NYX: NetworkDefinition = {
  name: "nyx",
  driver: "bridge",
  bridge: "nyxcni0",
  subnet: "10.66.0.0/24",
  gateway: "10.66.0.1",
};

/** A machine on which networks are CNI's. */
export class CniHost implements AsyncDisposable {
  readonly hosts = new TestHosts();
  readonly confDir: string;
  /** Directory of plugins: Debian's by link, and whatever a test adds. */
  readonly binDir: string;

  constructor() {
    this.confDir = `${this.hosts.baseDir}/net.d`;
    this.binDir = `${this.hosts.baseDir}/plugins`;
    Deno.mkdirSync(this.confDir);
    Deno.mkdirSync(this.binDir);
    for (const { name } of Deno.readDirSync(PLUGINS)) Deno.symlinkSync(`${PLUGINS}/${name}`, `${this.binDir}/${name}`);
  }

  /** Puts a configuration into the directory. */
  conf(file: string, value: unknown): void {
    Deno.writeTextFileSync(`${this.confDir}/${file}`, typeof value === "string" ? value : JSON.stringify(value));
  }

  /** Makes a plugin of a shell script; the worker must be started afterwards. */
  plugin(name: string, script: string): void {
    Deno.writeTextFileSync(`${this.binDir}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    Deno.chmodSync(`${this.binDir}/${name}`, 0o755);
  }

  /** Starts a worker and initialises it. */
  async start(options: { networks?: NetworkDefinition[]; live?: string[]; known?: string[]; timeoutMs?: number } = {}) {
    const { confDir, binDir, hosts } = this;
    const worker: NetworkWorker = hosts.startWorker(hosts.baseDir, { binDir, confDir });
    const { networks = [NYX], live = [], known = live, timeoutMs } = options;
    const init = await worker.call("init", {
      baseDir: hosts.baseDir,
      networks,
      live,
      known,
      poolSize: 1,
      defaultPublishIp: "",
      cni: { confDir, binDir, ...(timeoutMs === undefined ? {} : { timeoutMs }) },
    });
    return { worker, init };
  }

  /** What a program on the machine prints. */
  run(...argv: string[]): string {
    return mustInNetns(this.hosts.host, argv);
  }

  /** What a container's traces in the host's rules are: lines that name its address or its id. */
  traces(word: string): string[] {
    const rules = ["iptables-save", "ip6tables-save"].map((tool) => inNetns(this.hosts.host, [tool]).stdout).join("\n");
    return rules.split("\n").filter((line) => line.includes(word));
  }

  /** Addresses that host-local has given out for a network of nyx. */
  leases(network: string): string[] {
    try {
      return [...Deno.readDirSync(`${this.hosts.baseDir}/network/cni/ipam/${network}`)].map((e) => e.name)
        .filter((n) => /^[0-9a-f.:]+$/.test(n) && /\d/.test(n)).sort();
    } catch {
      return [];
    }
  }

  /** Files of attachments. */
  cached(): string[] {
    return [...Deno.readDirSync(`${this.hosts.baseDir}/network/cni/results`)].map((e) => e.name).sort();
  }

  /** Host-side links beside those every machine has. */
  veths(): string[] {
    return this.run("ip", "-br", "link").split("\n").map((l) => l.split(/[@\s]/)[0] ?? "").filter((n) =>
      /^veth/.test(n)
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hosts[Symbol.asyncDispose]();
  }
}
