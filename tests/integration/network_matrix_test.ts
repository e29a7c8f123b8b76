/**
 * Who reaches whom, as one table for both families and both protocols, each row tried by a real packet, also those that must fail. It
 * holds when everything is fresh, after somebody flushed the host's rules, after the daemon died, and after the container was
 * disconnected and connected again.
 */

import assert from "node:assert/strict";
import type { NetworkDefinition } from "../../workers/protocol.ts";
import { answer, DUAL, hears, place, type Placed, startNetwork } from "../support/net_fixture.ts";
import { HOST_IP, inNetns, LAN_IP, mustInNetns, type NetworkWorker, TestHosts } from "../support/net_hosts.ts";

const network = (name: string, n: number, rest: Partial<NetworkDefinition> = {}): NetworkDefinition => ({
  ...DUAL,
  name,
  bridge: `nyxbr${n}`,
  subnet: `10.89.${n}.0/24`,
  gateway: `10.89.${n}.1`,
  subnet6: `fd00:89:${n}::/64`,
  gateway6: `fd00:89:${n}::1`,
  ...rest,
});
const NETWORKS = [DUAL, network("second", 1), network("closed", 2, { internal: true })];

const PORTS = [
  { hostPort: 8080, containerPort: 80 },
  { hostPort: 5353, containerPort: 53, protocol: "udp" as const },
];

interface Scene {
  hosts: TestHosts;
  web: Placed;
  peer: Placed;
  far: Placed;
  inner: Placed;
  inner2: Placed;
}

/** `[what, from, address, published or inner port, answer]` for one family; the port depends on the protocol. */
type Row = [what: string, from: string, address: string, port: "published" | "inside", expected: string];

function rows(s: Scene, six: boolean): Row[] {
  const { hosts: { host, lan }, web, peer, far, inner, inner2 } = s;
  const own = (p: Placed) => six ? p.ip6 : p.ip;
  const [hostIp, lanIp, gateway, loopback] = six
    ? ["fd77::1", "fd77::2", "fd00:88::1", "::1"]
    : [HOST_IP, LAN_IP, "10.88.0.1", "127.0.0.1"];
  const by = (ip: string) => `web ${ip}`;
  return [
    // The kernel translates nothing that is addressed to ::1, so that is refused, and `localhost` goes on to 127.0.0.1.
    ["host, loopback", host, loopback, "published", six ? "-" : by(gateway)],
    ["host, own address", host, hostIp, "published", by(hostIp)],
    ["host, gateway", host, gateway, "published", by(gateway)],
    ["host, the container itself", host, own(web), "inside", by(gateway)],
    ["LAN, published", lan, hostIp, "published", by(lanIp)],
    ["LAN, the container itself", lan, own(web), "inside", "-"],
    ["LAN, an internal container", lan, own(inner), "inside", "-"],
    ["same network, the container itself", peer.netnsPath, own(web), "inside", by(own(peer))],
    ["same network, published", peer.netnsPath, hostIp, "published", by(gateway)],
    ["itself, published", web.netnsPath, hostIp, "published", by(gateway)],
    ["itself, published, by the gateway", web.netnsPath, gateway, "published", by(gateway)],
    ["other network, the container itself", far.netnsPath, own(web), "inside", "-"],
    ["other network, published", far.netnsPath, hostIp, "published", by(gateway)],
    ["other network to the LAN", far.netnsPath, lanIp, "inside", `lan ${hostIp}`],
    ["out to the LAN", web.netnsPath, lanIp, "inside", `lan ${hostIp}`],
    ["to an internal container", web.netnsPath, own(inner), "inside", "-"],
    ["internal, same network", inner2.netnsPath, own(inner), "inside", `inner ${own(inner2)}`],
    ["internal to another network", inner.netnsPath, own(web), "inside", "-"],
    ["internal to a published port", inner.netnsPath, hostIp, "published", "-"],
    ["internal to the LAN", inner.netnsPath, lanIp, "inside", "-"],
  ];
}

async function holds(scene: Scene, phase: string): Promise<void> {
  const tries: (() => Promise<string | undefined>)[] = [];
  for (const six of [false, true]) {
    for (const protocol of ["tcp", "udp"] as const) {
      const ports = protocol === "tcp" ? { published: 8080, inside: 80 } : { published: 5353, inside: 53 };
      for (const [what, from, address, port, expected] of rows(scene, six)) {
        const title = `${phase}: ${what}, ${protocol} ${address}:${ports[port]}`;
        tries.push(() =>
          hears(from, protocol, address, ports[port], expected, title).then(() => undefined, (e: Error) => e.message)
        );
      }
    }
  }
  // All at once would starve each other of the processor.
  const wrong: string[] = [];
  const workers = Array.from({ length: 20 }, async () => {
    for (let next = tries.pop(); next !== undefined; next = tries.pop()) wrong.push(...[await next() ?? []].flat());
  });
  await Promise.all(workers);
  assert.deepEqual(wrong, []);
}

async function setTheScene(hosts: TestHosts, worker: NetworkWorker): Promise<Scene> {
  const web = await place(worker, "web", PORTS);
  const peer = await place(worker, "peer");
  const far = await place(worker, "far", [], ["second"]);
  const inner = await place(worker, "inner", PORTS, ["closed"]);
  const inner2 = await place(worker, "inner2", [], ["closed"]);
  // What an attacker would do: a neighbour routes to the containers, an internal container to the host.
  mustInNetns(hosts.lan, [
    "sh",
    "-c",
    `for net in 10.88.0.0/16 10.89.0.0/16; do ip route add $net via ${HOST_IP}; done
    for net in fd00:88::/64 fd00:89::/32; do ip -6 route add $net via fd77::1; done`,
  ]);
  mustInNetns(inner.netnsPath, [
    "sh",
    "-c",
    "ip route add default via 10.89.2.1; ip -6 route add default via fd00:89:2::1",
  ]);
  const served: [string, string][] = [[web.netnsPath, "web"], [inner.netnsPath, "inner"], [hosts.lan, "lan"]];
  await Promise.all(served.map(([netns, tag]) => answer(hosts, netns, tag, ["80/tcp", "53/udp"], true)));
  return { hosts, web, peer, far, inner, inner2 };
}

async function repaired(hosts: TestHosts): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if (inNetns(hosts.host, ["nft", "list", "map", "inet", "nyx_nyxbr0", "any6"]).stdout.includes("8080")) return;
    await new Promise((r) => setTimeout(r, 50));
  }
  throw new Error("The rules did not come back");
}

Deno.test("reachability: the whole table, fresh, after a flush, after the daemon died, and after a reconnect", async () => {
  await using hosts = new TestHosts();
  const { worker } = await startNetwork(hosts, NETWORKS);
  const scene = await setTheScene(hosts, worker);
  await holds(scene, "fresh");

  mustInNetns(hosts.host, ["nft", "flush", "ruleset"]);
  await repaired(hosts);
  await holds(scene, "after a flush");

  await worker.kill();
  const live = [scene.web, scene.peer, scene.far, scene.inner, scene.inner2].map((c) => c.id);
  const again = await startNetwork(hosts, NETWORKS, live);
  assert.deepEqual(again.warnings, []);
  await holds(scene, "after a restart");

  const { id } = scene.web;
  const change = (attachments: { network: string }[]) =>
    again.worker.call("change", { id, name: "web", attachments, ports: PORTS });
  assert.deepEqual((await change([])).ports, []);
  const back = await change([{ network: "nyx" }]);
  const [endpoint] = back.endpoints;
  scene.web = { ...scene.web, ...back, ip: endpoint?.ip ?? "", ip6: endpoint?.ip6 ?? "" };
  await holds(scene, "after a reconnect");
});
