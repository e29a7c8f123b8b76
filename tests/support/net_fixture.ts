/** What tests of networks have in common: a worker on a test host, containers, servers inside them, and clients that ask. */

import assert from "node:assert/strict";
import type { NetworkAttachment, PortMapping } from "../../daemon/spec/container.ts";
import type { NetworkDefinition, NetworkResult } from "../../workers/protocol.ts";
import { inNetnsAsync, mustInNetns, type NetworkWorker, randomId, type TestHosts } from "./net_hosts.ts";

/** An IPv4 network, the first of a daemon. */
export const NET: NetworkDefinition = {
  name: "nyx",
  driver: "bridge",
  bridge: "nyxbr0",
  subnet: "10.88.0.0/16",
  gateway: "10.88.0.1",
};
/** The same with IPv6. */
export const DUAL: NetworkDefinition = { ...NET, subnet6: "fd00:88::/64", gateway6: "fd00:88::1" };

/** Starts a network worker on the machine. */
export async function startNetwork(
  hosts: TestHosts,
  networks: NetworkDefinition[] = [NET],
  live: string[] = [],
): Promise<{ worker: NetworkWorker; warnings: string[] }> {
  const worker = hosts.startWorker();
  const { baseDir } = hosts;
  const { warnings } = await worker.call("init", {
    baseDir,
    networks,
    live,
    known: [],
    poolSize: 2,
    defaultPublishIp: "",
  });
  return { worker, warnings };
}

/** A container's network with what tests look at first. */
export type Placed = NetworkResult & { id: string; ip: string; ip6: string };

/** Sets a container's network up. */
export async function place(
  worker: NetworkWorker,
  name: string,
  ports: PortMapping[] = [],
  networks: (string | NetworkAttachment)[] = ["nyx"],
): Promise<Placed> {
  const id = randomId();
  const attachments = networks.map((n) => typeof n === "string" ? { network: n } : n);
  const result = await worker.call("setup", { id, name, mode: "bridge", attachments, ports, sysctls: {} });
  const [first] = result.endpoints;
  return { ...result, id, ip: first?.ip ?? "", ip6: first?.ip6 ?? "" };
}

/** Reads before it answers: a server that closes with something unread resets the connection, and the answer may be lost. */
const REPLY = "read x; echo TAG $SOCAT_PEERADDR";

/** Servers that answer `<tag> <client address>`, on both families when the namespace has IPv6; ready when they are bound. */
export async function answer(
  hosts: TestHosts,
  netns: string,
  tag: string,
  ports: string[],
  six = false,
): Promise<void> {
  for (const port of ports) {
    const [number, protocol] = port.split("/");
    for (const family of six ? [4, 6] : [4]) {
      const only = family === 6 ? ",ipv6only" : "";
      const listen = protocol === "udp"
        ? `UDP${family}-RECVFROM:${number},fork${only}`
        : `TCP${family}-LISTEN:${number},fork,reuseaddr${only}`;
      hosts.serve(netns, ["socat", listen, `SYSTEM:${REPLY.replace("TAG", tag)}`]);
    }
  }
  for (let i = 0; i < 200; i++) {
    const bound = mustInNetns(netns, ["ss", "-Hlntu"]).split("\n");
    const there = (p: string, v6: boolean) =>
      bound.some((l) =>
        l.includes(`:${p.split("/")[0]} `) && l.startsWith(p.split("/")[1] ?? "") && l.includes("[::]") === v6
      );
    if (ports.every((p) => there(p, false) && (!six || there(p, true)))) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`The servers of ${tag} did not start`);
}

/** What a client hears: the server's line, addresses as the kernel writes them, or `-`. */
export async function ask(netns: string, protocol: "tcp" | "udp", address: string, port: number): Promise<string> {
  const [name, family] = address.includes(":") ? [`[${address}]`, 6] : [address, 4];
  const target = protocol === "udp" ? `UDP${family}:${name}:${port}` : `TCP${family}:${name}:${port},connect-timeout=1`;
  const { stdout } = await inNetnsAsync(netns, ["socat", "-T1", "-t1", "-", target], "?\n");
  const [tag = "", peer = ""] = stdout.trim().split(" ");
  return tag === "" ? "-" : `${tag} ${peer.includes(":") ? shortV6(peer) : peer}`.trim();
}

/** `[fd00:0000:…:0001]` as `fd00::1`. */
function shortV6(text: string): string {
  return new URL(`http://${text.startsWith("[") ? text : `[${text}]`}/`).hostname.slice(1, -1);
}

/**
 * Asserts what a client hears. An answer that is due may be late on a busy machine, so it is asked for again; silence is asked
 * for once, and long enough.
 */
export async function hears(
  netns: string,
  protocol: "tcp" | "udp",
  address: string,
  port: number,
  expected: string,
  what = `${protocol} ${address}:${port}`,
): Promise<void> {
  let heard = await ask(netns, protocol, address, port);
  for (let i = 0; i < 5 && heard === "-" && expected !== "-"; i++) heard = await ask(netns, protocol, address, port);
  assert.equal(heard, expected, what);
}
