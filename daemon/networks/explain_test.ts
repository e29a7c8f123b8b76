import assert from "node:assert/strict";
import type { Container } from "../supervisor/container.ts";
import type { PathFacts } from "../../workers/protocol.ts";
import { explain, type ExplainSources, tryHostPort } from "./explain.ts";

const FACTS: PathFacts = {
  forwarding: { v4: true, v6: true },
  hostAddresses: ["127.0.0.1", "192.0.2.7"],
  hostListeners: [],
  elements: ["tcp . 8080 : 10.89.0.2 . 80"],
  table: true,
  container: {
    links: [{ network: "shop", interface: "eth0", up: true, attached: true, bridge: "nyx-1", bridgeUp: true }],
    listeners: ["0.0.0.0"],
  },
  obstacles: [],
};

const ENDPOINT = { network: "shop", interface: "eth0", ip: "10.89.0.2", prefix: 24, gateway: "10.89.0.1", mac: "" };

function web(status = "running", hostIp = "0.0.0.0"): Container {
  const ports = [{ hostIp, hostPort: 8080, containerPort: 80, count: 1, protocol: "tcp" }];
  const network = { netnsPath: "/n", endpoints: [ENDPOINT], gatewayNetwork: "shop", ports, warnings: [] };
  const record = { name: "web", spec: { networkMode: "shop" }, state: { pid: 7 }, ports, network };
  return { id: "c".repeat(64), name: "web", status, record } as unknown as Container;
}

function sources(facts: Partial<PathFacts>, container = web()): ExplainSources {
  return {
    users: { all: [container], find: () => container },
    network: { call: () => Promise.resolve({ ...FACTS, ...facts }) } as unknown as ExplainSources["network"],
    networks: () => undefined,
    problem: () => undefined,
  };
}

/** Sentences that stop a packet. */
async function stops(facts: Partial<PathFacts>, container = web(), target = "8080"): Promise<string[]> {
  const [path] = await explain(target, sources(facts, container));
  const found = path?.steps.filter((s) => s.verdict === "stop").map((s) => s.text) ?? ["no path"];
  assert.equal(path?.open, found.length === 0);
  return found;
}

Deno.test("tryHostPort: forms of a port, and what is none", () => {
  assert.deepEqual(tryHostPort("8080"), { port: 8080, protocol: "tcp" });
  assert.deepEqual(tryHostPort("127.0.0.1:53/udp"), { address: "127.0.0.1", port: 53, protocol: "udp" });
  assert.deepEqual(tryHostPort("[fd00::1]:80"), { address: "fd00::1", port: 80, protocol: "tcp" });
  for (const text of ["web", "0", "65536", "80/icmp", "1.2.3:80", "[1]:80"]) assert.equal(tryHostPort(text), undefined);
});

Deno.test("explain: each thing that can stop a packet is told, and nothing when nothing does", async () => {
  assert.deepEqual(await stops({}), []);
  const container = FACTS.container;
  const link = container?.links[0];
  assert.ok(container !== undefined && link !== undefined);
  const withLink = (change: Partial<typeof link>) => ({ container: { ...container, links: [{ ...link, ...change }] } });
  const cases: [Partial<PathFacts>, RegExp][] = [
    [{ forwarding: { v4: false, v6: true } }, /ip_forward is 0/],
    [{ table: false }, /table is missing or damaged/],
    [{ elements: [] }, /map has no element for 0\.0\.0\.0:8080\/tcp/],
    [{ elements: ["tcp . 8080 : 10.89.0.9 . 80"] }, /map has no element/],
    [{ obstacles: ["chain FORWARD of nftables table ip filter has policy drop: run x"] }, /^Chain FORWARD.*run x/],
    [withLink({ bridgeUp: false }), /nyx-1 is missing or down/],
    [withLink({ attached: false }), /is not on bridge nyx-1/],
    [withLink({ up: false }), /eth0 inside the container is down/],
    [{ container: { ...container, listeners: [] } }, /No program in the container listens on tcp port 80/],
    [{ container: { ...container, listeners: ["127.0.0.1"] } }, /its loopback address alone, not on 10\.89\.0\.2/],
  ];
  for (const [facts, message] of cases) {
    const found = await stops(facts);
    assert.equal(found.length, 1, `${message}: ${found.join(" | ")}`);
    assert.match(found[0] ?? "", message);
  }
});

Deno.test("explain: of two networks a port on IPv6 leads to the one with IPv6's way out, and each way is told", async () => {
  const six = { network: "six", interface: "eth1", ip6: "fd00:7::2", prefix6: 64, gateway6: "fd00:7::1", mac: "" };
  const container = web("running", "::");
  Object.assign(container.record.network ?? {}, { endpoints: [ENDPOINT, six], gatewayNetwork6: "six" });
  const links = ["shop", "six"].map((network, i) => ({
    network,
    interface: `eth${i}`,
    up: true,
    attached: true,
    bridge: `nyx-${i}`,
    bridgeUp: true,
  }));
  const facts = { elements: ["tcp . 8080 : fd00:7::2 . 80"], container: { links, listeners: ["::"] } };
  assert.deepEqual(await stops(facts, container), []);
  assert.match(
    (await stops({ ...facts, container: { links, listeners: ["::1"] } }, container)).join(),
    /listen on :: or fd00:7::2/,
  );
  const paths = await explain("web", sources(facts, container));
  const texts = paths.slice(1).map((p) => p.steps.map((s) => s.text).join(" "));
  assert.match(texts[0] ?? "", /at 10\.89\.0\.2\. .*through this network for IPv4\./);
  assert.match(texts[1] ?? "", /at fd00:7::2\. .*through this network for IPv6\./);
});

Deno.test("explain: state of the container, loopback publishing, addresses that are not the host's", async () => {
  assert.match((await stops({}, web("paused"))).join(), /nyx unpause web/);
  assert.match((await stops({}, web("exited"))).join(), /does not run \(exited\); run: nyx start web/);
  assert.deepEqual(await stops({}, web("running", "127.0.0.1"), "8080"), []);
  assert.match((await stops({}, web("running", "198.51.100.1"), "8080")).join(), /no address of this host/);
  assert.match((await stops({}, web("running", "127.0.0.1"), "192.0.2.7:8080")).join(), /no program of the host/i);
  assert.match((await stops({ hostListeners: [] }, web(), "9/udp")).join(), /No container publishes it/);
});
