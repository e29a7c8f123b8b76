/** The CNI worker against the real plugins of Debian's containernetworking-plugins, on a host of its own. */

import assert from "node:assert/strict";
import { CniHost, NYX } from "../support/cni_host.ts";
import { inNetns, LAN_IP, mustInNetns, type NetworkWorker, randomId } from "../support/net_hosts.ts";
import type { NetworkAttachment, PortMapping } from "../../daemon/spec/container.ts";

interface Setup {
  id?: string;
  attachments?: NetworkAttachment[];
  ports?: PortMapping[];
}

async function setup(worker: NetworkWorker, name: string, options: Setup = {}) {
  const { id = randomId(), attachments = [], ports = [] } = options;
  const result = await worker.call("setup", { id, name, mode: "bridge", attachments, ports, sysctls: {} });
  return { id, ...result };
}

/** Whether a server at an address, reached from a namespace, says what it is to say. */
async function says(from: string, address: string, text: string, tries = 40): Promise<boolean> {
  for (let i = 0; i < tries; i++) {
    const { stdout } = inNetns(from, ["socat", "-u", `TCP:${address},connect-timeout=2`, "-"]);
    if (stdout.trim() === text) return true;
    await new Promise((r) => setTimeout(r, 50));
  }
  return false;
}

function serve(host: CniHost, netns: string, text: string): void {
  host.hosts.serve(netns, ["socat", "TCP6-LISTEN:80,fork,reuseaddr,ipv6only=0", `SYSTEM:echo ${text}`]);
}

const pings = (netns: string, ip: string) => inNetns(netns, ["ping", "-c1", "-W1", ip]).code === 0;

Deno.test("setup: address, route and MAC as asked, a published port for the LAN and for the host; teardown leaves nothing", async () => {
  await using host = new CniHost();
  const { worker } = await host.start();
  const attachments = [{ network: "nyx", ip: "10.66.0.9", mac: "02:00:00:00:00:77" }];
  const ports = [{ hostPort: 8080, containerPort: 80 }, { hostIp: "127.0.0.1", hostPort: 8081, containerPort: 80 }];
  const { id, netnsPath, endpoints, gatewayNetwork } = await setup(worker, "web", { attachments, ports });
  assert.deepEqual(endpoints, [{
    network: "nyx",
    interface: "eth0",
    ip: "10.66.0.9",
    prefix: 24,
    gateway: "10.66.0.1",
    mac: "02:00:00:00:00:77",
  }]);
  assert.equal(gatewayNetwork, "nyx");
  assert.match(mustInNetns(netnsPath, ["ip", "-o", "addr"]), /eth0 +inet 10\.66\.0\.9\/24/);
  assert.match(mustInNetns(netnsPath, ["ip", "link"]), /02:00:00:00:00:77/);
  assert.match(mustInNetns(netnsPath, ["ip", "route"]), /^default via 10\.66\.0\.1 dev eth0/);
  serve(host, netnsPath, "web");
  const { host: here, lan } = host.hosts;
  assert.ok(await says(lan, "192.168.77.1:8080", "web"), "a neighbour reaches the published port");
  assert.ok(await says(here, "127.0.0.1:8080", "web"), "the host reaches it");
  assert.ok(await says(here, "127.0.0.1:8081", "web"), "the host reaches a port of its loopback address");
  assert.equal(inNetns(lan, ["socat", "-u", "TCP:192.168.77.1:8081,connect-timeout=1", "-"]).stdout, "");
  const again = await setup(worker, "web", { id, attachments, ports });
  assert.deepEqual(again.endpoints, endpoints, "a repeated set-up finds the first");
  assert.deepEqual(host.leases("nyx"), ["10.66.0.9"]);

  await worker.call("teardown", { id });
  assert.deepEqual([host.leases("nyx"), host.cached(), host.veths(), host.traces("10.66.0.9")], [[], [], [], []]);
  assert.deepEqual(host.traces(id.slice(0, 12)), []);
  await worker.call("release", { id });
  await worker.call("teardown", { id });
  await worker.call("shutdown", { keepNetworks: false });
  assert.doesNotMatch(host.run("ip", "-br", "link"), /nyxcni0/);
  assert.doesNotMatch(host.run("nft", "list", "tables"), /nyx/);
});

Deno.test("both families: addresses, routes and one published port for each, by the real host-local and portmap", async () => {
  await using host = new CniHost();
  const six = { ...NYX, subnet6: "fd66::/64", gateway6: "fd66::1" };
  const { worker } = await host.start({ networks: [six] });
  const web = await setup(worker, "web", { ports: [{ hostPort: 8080, containerPort: 80 }] });
  const [endpoint] = web.endpoints;
  assert.deepEqual([endpoint?.ip, endpoint?.ip6, endpoint?.gateway6], ["10.66.0.2", "fd66::2", "fd66::1"]);
  assert.deepEqual(web.ports.map((p) => p.hostIp), ["0.0.0.0", "::"]);
  serve(host, web.netnsPath, "web");
  assert.ok(await says(host.hosts.lan, "192.168.77.1:8080", "web"));
  assert.ok(await says(host.hosts.lan, "[fd77::1]:8080", "web"));
  const { cni } = await worker.call("facts", { id: web.id, protocol: "tcp", hostPort: 8080 });
  assert.deepEqual(cni, { plugins: ["bridge", "portmap", "firewall", "tuning"], problems: [] });
  await worker.call("teardown", { id: web.id });
  assert.deepEqual([...host.traces("10.66.0.2"), ...host.traces("fd66::2")], []);
});

Deno.test("IPv6 alone: by a list with one range; ports, the outside, a second container; IPv4 host addresses are refused", async () => {
  await using host = new CniHost();
  const six = { name: "six", driver: "bridge", bridge: "nyxcni6", subnet6: "fd68::/64", gateway6: "fd68::1" } as const;
  const { worker } = await host.start({ networks: [NYX, six] });
  const attachments = [{ network: "six" }];
  const web = await setup(worker, "web", { attachments, ports: [{ hostPort: 8080, containerPort: 80 }] });
  const peer = await setup(worker, "peer", { attachments });
  const [endpoint] = web.endpoints;
  assert.deepEqual([endpoint?.ip, endpoint?.gateway, endpoint?.ip6, endpoint?.gateway6], [
    undefined,
    undefined,
    "fd68::2",
    "fd68::1",
  ]);
  assert.deepEqual(web.ports.map((p) => p.hostIp), ["::"]);
  assert.doesNotMatch(mustInNetns(web.netnsPath, ["ip", "-o", "-4", "addr"]), /eth0/);
  serve(host, web.netnsPath, "web");
  assert.ok(await says(host.hosts.lan, "[fd77::1]:8080", "web"), "a neighbour reaches the published port");
  assert.ok(await says(peer.netnsPath, "[fd68::2]:80", "web"), "another container");
  assert.ok(pings(peer.netnsPath, "fd77::2"), "out, with masquerade");
  const { cni } = await worker.call("facts", { id: web.id, protocol: "tcp", hostPort: 8080 });
  assert.deepEqual(cni?.problems, []);
  const ports = [{ hostIp: "127.0.0.1", hostPort: 8081, containerPort: 80 }];
  await assert.rejects(setup(worker, "no", { attachments, ports }), /IPv6 alone; publish on an IPv6 address/);
  for (const { id } of [web, peer]) await worker.call("teardown", { id });
  assert.deepEqual([host.leases("six"), host.traces("fd68::2"), host.veths()], [[], [], []]);
});

Deno.test("isolation: containers of one network meet, those of two do not but by published ports; internal ones get nowhere", async () => {
  await using host = new CniHost();
  const red = { ...NYX, name: "red", bridge: "nyxcni1", subnet: "10.67.0.0/24", gateway: "10.67.0.1" };
  const inner = { ...NYX, name: "in", bridge: "nyxcni2", subnet: "10.68.0.0/24", gateway: "10.68.0.1", internal: true };
  const { worker } = await host.start({ networks: [NYX, red, inner] });
  const a = await setup(worker, "a", { ports: [{ hostPort: 8080, containerPort: 80 }] });
  const b = await setup(worker, "b");
  const c = await setup(worker, "c", { attachments: [{ network: "red" }] });
  const d = await setup(worker, "d", { attachments: [{ network: "in" }] });
  const ip = (of: typeof a) => of.endpoints[0]?.ip ?? "";
  serve(host, a.netnsPath, "a");
  assert.ok(pings(b.netnsPath, ip(a)), "same network");
  assert.ok(!pings(c.netnsPath, ip(a)), "another network");
  assert.ok(await says(c.netnsPath, "192.168.77.1:8080", "a"), "another network, by the published port");
  assert.ok(await says(a.netnsPath, "192.168.77.1:8080", "a"), "its own published port");
  assert.ok(pings(a.netnsPath, LAN_IP) && pings(c.netnsPath, LAN_IP), "out, with masquerade");
  assert.ok(!pings(d.netnsPath, LAN_IP) && !pings(d.netnsPath, ip(a)), "an internal network leads nowhere");
  mustInNetns(d.netnsPath, ["ip", "route", "add", "default", "via", "10.68.0.1"]);
  assert.ok(!pings(d.netnsPath, LAN_IP), "nor with a route that the container makes itself");
  assert.equal(d.gatewayNetwork, undefined);
});

Deno.test("ports: a taken one is refused at reservation with its holder; too many for iptables are refused", async () => {
  await using host = new CniHost();
  const { worker } = await host.start();
  const ports = [{ hostPort: 8080, containerPort: 80 }];
  const attachments = [{ network: "nyx" }];
  const [one, two] = [randomId(), randomId()];
  await worker.call("reserve", { id: one, name: "one", attachments, ports });
  await assert.rejects(worker.call("reserve", { id: two, name: "two", attachments, ports }), /container one has/);
  const many = [{ hostPort: 10_000, containerPort: 10_000, count: 2000 }];
  await assert.rejects(worker.call("reserve", { id: two, name: "two", attachments, ports: many }), /1024 is the most/);
  const range = [{ hostPort: 9000, containerPort: 9000, count: 3, protocol: "udp" as const }];
  const { id } = await setup(worker, "range", { ports: range });
  assert.equal(host.traces("--dport 9002").length, 3);
  await worker.call("teardown", { id });
  assert.deepEqual(host.traces("--dport 9002"), []);
});

Deno.test("change: a running container joins and leaves networks; what CNI has no words for is refused and changes nothing", async () => {
  await using host = new CniHost();
  const red = { ...NYX, name: "red", bridge: "nyxcni1", subnet: "10.67.0.0/24", gateway: "10.67.0.1" };
  const { worker } = await host.start({ networks: [NYX, red] });
  const ports = [{ hostPort: 8080, containerPort: 80 }];
  const web = await setup(worker, "web", { ports });
  const { id, netnsPath } = web;
  const change = (attachments: NetworkAttachment[], published = ports) =>
    worker.call("change", { id, name: "web", attachments, ports: published });
  const both = await change([{ network: "nyx" }, { network: "red" }]);
  assert.deepEqual(both.endpoints.map((e) => [e.network, e.interface, e.ip]), [
    ["nyx", "eth0", "10.66.0.2"],
    ["red", "eth1", "10.67.0.2"],
  ]);
  assert.equal(mustInNetns(netnsPath, ["ip", "route", "show", "default"]).trim().split("\n").length, 1);
  await assert.rejects(
    change([{ network: "red" }]),
    /published ports lead to network nyx.*while the container is stopped/,
  );
  const higher = [{ network: "nyx" }, { network: "red", gatewayPriority: 5 }];
  await assert.rejects(change(higher), /higher gateway priority.*while the container is stopped/);
  const more = [...ports, { hostPort: 8081, containerPort: 81 }];
  await assert.rejects(change([{ network: "nyx" }], more), /portmap.*while the container is stopped/);
  assert.equal(host.cached().length, 2);
  const one = await change([{ network: "nyx" }]);
  assert.deepEqual(one.endpoints, web.endpoints);
  assert.deepEqual([host.leases("red"), host.cached().length], [[], 1]);
  await worker.call("teardown", { id });

  const plain = await setup(worker, "plain");
  const moved = await worker.call("change", {
    id: plain.id,
    name: "plain",
    attachments: [{ network: "red" }],
    ports: [],
  });
  assert.equal(moved.gatewayNetwork, "red");
  assert.match(mustInNetns(plain.netnsPath, ["ip", "route"]), /^default via 10\.67\.0\.1 dev eth1/);
  assert.ok(pings(plain.netnsPath, LAN_IP), "the way out leads through the network that is left");
  await worker.call("teardown", { id: plain.id });
  assert.deepEqual([host.veths(), host.cached()], [[], []]);
});

Deno.test("kill -9 of the worker: what ran is adopted, what did not is detached with the configuration that attached it", async () => {
  await using host = new CniHost();
  const first = await host.start();
  const ports = [{ hostPort: 8080, containerPort: 80 }];
  const live = await setup(first.worker, "live", { ports });
  const dead = await setup(first.worker, "dead", { ports: [{ hostPort: 8090, containerPort: 80 }] });
  await first.worker.kill();
  const { worker, init } = await host.start({ live: [live.id], known: [live.id, dead.id] });
  assert.deepEqual(init.removed, [dead.id]);
  assert.deepEqual(init.attached, [{ id: live.id, networks: ["nyx"], ports: live.ports }]);
  assert.deepEqual(host.leases("nyx"), ["10.66.0.2"]);
  assert.deepEqual([...host.traces("10.66.0.3"), ...host.traces("8090")], []);
  const again = await setup(worker, "live", { id: live.id, ports });
  assert.deepEqual(again.endpoints, live.endpoints);
  serve(host, live.netnsPath, "live");
  assert.ok(await says(host.hosts.lan, "192.168.77.1:8080", "live"));
  await worker.call("teardown", { id: live.id });
  assert.deepEqual([host.leases("nyx"), host.cached(), host.veths(), host.traces("10.66.0.2")], [[], [], [], []]);
});

Deno.test("kill -9 between any two plugins, of ADD and of DEL: the next worker leaves nothing", async () => {
  await using host = new CniHost();
  const { baseDir } = host.hosts;
  // Kills the worker when it is its turn, before the plugins that follow.
  const killer = (name: string) =>
    host.plugin(
      name,
      `case $CNI_COMMAND in VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}'; exit;; esac
if [ "$(cat ${baseDir}/at)" = "$CNI_COMMAND ${name}" ]; then kill -9 $PPID; exit 1; fi
[ $CNI_COMMAND != ADD ] || sed 's/.*"prevResult"://; s/}$//'`,
    );
  for (const name of ["k1", "k2"]) killer(name);
  const ipam = { type: "host-local", dataDir: `${baseDir}/network/cni/ipam`, subnet: "10.70.0.0/24" };
  const bridge = { type: "bridge", bridge: "cnikill", isGateway: true, ipMasq: true, ipam };
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  const plugins = [bridge, { type: "k1" }, portmap, { type: "k2" }];
  host.conf("kill.conflist", { cniVersion: "1.0.0", name: "kill", plugins });
  const options = { attachments: [{ network: "kill" }], ports: [{ hostPort: 8080, containerPort: 80 }] };
  for (const at of ["ADD k1", "ADD k2", "DEL k2", "DEL k1"]) {
    Deno.writeTextFileSync(`${baseDir}/at`, at);
    const { worker } = await host.start();
    const id = randomId();
    const first = setup(worker, "doomed", { id, ...options });
    if (at.startsWith("ADD")) await assert.rejects(first, /process ended/);
    else {
      await first;
      await assert.rejects(worker.call("teardown", { id }), /process ended/);
    }
    assert.equal(host.cached().length, 1, at);
    Deno.writeTextFileSync(`${baseDir}/at`, "");
    const { worker: next, init } = await host.start({ known: [id] });
    assert.deepEqual(init.removed, [id], at);
    assert.deepEqual([host.leases("kill"), host.cached(), host.veths(), host.traces("10.70.0.")], [[], [], [], []], at);
    const again = await setup(next, "doomed", { id, ...options });
    assert.equal(again.ports[0]?.hostPort, 8080);
    await next.call("teardown", { id });
    await next.kill();
  }
});

Deno.test("repair: a flushed rule set and a deleted bridge come back, with the rules that plugins made and the containers' ports", async () => {
  await using host = new CniHost();
  const { worker } = await host.start();
  const web = await setup(worker, "web", { ports: [{ hostPort: 8080, containerPort: 80 }] });
  const other = await setup(worker, "other");
  serve(host, web.netnsPath, "web");
  assert.ok(await says(host.hosts.lan, "192.168.77.1:8080", "web"));
  host.run("nft", "flush", "ruleset");
  assert.ok(await says(host.hosts.lan, "192.168.77.1:8080", "web"), "the published port is back");
  const accepts = () => host.traces("-s 10.66.0.2/32 -j ACCEPT").length;
  for (let i = 0; i < 100 && accepts() === 0; i++) await new Promise((r) => setTimeout(r, 50));
  assert.equal(accepts(), 1, "and firewall's rule");
  await new Promise((r) => setTimeout(r, 1500));
  host.run("iptables", "-t", "nat", "-F");
  host.run("iptables", "-F");
  assert.deepEqual(host.traces("10.66.0.2"), []);
  assert.ok(await says(host.hosts.lan, "192.168.77.1:8080", "web", 200), "also after a reload of the firewall alone");
  host.run("ip", "link", "del", "nyxcni0");
  let reached = false;
  for (let i = 0; i < 100 && !reached; i++) reached = pings(other.netnsPath, web.endpoints[0]?.ip ?? "");
  assert.ok(reached, "containers of the network meet again");
  await worker.call("teardown", { id: web.id });
  await worker.call("teardown", { id: other.id });
  assert.deepEqual([host.traces("10.66.0."), host.veths()], [[], []]);
});

Deno.test("CHECK: what somebody takes away from plugins' work is told by facts", async () => {
  await using host = new CniHost();
  const { worker } = await host.start();
  const { id, netnsPath } = await setup(worker, "web", { ports: [{ hostPort: 8080, containerPort: 80 }] });
  const problems = async () => (await worker.call("facts", { id, protocol: "tcp" })).cni?.problems ?? [];
  assert.deepEqual(await problems(), []);
  mustInNetns(netnsPath, ["ip", "addr", "flush", "dev", "eth0"]);
  assert.match((await problems()).join("\n"), /CNI plugin bridge for network "nyx" at CHECK failed \(code \d+\)/);
  const chain = host.traces("CNI-DN-")[0]?.match(/CNI-DN-[0-9a-f]+/)?.[0] ?? "";
  host.run("iptables", "-t", "nat", "-F", chain);
  assert.match((await problems()).join("\n"), /CNI plugin portmap for network "nyx" at CHECK failed/);
  await worker.call("teardown", { id });
});

for (const cniVersion of ["0.4.0", "1.0.0"]) {
  Deno.test(`networks of files, ${cniVersion}: bridge, ptp, macvlan and loopback with static and host-local addresses`, async () => {
    await using host = new CniHost();
    const ipam = (subnet: string) => ({
      type: "host-local",
      dataDir: `${host.hosts.baseDir}/network/cni/ipam`,
      subnet,
      routes: [{ dst: "0.0.0.0/0" }],
    });
    const dns = { nameservers: ["192.168.77.2"], search: ["lan.example"], options: ["ndots:3"] };
    const fixed = { type: "static", addresses: [{ address: "192.168.77.50/24", gateway: LAN_IP }] };
    const list = (name: string, ...plugins: unknown[]) => host.conf(`${name}.conflist`, { cniVersion, name, plugins });
    list("br", { type: "bridge", bridge: "cnibr", isGateway: true, ipMasq: true, ipam: ipam("10.71.0.0/24") }, {
      type: "portmap",
      capabilities: { portMappings: true },
    });
    list("pt", { type: "ptp", ipMasq: true, ipam: ipam("10.72.0.0/24") }, {
      type: "tuning",
      sysctl: { "net.core.somaxconn": "77" },
    });
    list("lan", { type: "macvlan", master: "up0", dns, ipam: fixed });
    list("lo", { type: "loopback" });
    const { worker, init } = await host.start();
    assert.deepEqual(init.discovered?.map((d) => [d.name, d.driver, d.ports]), [
      ["br", "bridge", true],
      ["lan", "macvlan", false],
      ["lo", "loopback", false],
      ["pt", "ptp", false],
    ]);
    const web = await setup(worker, "web", {
      attachments: [{ network: "br" }],
      ports: [{ hostPort: 8080, containerPort: 80 }],
    });
    serve(host, web.netnsPath, "web");
    assert.ok(await says(host.hosts.lan, "192.168.77.1:8080", "web"));
    const pt = await setup(worker, "pt", { attachments: [{ network: "pt" }] });
    assert.ok(pings(pt.netnsPath, LAN_IP));
    assert.equal(mustInNetns(pt.netnsPath, ["sysctl", "-n", "net.core.somaxconn"]).trim(), "77");
    const lan = await setup(worker, "lan", { attachments: [{ network: "lan" }, { network: "br" }] });
    assert.deepEqual([lan.dns, lan.endpoints[0]?.ip], [dns, "192.168.77.50"]);
    assert.ok(pings(host.hosts.lan, "192.168.77.50"));
    assert.match(mustInNetns(lan.netnsPath, ["ip", "route"]), /10\.71\.0\.0\/24 dev eth1/);
    await assert.rejects(setup(worker, "lo", { attachments: [{ network: "br" }, { network: "br" }] }), /twice/);
    const lo = await setup(worker, "lo", { attachments: [{ network: "lo" }] });
    assert.deepEqual(lo.endpoints.map((e) => [e.interface, e.ip]), [["lo", "127.0.0.1"]]);
    for (const { id } of [web, pt, lan, lo]) {
      assert.deepEqual((await worker.call("facts", { id, protocol: "tcp" })).cni?.problems, []);
      await worker.call("teardown", { id });
    }
    assert.deepEqual([host.leases("br"), host.leases("pt"), host.cached(), host.veths()], [[], [], [], []]);
  });
}

Deno.test("refused with the reason: ports, addresses, MACs and networks that plugins cannot give", async () => {
  await using host = new CniHost();
  host.conf("bare.conf", {
    cniVersion: "0.4.0",
    name: "bare",
    type: "ptp",
    ipam: { type: "host-local", dataDir: `${host.hosts.baseDir}/ipam`, subnet: "10.73.0.0/24" },
  });
  const { worker } = await host.start();
  const attempt = (attachment: NetworkAttachment, ports: PortMapping[] = []) =>
    setup(worker, "x", { attachments: [attachment], ports });
  await assert.rejects(
    attempt({ network: "bare" }, [{ hostPort: 80, containerPort: 80 }]),
    /network "bare".*ptp.*"portMappings"/,
  );
  await assert.rejects(attempt({ network: "bare", ip: "10.73.0.9" }), /fixed address 10\.73\.0\.9.*"ips"/);
  await assert.rejects(attempt({ network: "bare", mac: "02:00:00:00:00:01" }), /hardware address.*"mac"/);
  await assert.rejects(attempt({ network: "nyx", ip: "10.99.0.9" }), /network nyx has 10\.66\.0\.0\/24/);
  await assert.rejects(attempt({ network: "other" }), /Could not find network "other"/);
  const first = await setup(worker, "first", { attachments: [{ network: "nyx", ip: "10.66.0.9" }] });
  await assert.rejects(attempt({ network: "nyx", ip: "10.66.0.9" }), /CNI plugin bridge .*10\.66\.0\.9.*not available/);
  await worker.call("teardown", { id: first.id });
  assert.deepEqual([host.leases("nyx"), host.cached(), host.veths()], [[], [], []]);
  const named = await setup(worker, "named", { attachments: [{ network: "bare", aliases: ["db"] }] });
  assert.match(named.notices?.join("\n") ?? "", /by its aliases in network "bare"/);
  const known = await setup(worker, "known", { attachments: [{ network: "nyx", aliases: ["db"] }] });
  assert.equal(known.notices, undefined, "nyx's own resolver knows aliases");
  const none = await worker.call("setup", {
    id: randomId(),
    name: "none",
    mode: "none",
    attachments: [],
    ports: [],
    sysctls: {},
  });
  assert.deepEqual([none.endpoints, mustInNetns(none.netnsPath, ["ip", "-br", "link"]).trim().split("\n").length], [
    [],
    1,
  ]);
  for (const { id } of [named, known]) await worker.call("teardown", { id });
  assert.deepEqual(host.veths(), []);
  const call = worker.call("movePorts", { from: first.id, to: randomId(), ports: [] });
  await assert.rejects(call, /--net-driver native/);
});

Deno.test("twenty containers at once: no address twice, and none left afterwards", async () => {
  await using host = new CniHost();
  const { worker } = await host.start();
  const all = await Promise.all(Array.from({ length: 20 }, (_, i) => setup(worker, `c${i}`)));
  assert.equal(new Set(all.map((c) => c.endpoints[0]?.ip)).size, 20);
  assert.equal(host.leases("nyx").length, 20);
  await Promise.all(all.map(({ id }) => worker.call("teardown", { id })));
  assert.deepEqual([host.leases("nyx"), host.cached(), host.veths()], [[], [], []]);
});
