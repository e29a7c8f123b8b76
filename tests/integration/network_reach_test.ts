/**
 * Who reaches what, as a table: each row is tried by a real connection, also the ones that must fail. Servers answer with the
 * address they see the client at, so that a row also says whether the client's address was kept.
 */

import assert from "node:assert/strict";
import { answer, ask, DUAL, hears, NET, place, startNetwork } from "../support/net_fixture.ts";
import { HOST_IP, inNetns, LAN_IP, mustInNetns, TestHosts } from "../support/net_hosts.ts";

Deno.test("published ports are reachable from loopback, host addresses, the LAN and containers, as the table says", async () => {
  await using hosts = new TestHosts();
  const { worker, warnings } = await startNetwork(hosts);
  assert.deepEqual(warnings, []);
  const web = await place(worker, "web", [
    { hostPort: 8080, containerPort: 80 },
    { hostPort: 5353, containerPort: 53, protocol: "udp" },
    { hostIp: "127.0.0.1", hostPort: 8081, containerPort: 80 },
    { hostIp: "127.0.0.1", hostPort: 5354, containerPort: 53, protocol: "udp" },
    { hostIp: HOST_IP, hostPort: 8082, containerPort: 80 },
    { hostPort: 7000, containerPort: 7000, count: 3 },
    { hostPort: 7100, containerPort: 7000, count: 3 },
    { hostPort: 7000, containerPort: 7000, count: 3, protocol: "udp" },
  ]);
  const other = await place(worker, "other", []);
  await answer(hosts, web.netnsPath, "web", ["80/tcp", "53/udp", "7002/tcp", "7001/udp", "90/tcp"]);
  const gateway = "10.88.0.1";
  const { host, lan } = hosts;
  // A neighbour that routes loopback and the container subnet to the machine: what an attacker on the LAN would do.
  mustInNetns(lan, [
    "sh",
    "-c",
    `ip route add 10.88.0.0/16 via ${HOST_IP}
    sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1
    ip route add 127.0.0.1/32 via ${HOST_IP} dev eth0 table 7 src ${LAN_IP}
    ip rule add pref 0 to 127.0.0.1 dport 8081 table 7; ip rule add pref 0 to 127.0.0.1 dport 5354 table 7
    ip rule del pref 0 lookup local; ip rule add pref 1 lookup local`,
  ]);
  const web80 = (from: string) => `web ${from}`;
  const rows: [string, string, "tcp" | "udp", string, number, string][] = [
    ["loopback, all addresses", host, "tcp", "127.0.0.1", 8080, web80(gateway)],
    ["loopback, all addresses", host, "udp", "127.0.0.1", 5353, web80(gateway)],
    ["loopback, published on loopback", host, "tcp", "127.0.0.1", 8081, web80(gateway)],
    ["loopback, published on loopback", host, "udp", "127.0.0.1", 5354, web80(gateway)],
    ["loopback, published on the LAN address", host, "tcp", "127.0.0.1", 8082, "-"],
    ["host's own address", host, "tcp", HOST_IP, 8080, web80(HOST_IP)],
    ["host's own address", host, "udp", HOST_IP, 5353, web80(HOST_IP)],
    ["host's own address, published on it", host, "tcp", HOST_IP, 8082, web80(HOST_IP)],
    ["host's own address, published on loopback", host, "tcp", HOST_IP, 8081, "-"],
    ["host's own address, published on loopback", host, "udp", HOST_IP, 5354, "-"],
    ["gateway address", host, "tcp", gateway, 8080, web80(gateway)],
    ["host to the container itself", host, "tcp", web.ip, 90, web80(gateway)],
    ["LAN: the client's address is kept", lan, "tcp", HOST_IP, 8080, web80(LAN_IP)],
    ["LAN: the client's address is kept", lan, "udp", HOST_IP, 5353, web80(LAN_IP)],
    ["LAN, published on the LAN address", lan, "tcp", HOST_IP, 8082, web80(LAN_IP)],
    ["LAN, range with equal ports", lan, "tcp", HOST_IP, 7002, web80(LAN_IP)],
    ["LAN, range with equal ports", lan, "udp", HOST_IP, 7001, web80(LAN_IP)],
    ["LAN, range with shifted ports", lan, "tcp", HOST_IP, 7102, web80(LAN_IP)],
    ["LAN, behind the range", lan, "tcp", HOST_IP, 7003, "-"],
    ["LAN, published on loopback", lan, "tcp", HOST_IP, 8081, "-"],
    ["LAN, published on loopback", lan, "udp", HOST_IP, 5354, "-"],
    ["LAN, routes 127.0.0.1 to the host", lan, "tcp", "127.0.0.1", 8081, "-"],
    ["LAN, routes 127.0.0.1 to the host", lan, "udp", "127.0.0.1", 5354, "-"],
    ["LAN, routes the subnet to the host: unpublished port", lan, "tcp", web.ip, 90, "-"],
    ["LAN, routes the subnet to the host: loopback-published port", lan, "tcp", web.ip, 80, "-"],
    ["container to container", other.netnsPath, "tcp", web.ip, 80, web80(other.ip)],
    ["container to container", other.netnsPath, "udp", web.ip, 53, web80(other.ip)],
    ["container to another's published port", other.netnsPath, "tcp", HOST_IP, 8080, web80(gateway)],
    ["container to another's published port", other.netnsPath, "udp", HOST_IP, 5353, web80(gateway)],
    ["container to another's published port by the gateway", other.netnsPath, "tcp", gateway, 8080, web80(gateway)],
    ["container to its own published port", web.netnsPath, "tcp", HOST_IP, 8080, web80(gateway)],
    ["container to its own published port", web.netnsPath, "udp", HOST_IP, 5353, web80(gateway)],
    ["container to its own published port by the gateway", web.netnsPath, "tcp", gateway, 8080, web80(gateway)],
    ["container to a port published on the host's loopback", other.netnsPath, "tcp", HOST_IP, 8081, "-"],
  ];
  const outcomes = await Promise.allSettled(
    rows.map(([what, from, protocol, address, port, expected]) =>
      hears(from, protocol, address, port, expected, `${what}: ${protocol} ${address}:${port}`)
    ),
  );
  const wrong = outcomes.flatMap((o) => o.status === "rejected" ? [(o.reason as Error).message] : []);
  assert.deepEqual(wrong, []);
});

Deno.test("a loopback-published port hears nothing from the wire: the neighbour's packet to 127.0.0.1 arrives and is dropped", async () => {
  await using hosts = new TestHosts();
  const { worker } = await startNetwork(hosts);
  const web = await place(worker, "web", [{ hostIp: "127.0.0.1", hostPort: 8081, containerPort: 80 }]);
  await answer(hosts, web.netnsPath, "web", ["80/tcp"]);
  // The attack goes through for real: with nyx's first chain out of the way it reaches the container.
  mustInNetns(hosts.lan, [
    "sh",
    "-c",
    `sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1
    ip route add 127.0.0.1/32 via ${HOST_IP} dev eth0 table 7 src ${LAN_IP}
    ip rule add pref 0 to 127.0.0.1 dport 8081 table 7
    ip rule del pref 0 lookup local; ip rule add pref 1 lookup local`,
  ]);
  await hears(hosts.lan, "tcp", "127.0.0.1", 8081, "-");
  await worker.kill();
  mustInNetns(hosts.host, ["nft", "flush", "chain", "inet", "nyx_nyxbr0", "early"]);
  await hears(hosts.lan, "tcp", "127.0.0.1", 8081, `web ${LAN_IP}`, "the attack itself must work");
});

Deno.test("containers go out with the host's address, and take over no traffic to other hosts", async () => {
  await using hosts = new TestHosts();
  const { worker } = await startNetwork(hosts);
  const web = await place(worker, "web", [{ hostPort: 8080, containerPort: 80 }]);
  const other = await place(worker, "other", []);
  await answer(hosts, web.netnsPath, "web", ["80/tcp"]);
  await answer(hosts, hosts.lan, "lan", ["8080/tcp", "5353/udp"]);
  // Port 8080 of the neighbour stays the neighbour's, from the host and from a container.
  await hears(hosts.host, "tcp", LAN_IP, 8080, `lan ${HOST_IP}`);
  await hears(other.netnsPath, "tcp", LAN_IP, 8080, `lan ${HOST_IP}`);
  await hears(other.netnsPath, "udp", LAN_IP, 5353, `lan ${HOST_IP}`);
  assert.equal(inNetns(other.netnsPath, ["ping", "-c1", "-W1", "-q", LAN_IP]).code, 0);
});

Deno.test("a container cannot reach the services on the host's loopback by way of route_localnet on the bridge", async () => {
  await using hosts = new TestHosts();
  const { worker } = await startNetwork(hosts);
  const evil = await place(worker, "evil", []);
  hosts.serve(hosts.host, ["socat", "TCP4-LISTEN:9000,bind=127.0.0.1,fork,reuseaddr", "SYSTEM:read x; echo secret"]);
  await new Promise((resolve) => setTimeout(resolve, 150));
  await hears(hosts.host, "tcp", "127.0.0.1", 9000, "secret");
  // A container with NET_ADMIN sends to 127.0.0.1 through the gateway.
  mustInNetns(evil.netnsPath, [
    "sh",
    "-c",
    `sysctl -qw net.ipv4.conf.all.route_localnet=1
    ip rule add pref 1 lookup local; ip rule del pref 0 lookup local
    ip route add 127.0.0.1/32 via 10.88.0.1 dev eth0 table 7 src ${evil.ip}; ip rule add pref 0 to 127.0.0.1 dport 9000 table 7`,
  ]);
  await hears(evil.netnsPath, "tcp", "127.0.0.1", 9000, "-");
  await worker.kill();
  mustInNetns(hosts.host, ["nft", "flush", "chain", "inet", "nyx_nyxbr0", "early"]);
  await hears(evil.netnsPath, "tcp", "127.0.0.1", 9000, "secret", "the attack itself must work");
});

Deno.test("networks are isolated from one another but for published ports; an internal network has no way out", async () => {
  await using hosts = new TestHosts();
  const second = { ...NET, name: "second", bridge: "nyxbr1", subnet: "10.89.0.0/24", gateway: "10.89.0.1" };
  const closed = {
    ...NET,
    name: "closed",
    bridge: "nyxbr2",
    subnet: "10.90.0.0/24",
    gateway: "10.90.0.1",
    internal: true,
  };
  const worker = (await startNetwork(hosts, [NET, second, closed])).worker;
  const web = await place(worker, "web", [{ hostPort: 8080, containerPort: 80 }]);
  const far = await place(worker, "far", [], ["second"]);
  const inner = await place(worker, "inner", [], ["closed"]);
  const inner2 = await place(worker, "inner2", [], ["closed"]);
  await answer(hosts, web.netnsPath, "web", ["80/tcp"]);
  await answer(hosts, inner.netnsPath, "inner", ["80/tcp"]);
  await answer(hosts, hosts.lan, "lan", ["80/tcp"]);
  await hears(far.netnsPath, "tcp", web.ip, 80, "-");
  await hears(far.netnsPath, "tcp", HOST_IP, 8080, "web 10.88.0.1");
  await hears(far.netnsPath, "tcp", LAN_IP, 80, `lan ${HOST_IP}`);
  await hears(inner2.netnsPath, "tcp", inner.ip, 80, `inner ${inner2.ip}`);
  mustInNetns(inner.netnsPath, ["ip", "route", "add", "default", "via", "10.90.0.1"]);
  await hears(inner.netnsPath, "tcp", LAN_IP, 80, "-");
  await hears(inner.netnsPath, "tcp", web.ip, 80, "-");
  await hears(web.netnsPath, "tcp", inner.ip, 80, "-");
});

Deno.test("UDP clients that sent before the port was published, or to a container that is gone, are served by the one of now", async () => {
  await using hosts = new TestHosts();
  const { worker } = await startNetwork(hosts);
  // One client socket that keeps sending: the kernel would go on with its old connection entry.
  hosts.serve(hosts.lan, [
    "sh",
    "-c",
    `while :; do echo x; sleep 0.05; done | socat -u - UDP4-SENDTO:${HOST_IP}:5353,bind=${LAN_IP}:40000`,
  ]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const heard = async (netns: string): Promise<string> => {
    const child = new Deno.Command("nsenter", {
      args: [
        `--net=${netns}`,
        "--",
        "timeout",
        "2",
        "socat",
        "-u",
        "UDP4-RECVFROM:53",
        "SYSTEM:read line; echo $SOCAT_PEERADDR >&2",
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    return new TextDecoder().decode((await child.output()).stderr).trim();
  };
  for (const name of ["first", "second"]) {
    const c = await place(worker, name, [{ hostPort: 5353, containerPort: 53, protocol: "udp" }]);
    assert.equal(await heard(c.netnsPath), LAN_IP, name);
    await worker.call("teardown", { id: c.id });
    await worker.call("release", { id: c.id });
  }
});

Deno.test("hairpin works whether or not bridged frames pass the IP hooks (br_netfilter)", async () => {
  for (const callIptables of ["0", "1"]) {
    await using hosts = new TestHosts();
    const hook = "net.bridge.bridge-nf-call-iptables";
    if (inNetns(hosts.host, ["sysctl", "-qw", `${hook}=${callIptables}`]).code !== 0) continue;
    const { worker } = await startNetwork(hosts);
    const web = await place(worker, "web", [{ hostPort: 8080, containerPort: 80 }]);
    const other = await place(worker, "other", []);
    await answer(hosts, web.netnsPath, "web", ["80/tcp"]);
    await hears(web.netnsPath, "tcp", HOST_IP, 8080, "web 10.88.0.1", `itself, ${hook}=${callIptables}`);
    await hears(other.netnsPath, "tcp", HOST_IP, 8080, "web 10.88.0.1", `another, ${hook}=${callIptables}`);
    await hears(other.netnsPath, "tcp", web.ip, 80, `web ${other.ip}`, `direct, ${hook}=${callIptables}`);
  }
});

Deno.test("a dual-stack network publishes on both families with one ephemeral port, and keeps IPv6 clients' addresses", async () => {
  await using hosts = new TestHosts();
  const worker = (await startNetwork(hosts, [DUAL])).worker;
  const web = await place(worker, "web", [
    { hostPort: 8080, containerPort: 80 },
    { hostPort: 0, containerPort: 80 },
    { hostPort: 7000, containerPort: 7000, count: 5 },
    { hostIp: "fd77::1", hostPort: 8082, containerPort: 80 },
  ]);
  const other = await place(worker, "other", []);
  const [ephemeral4, ephemeral6] = web.ports.filter((p) => p.hostPort >= 32768);
  assert.deepEqual([ephemeral4?.hostIp, ephemeral6?.hostIp], ["0.0.0.0", "::"]);
  assert.equal(ephemeral4?.hostPort, ephemeral6?.hostPort);
  for (const port of ["80", "7003"]) {
    hosts.serve(web.netnsPath, [
      "socat",
      `TCP6-LISTEN:${port},fork,reuseaddr`,
      "SYSTEM:read x; echo web $SOCAT_PEERADDR",
    ]);
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
  const ask6 = async (netns: string, address: string, port: number, attempts = 5): Promise<string> => {
    for (let i = 0; i < attempts; i++) {
      const heard = await ask(netns, "tcp", address, port);
      if (heard !== "-") return heard;
    }
    return "-";
  };
  const webIp6 = web.endpoints[0]?.ip6 ?? "";
  mustInNetns(hosts.lan, ["ip", "-6", "route", "add", "fd00:88::/64", "via", "fd77::1"]);
  assert.deepEqual({
    own: await ask6(hosts.host, "fd77::1", 8080),
    lan: await ask6(hosts.lan, "fd77::1", 8080),
    ephemeral: await ask6(hosts.lan, "fd77::1", ephemeral6?.hostPort ?? 0),
    address: await ask6(hosts.lan, "fd77::1", 8082),
    range: await ask6(hosts.lan, "fd77::1", 7003),
    itself: await ask6(web.netnsPath, "fd77::1", 8080),
    another: await ask6(other.netnsPath, "fd77::1", 8080),
    direct: await ask6(other.netnsPath, webIp6, 80),
    unpublished: await ask6(hosts.lan, webIp6, 80, 1),
    v4: (await ask(hosts.lan, "tcp", HOST_IP, 8080)).split(" ")[0],
    out: inNetns(other.netnsPath, ["ping", "-c1", "-W1", "-q", "fd77::2"]).code,
  }, {
    own: "web fd77::1",
    lan: "web fd77::2",
    ephemeral: "web fd77::2",
    address: "web fd77::2",
    range: "web fd77::2",
    itself: "web fd00:88::1",
    another: "web fd00:88::1",
    direct: "web fd00:88::3",
    unpublished: "-",
    v4: "web",
    out: 0,
  });
});

Deno.test("a host without IPv4 on its LAN: containers of a dual-stack network are reached, and get out, by IPv6", async () => {
  await using hosts = new TestHosts();
  mustInNetns(hosts.host, ["ip", "-4", "addr", "flush", "dev", "up0"]);
  mustInNetns(hosts.lan, ["ip", "-4", "addr", "flush", "dev", "eth0"]);
  const sysctl = (key: string) => mustInNetns(hosts.host, ["sysctl", "-n", `net.ipv6.conf.${key}`]).trim();
  // As on a host whose address and default route come from its router: with forwarding on, 1 would mean to listen no more.
  assert.deepEqual([sysctl("up0.accept_ra"), sysctl("all.forwarding")], ["1", "0"]);
  const { worker, warnings } = await startNetwork(hosts, [DUAL]);
  assert.deepEqual(warnings, []);
  const web = await place(worker, "web", [{ hostPort: 8080, containerPort: 80 }]);
  await answer(hosts, web.netnsPath, "web", ["80/tcp"], true);
  await answer(hosts, hosts.lan, "lan", ["80/tcp", "53/udp"], true);
  await hears(hosts.lan, "tcp", "fd77::1", 8080, "web fd77::2");
  await hears(web.netnsPath, "tcp", "fd77::2", 80, "lan fd77::1");
  await hears(web.netnsPath, "udp", "fd77::2", 53, "lan fd77::1");
  await hears(hosts.host, "tcp", "127.0.0.1", 8080, "web 10.88.0.1");
  const after = ["up0.accept_ra", "all.forwarding", "nyxbr0.accept_ra"].map(sysctl);
  assert.deepEqual(after, ["2", "1", "0"], "the host lost its uplink, or listens to containers");
});
