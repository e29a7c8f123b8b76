/** Networks that users define, in a whole nyxd: isolation, names, live changes, survival, refusal. */

import assert from "node:assert/strict";
import type { NetworkInfo } from "../../mod.ts";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { startWorld } from "../support/world.ts";

const SLEEP = ["sleep", "1000"];
/** Answers every connection on port 80 with its own name. */
const SERVE = ["sh", "-c", "while true; do hostname | nc -l -p 80 >/dev/null; done"];

/** Asks for the name and the host again and again, until one of both fails. */
const PINGS = "while ping -c1 -W1 web >/dev/null; do echo answered; usleep 50000; done; echo lost; sleep 1000";

async function sh(nyxd: Nyxd, container: string, script: string): Promise<string> {
  const { stdout, stderr } = await nyxd.nyx(["exec", container, "sh", "-c", script]);
  return stdout + stderr;
}

/** What a TCP port of the host says first. */
async function hear(hostname: string, port: number): Promise<string> {
  for (let i = 0;; i++) {
    try {
      using conn = await Deno.connect({ hostname, port });
      const buffer = new Uint8Array(64);
      const n = await Promise.race([conn.read(buffer), new Promise<null>((r) => setTimeout(() => r(null), 1000))]);
      if (n !== null) return new TextDecoder().decode(buffer.subarray(0, n)).trim();
    } catch (e) {
      if (i === 20) return (e as Error).name;
    }
    if (i === 20) return "nothing";
    await new Promise((r) => setTimeout(r, 50));
  }
}

async function host(command: string): Promise<string> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", command], stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

async function addresses(nyxd: Nyxd, name: string): Promise<Record<string, string>> {
  const { network } = await nyxd.client.containers.inspect(name);
  return Object.fromEntries(network.endpoints.map((e) => [e.network, e.ip ?? ""]));
}

const pings = (target: string) => `ping -c1 -W1 ${target} 2>&1 | grep -c '1 packets received'`;

Deno.test("user networks: isolated from each other, with names of their own; static addresses, refusals, prune", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { containers, networks } = nyxd.client;
  const [red, blue] = [await networks.create({ name: "red" }), await networks.create({ name: "blue" })];
  assert.match(red.id, /^[0-9a-f]{64}$/);
  assert.match(red.bridge, /^nyx-[0-9a-f]{11}$/);
  assert.match(red.subnets[0]?.subnet ?? "", /^10\.(89|9[0-5])\.\d+\.0\/24$/);
  assert.notEqual(red.subnets[0]?.subnet, blue.subnets[0]?.subnet);
  for (const network of ["red", "blue"]) {
    const run = ["run", "-d", "--network", network, "--network-alias", "db", "--name", `db-${network}`, image];
    assert.equal((await nyxd.nyx([...run, ...SERVE])).code, 0);
    await containers.run({ image, name: `web-${network}`, networkMode: network, args: SLEEP });
  }
  const db = { red: (await addresses(nyxd, "db-red")).red ?? "", blue: (await addresses(nyxd, "db-blue")).blue ?? "" };
  for (const network of ["red", "blue"] as const) {
    const looked = await sh(nyxd, `web-${network}`, "ping -c1 -W1 db | head -1; cat /etc/resolv.conf");
    assert.ok(looked.includes(`(${db[network]})`), looked);
    assert.ok(looked.includes(`nameserver ${(network === "red" ? red : blue).subnets[0]?.gateway}\n`), looked);
  }
  assert.match(await sh(nyxd, "web-red", "ping -c1 -W1 web-blue"), /bad address/);
  assert.equal(await sh(nyxd, "web-red", pings(db.red)), "1\n");
  assert.equal(await sh(nyxd, "web-red", pings(db.blue)), "0\n", "a packet got from one network into the other");

  const both = await nyxd.nyx([
    "run",
    "-d",
    "--name",
    "both",
    "--network",
    "red",
    "--network",
    "blue",
    image,
    ...SLEEP,
  ]);
  assert.equal(both.code, 0, both.stderr);
  assert.equal(await sh(nyxd, "both", `${pings("db-red")}; ${pings("db-blue")}`), "1\n1\n");
  assert.match(await sh(nyxd, "both", "ip -o link"), /eth0.*eth1/s);
  assert.deepEqual(Object.keys(await addresses(nyxd, "both")), ["red", "blue"]);
  const rows = await containers.list({ all: true, filters: { network: ["blue"] } });
  assert.deepEqual(rows.map((r) => r.name).sort(), ["both", "db-blue", "web-blue"]);

  const taken = nyxd.client.containers.create({
    image,
    networkMode: "red",
    networks: [{ network: "red", ip: db.red }],
  });
  await assert.rejects(taken, { code: "already_exists", message: /container db-red has it/ });
  const outside = containers.create({ image, networks: [{ network: "red", ip: "192.0.2.1" }] });
  await assert.rejects(outside, { code: "invalid_argument", message: /must be a host address in/ });
  await assert.rejects(containers.create({ image, networkMode: "rde" }), {
    code: "not_found",
    message: /No such network: "rde"; did you mean "red"/,
  });
  await assert.rejects(containers.create({ image, networkMode: "none", networks: [{ network: "red" }] }), {
    code: "invalid_argument",
  });
  await containers.stop("db-blue", { timeoutS: 0 });
  await assert.rejects(networks.remove("blue"), {
    code: "failed_precondition",
    message: /containers .*db-blue.* use them?; disconnect or remove|containers .* use it/,
  });
  await assert.rejects(networks.remove("bridge"), { code: "failed_precondition", message: /daemon's own/ });
  await assert.rejects(networks.create({ name: "red" }), { code: "already_exists" });

  await networks.create({ name: "idle", labels: { stage: "test" } });
  await networks.create({ name: "spare" });
  assert.deepEqual((await networks.prune({ labels: ["stage=test"] })).removed, ["idle"]);
  assert.deepEqual((await networks.prune({ until: "2020-01-01T00:00:00Z" })).removed, []);
  assert.deepEqual((await networks.prune({ until: new Date(Date.now() + 1000).toISOString() })).removed, ["spare"]);
  await Promise.all(["db-blue", "web-blue", "both"].map((c) => containers.remove(c, { force: true })));
  const gone = await nyxd.nyx(["network", "rm", blue.id.slice(0, 12)]);
  assert.equal(gone.stdout, `${blue.id.slice(0, 12)}\n`, gone.stderr);
  assert.equal(await host(`ip -o link show ${blue.bridge}`), "");
  const actions = (await host(`cat ${nyxd.baseDir}/supervisor/events.ndjson`)).match(
    /"type":"network","action":"\w+"/g,
  );
  assert.deepEqual(actions?.map((a) => a.split('"').at(-2)).sort(), [
    ...Array(4).fill("create"),
    ...Array(3).fill("destroy"),
  ]);
});

Deno.test("connect and disconnect while it runs: interfaces, routes, names and published ports follow, traffic goes on", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { containers, networks } = nyxd.client;
  await networks.create({ name: "front" });
  await networks.create({ name: "back" });
  await containers.run({ image, name: "peer", networkMode: "back", args: SLEEP });
  const publish = [{ hostIp: "127.0.0.1", hostPort: 0, containerPort: 80 }];
  await containers.run({ image, name: "web", hostname: "web", networkMode: "front", publish, args: SERVE });
  const port = (await containers.inspect("web")).network.ports[0]?.hostPort ?? 0;
  assert.equal(await hear("127.0.0.1", port), "web");
  assert.match(await sh(nyxd, "peer", "ping -c1 -W1 web"), /bad address/);

  await containers.run({ image, name: "pinger", networkMode: "front", args: ["sh", "-c", PINGS] });
  const connected = await nyxd.nyx(["network", "connect", "--alias", "www", "--ip", "10.89.0.0", "back", "web"]);
  assert.equal(connected.code, 1, "a network address is no host address");
  await networks.connect("back", { container: "web", aliases: ["www"] });
  await assert.rejects(networks.connect("back", { container: "web" }), { code: "already_exists" });
  assert.equal(await sh(nyxd, "peer", `${pings("web")}; ${pings("www")}`), "1\n1\n");
  assert.match(await sh(nyxd, "web", "ip -o -4 addr; ip route; cat /etc/hosts"), /eth1.*default via .* dev eth0.*www/s);
  assert.equal(await hear("127.0.0.1", port), "web");
  let stdout = "";
  for (let i = 0; i < 50 && stdout.split("\n").length <= 5; i++) {
    await new Promise((r) => setTimeout(r, 100));
    stdout = (await nyxd.nyx(["logs", "pinger"])).stdout;
  }
  assert.match(stdout, /^(answered\n){5,}$/, "packets between connected containers were lost");
  const { endpoints } = (await containers.inspect("web")).network;
  assert.deepEqual(endpoints.map((e) => [e.network, e.interface, e.aliases]), [
    ["front", "eth0", []],
    ["back", "eth1", ["www"]],
  ]);

  await networks.disconnect("front", "web");
  const inside = await sh(nyxd, "web", "ip -o link; ip route; cat /etc/resolv.conf; ping -c1 -W1 peer");
  const back = await networks.inspect("back");
  assert.doesNotMatch(inside, /eth0/);
  assert.match(inside, /default via \S+ dev eth1/);
  assert.ok(inside.includes(`nameserver ${back.subnets[0]?.gateway}\n`), inside);
  assert.match(inside, /1 packets received/);
  assert.equal(await hear("127.0.0.1", port), "web", "the published port did not follow");
  assert.match(await sh(nyxd, "pinger", "ping -c1 -W1 web"), /bad address/);

  await nyxd.stop("SIGKILL");
  await using next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  assert.equal(await hear("127.0.0.1", port), "web");
  await next.client.networks.connect("front", { container: "web", gatewayPriority: 5 });
  const again = await sh(next, "web", "ip route; ip -o link");
  assert.match(again, /default via \S+ dev eth0/);
  assert.equal(await hear("127.0.0.1", port), "web");
  assert.equal(await sh(next, "pinger", pings("web")), "1\n");
  await next.client.networks.disconnect("front", "web");
  await next.client.networks.disconnect("back", "web");
  assert.deepEqual((await next.client.containers.inspect("web")).network.endpoints, []);
  assert.doesNotMatch(await sh(next, "web", "ip -o link"), /eth/);
  assert.equal(await host(`nft list map inet nyx_${next.bridge} addr4 | grep -c ${port}`), "0\n");
  await next.client.networks.connect("back", { container: "web" });
  assert.equal(await hear("127.0.0.1", port), "web");

  await next.client.containers.stop("web", { timeoutS: 0 });
  await next.client.networks.connect("front", { container: "web" });
  await next.client.containers.start("web");
  assert.deepEqual(Object.keys(await addresses(next, "web")).sort(), ["back", "front"]);
  assert.equal(await hear("127.0.0.1", port), "web");
});

Deno.test("kill -9 of nyxd: networks, addresses and names stay; a clean stop leaves no bridge, the next start has them again", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { containers, networks } = nyxd.client;
  const subnet = `10.${100 + nyxd.slot % 80}.77.0/24`;
  const ipRange = subnet.replace("77.0/24", "77.64/28");
  const made = await networks.create({ name: "kept", subnets: [{ subnet, ipRange }], labels: { a: "b" } });
  const fixed = subnet.replace("0/24", "9");
  await containers.run({
    image,
    name: "one",
    networks: [{ network: "kept", ip: fixed, aliases: ["uno"] }],
    args: SLEEP,
  });
  await containers.run({ image, name: "two", networkMode: "kept", args: SLEEP });
  assert.deepEqual(await addresses(nyxd, "one"), { kept: fixed });
  assert.deepEqual(await addresses(nyxd, "two"), { kept: subnet.replace("0/24", "64") });
  const pid = (await containers.inspect("one")).state.pid;
  await nyxd.stop("SIGKILL");
  const next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  try {
    const { containers: members, ...rest } = await next.client.networks.inspect(made.id.slice(0, 10));
    const { containers: _, ...before } = made;
    assert.deepEqual(rest, before);
    assert.deepEqual(members.map((m) => [m.name, m.ip]).sort(), [["one", fixed], [
      "two",
      subnet.replace("0/24", "64"),
    ]]);
    assert.equal((await next.client.containers.inspect("one")).state.pid, pid);
    assert.equal(await sh(next, "two", pings("uno")), "1\n");
    await next.client.containers.restart("two", { timeoutS: 0 });
    assert.deepEqual(await addresses(next, "two"), { kept: subnet.replace("0/24", "64") });
    await Promise.all(["one", "two"].map((c) => next.client.containers.remove(c, { force: true })));
  } finally {
    await next.stop();
  }
  assert.equal(await host(`ip -o link show ${made.bridge}; nft list tables | grep nyx_${nyxd.bridge}$`), "");
  Deno.writeTextFileSync(`${nyxd.baseDir}/network/networks/torn.json`, '{"v":1,"name":"torn"');
  await using third = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  const names = (await third.client.networks.list()).map((n: NetworkInfo) => n.name);
  assert.deepEqual(names, ["nyx", "kept"]);
  assert.ok(third.log.some((l) => l.includes("moved aside")), "a damaged record was not reported");
  assert.match(await host(`ip -o link show ${made.bridge}`), /UP/);
});

Deno.test("an internal network: no way out, nothing published, said so; IPv6: both families inside and published", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { containers, networks } = nyxd.client;
  await networks.create({ name: "vault", internal: true });
  const six = await networks.create({ name: "six", ipv6: true });
  assert.equal(six.ipv6, true);
  const publish = [{ hostPort: 0, containerPort: 80 }];
  const { warnings } = await containers.run({ image, name: "safe", networkMode: "vault", publish, args: SERVE });
  assert.match(warnings.join(), /No port is published.*internal network vault/);
  assert.deepEqual((await containers.inspect("safe")).network.ports, []);
  assert.doesNotMatch(await sh(nyxd, "safe", "ip route"), /default/);

  await containers.run({
    image,
    name: "open",
    hostname: "open",
    networkMode: "six",
    publish,
    args: [
      "sh",
      "-c",
      "while true; do hostname | nc -l -p 80 >/dev/null; done",
    ],
  });
  await containers.run({ image, name: "peer", networkMode: "six", args: SLEEP });
  const { ports, endpoints } = (await containers.inspect("open")).network;
  assert.deepEqual(ports.map((p) => p.hostIp), ["0.0.0.0", "::"]);
  const ip6 = endpoints[0]?.ip6 ?? "";
  assert.match(ip6, /^fd/);
  assert.equal(await sh(nyxd, "peer", `ping -6 -c1 -W1 ${ip6} 2>&1 | grep -c '1 packets received'`), "1\n");
  assert.equal(await sh(nyxd, "peer", "ping -6 -c1 -W1 open 2>&1 | grep -c '1 packets received'"), "1\n");
  const port = ports[0]?.hostPort ?? 0;
  assert.equal(await hear("127.0.0.1", port), "open");
  assert.equal(await hear(six.subnets[1]?.gateway ?? "", port), "open");
  // From the internal network not even a port that another network publishes on the host is reached.
  const gateway = (await networks.inspect("vault")).subnets[0]?.gateway;
  assert.equal((await sh(nyxd, "safe", `nc -w1 ${gateway} ${port} </dev/null`)).includes("open"), false);
  await networks.connect("six", { container: "safe" });
  const live = (await containers.inspect("safe")).network.ports[0]?.hostPort ?? 0;
  assert.equal(await hear("127.0.0.1", live), (await containers.inspect("safe")).short_id);
});

Deno.test("removing a network while containers are made on it: either the container or the removal is refused", async () => {
  await using world = await startWorld();
  const { containers, networks } = world.nyxd.client;
  for (let round = 0; round < 6; round++) {
    await networks.create({ name: "contested" });
    const jobs = [
      containers.create({ image: world.image, networkMode: "contested" }),
      networks.remove("contested"),
      containers.create({
        image: world.image,
        networks: [{ network: "contested" }],
        publish: [{ hostPort: 0, containerPort: 1 }],
      }),
    ];
    await Promise.allSettled(round % 2 === 0 ? jobs : jobs.reverse());
    const left = await containers.list({ all: true });
    const exists = (await networks.list()).some((n) => n.name === "contested");
    if (left.length > 0) assert.ok(exists, "a container is left without its network");
    for (const { id } of left) {
      await containers.start(id);
      await containers.remove(id, { force: true });
    }
    if (exists) await networks.remove("contested");
  }
  for (let round = 0; round < 3; round++) {
    await networks.create({ name: "brief" });
    const config = { image: world.image, networkMode: "brief", autoRemove: true, args: ["sleep", "0.1"] };
    const all = await Promise.all([1, 2, 3].map(() => containers.run(config)));
    await Promise.all(all.map(({ id }) => containers.wait(id).catch(() => {})));
    await networks.remove("brief");
  }
});

Deno.test("100 containers at once on one network: no address twice; none is left afterwards", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { containers, networks } = nyxd.client;
  const { bridge } = await networks.create({ name: "crowd" });
  const made = await Promise.all(
    Array.from({ length: 100 }, () => containers.run({ image, networkMode: "crowd", args: SLEEP })),
  );
  const { containers: members } = await networks.inspect("crowd");
  assert.equal(members.length, 100);
  assert.equal(new Set(members.map((m) => m.ip)).size, 100);
  assert.equal((await host(`ip -o link show master ${bridge} | wc -l`)).trim(), "100");
  await Promise.all(made.map(({ id }) => containers.remove(id, { force: true })));
  assert.deepEqual((await networks.inspect("crowd")).containers, []);
  assert.equal(Deno.readTextFileSync(`${nyxd.baseDir}/network/leases.json`), '{"version":1,"containers":{}}\n');
  for (let i = 0; i < 50 && (await host(`ip -o link show master ${bridge}`)) !== ""; i++) {
    await new Promise((r) => setTimeout(r, 20));
  }
  assert.equal(await host(`ip -o link show master ${bridge}`), "");
});

Deno.test("nyx network: what it prints, and what explain says of open, closed and foreign ports", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const nyx = async (...args: string[]) => {
    const { code, stdout, stderr } = await nyxd.nyx(["network", ...args]);
    return { code, text: stdout + stderr };
  };
  const created = await nyx("create", "--label", "tier=db", "-o", "com.docker.network.driver.mtu=1400", "shop");
  assert.match(created.text, /^[0-9a-f]{64}\n$/);
  assert.match((await nyx("ls")).text, /NETWORK ID +NAME +DRIVER +SUBNET +CONTAINERS\n.*nyx +bridge.*\n.*shop +bridge/);
  assert.equal((await nyx("ls", "-q", "--no-trunc", "--filter", "label=tier=db")).text, created.text);
  const events = await nyxd.nyx([
    "events",
    "--since",
    "1h",
    "--until",
    "0s",
    "--filter",
    "network=shop",
    "--format",
    "{{.Action}}",
  ]);
  assert.equal(events.stdout, "create\n", events.stderr);
  assert.equal((await nyx("ls", "--filter", "type=builtin", "--format", "{{.Name}} {{.Scope}}")).text, "nyx local\n");
  const format = "{{.Name}} {{.Internal}} {{(index .IPAM.Config 0).Gateway}} {{.Labels.tier}}";
  assert.match((await nyx("inspect", "-f", format, "shop")).text, /^shop false 10\.\d+\.\d+\.1 db\n$/);
  assert.match((await nyx("create", "-d", "macvlan", "x")).text, /Invalid option parent.*-o parent=eth0/);
  const block = ["--subnet", "192.0.2.0/28", "--gateway", "192.0.2.1"];
  const shared = ["-d", "macvlan", "-o", `parent=${nyxd.bridge}`, ...block, "--aux-address", "printer=192.0.2.2"];
  assert.equal((await nyx("create", ...shared, "lan")).code, 0);
  const onLan = await nyxd.nyx(["run", "--rm", "-p", "80", "--network", "lan", image, "ip", "-o", "-4", "addr"]);
  assert.match(onLan.stdout, /eth0\s+inet 192\.0\.2\.3\/28/);
  assert.match(onLan.stderr, /No port is published: on network lan the container has an address of its own/);
  assert.match((await nyx("create", "--aux-address", "a=10.1.2.3", "x")).text, /give a --subnet of IPv4/);
  assert.equal((await nyx("prune", "-f", "--filter", "until=1h")).text, "", "younger than an hour");
  assert.match((await nyx("prune", "-f", "--filter", "until=yesterday")).text, /Invalid until/);
  assert.equal((await nyx("rm", "lan")).code, 0);
  assert.match((await nyx("create", "-o", "vlan=3", "x")).text, /the bridge driver knows com\.docker/);
  assert.match((await nyx("create", "host")).text, /has a meaning of its own/);
  assert.match((await nyx("create", "--gateway", "10.1.2.3", "x")).text, /give a --subnet of IPv4/);
  assert.match((await nyx("create", "--subnet", `${nyxd.prefix}.128/25`, "x")).text, /overlaps/);
  assert.match((await nyx("rm", "shp")).text, /did you mean "shop"/);

  const run = await nyxd.nyx([
    "run",
    "-d",
    "--name",
    "web",
    "--network",
    "shop",
    "-p",
    "127.0.0.1::80",
    image,
    ...SLEEP,
  ]);
  assert.equal(run.code, 0, run.stderr);
  const port = (await nyxd.client.containers.inspect("web")).network.ports[0]?.hostPort ?? 0;
  assert.match(await sh(nyxd, "web", "ip link show eth0"), /mtu 1400/);
  const silent = await nyx("explain", String(port));
  assert.equal(silent.code, 1);
  assert.match(
    silent.text,
    /blocked\n.*note\s+It is published on a loopback.*No program in the container listens on tcp port 80/s,
  );
  await nyxd.nyx(["exec", "-d", "web", "httpd", "-f", "-p", "127.0.0.1:80"]);
  let shut = await nyx("explain", `127.0.0.1:${port}`);
  for (let i = 0; i < 20 && shut.text.includes("No program"); i++) shut = await nyx("explain", `127.0.0.1:${port}`);
  assert.match(shut.text, /listens on its loopback address alone/);
  await nyxd.nyx([
    "run",
    "-d",
    "--name",
    "ok",
    "--network",
    "shop",
    "-p",
    `127.0.0.1:${port}:80/udp`,
    "-p",
    "80",
    image,
    ...SERVE,
  ]);
  const other = (await nyxd.client.containers.inspect("ok")).network.ports.find((p) => p.protocol === "tcp")?.hostPort;
  let open = await nyx("explain", `${other}/tcp`);
  for (let i = 0; i < 20 && open.text.includes("No program"); i++) open = await nyx("explain", `${other}/tcp`);
  assert.match(
    open.text,
    /nyx's nftables map leads 0\.0\.0\.0:\d+\/tcp to 10\.\S+:80\..*A program in the container listens/s,
  );
  assert.match((await nyx("explain", "web")).text, /network "shop" to container "web"/);
  assert.match((await nyx("explain", "1/udp")).text, /No container publishes it, and no program/);
  await nyxd.client.containers.stop("web", { timeoutS: 0 });
  assert.match((await nyx("explain", "web")).text, /does not run \(exited\); run: nyx start web/);
});

Deno.test("hostile network names, blocks and bridges are refused before anything is made", async () => {
  await using nyxd = await startNyxd();
  const { networks } = nyxd.client;
  const own = () =>
    host(`ip -o link | grep -c 'alias nyxd ${nyxd.baseDir}$'; ip -o link show lo; ls ${nyxd.baseDir}/network`);
  const before = await own();
  const attempts: [string, Parameters<typeof networks.create>[0]][] = [
    ["a path out of the directory of records", { name: "../../etc/x" }],
    ["a name that would end an nft string", { name: 'x" ; }' }],
    ["a bridge name that is nft text", { name: "x", options: { "com.docker.network.bridge.name": 'a" accept' } }],
    ["a bridge name that is longer than an interface's", {
      name: "x",
      options: { "com.docker.network.bridge.name": "b".repeat(16) },
    }],
    ["loopback as a bridge", { name: "x", options: { "com.docker.network.bridge.name": "lo" } }],
    ["the host's loopback block", { name: "x", subnets: [{ subnet: "127.0.0.0/8" }] }],
    ["everything", { name: "x", subnets: [{ subnet: "0.0.0.0/0" }] }],
    ["a multicast block", { name: "x", subnets: [{ subnet: "ff02::/64" }] }],
    ["a gateway elsewhere", { name: "x", subnets: [{ subnet: "10.99.1.0/24", gateway: "10.99.2.1" }] }],
    ["a range elsewhere", { name: "x", subnets: [{ subnet: "10.99.1.0/24", ipRange: "10.99.2.0/28" }] }],
    ["the default network's block", { name: "x", subnets: [{ subnet: `${nyxd.prefix}.0/24` }] }],
    ["the default network's bridge", { name: "x", options: { "com.docker.network.bridge.name": nyxd.bridge } }],
  ];
  for (const [what, request] of attempts) {
    await assert.rejects(networks.create(request), (e: { code?: string }) => {
      assert.ok(["invalid_argument", "failed_precondition"].includes(e.code ?? ""), `${what}: ${e}`);
      return true;
    }, what);
  }
  assert.deepEqual((await networks.list()).map((n) => n.name), ["nyx"]);
  assert.equal(await own(), before);
});
