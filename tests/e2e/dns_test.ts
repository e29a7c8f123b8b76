/** Names of containers in a whole nyxd: found, followed, forgotten; across crashes; beside other resolvers. */

import assert from "node:assert/strict";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { dataOf, dig } from "../support/dig.ts";
import { startUpstream, withAddresses } from "../support/dns_upstream.ts";
import { startWorld } from "../support/world.ts";

/** Output of a shell script in a container. */
async function sh(nyxd: Nyxd, container: string, script: string): Promise<string> {
  const { stdout, stderr } = await nyxd.nyx(["exec", container, "sh", "-c", script]);
  return stdout + stderr;
}

function gateway(nyxd: Nyxd): { address: string; port: number } {
  return { address: `${nyxd.prefix}.1`, port: 53 };
}

async function addressOf(nyxd: Nyxd, name: string): Promise<string> {
  return (await sh(nyxd, name, "ip -4 -o addr show dev eth0")).match(/inet ([0-9.]+)/)?.[1] ?? "none";
}

const SLEEP = ["sleep", "1000"];

Deno.test("containers find each other by name, alias, short id and host name, and the host by its; gone when they are", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { containers } = nyxd.client;
  const aliases = [{ network: "bridge", aliases: ["db"] }];
  const a = await containers.run({ image, name: "alpha", hostname: "ahost", networks: aliases, args: SLEEP });
  await containers.run({ image, name: "beta", networks: aliases, args: SLEEP });
  const [ipA, ipB] = [await addressOf(nyxd, "alpha"), await addressOf(nyxd, "beta")];
  const names = ["alpha", a.id.slice(0, 12), "ahost", "alpha.nyxd.local", "alpha.nyx"];
  const looked = await sh(nyxd, "beta", names.map((n) => `ping -c1 -W1 ${n} | head -1`).join("; "));
  assert.equal(await sh(nyxd, "beta", "cat /etc/resolv.conf | head -1"), `nameserver ${nyxd.prefix}.1\n`);
  assert.deepEqual(looked.match(/\(([0-9.]+)\)/g), names.map(() => `(${ipA})`), looked);
  assert.match(await sh(nyxd, "beta", "ping -c1 -W1 host.docker.internal"), /1 packets received/);
  assert.deepEqual(new Set(dataOf(await dig(gateway(nyxd), "db"))), new Set([ipA, ipB]));
  assert.deepEqual(dataOf(await dig(gateway(nyxd), "-x", ipA)), ["alpha.nyxd.local."]);
  assert.equal((await dig(gateway(nyxd), "alpha", "AAAA")).status, "NOERROR");
  await containers.rename("alpha", "gamma");
  assert.match(await sh(nyxd, "beta", "ping -c1 -W1 gamma"), /1 packets received/);
  assert.equal((await dig(gateway(nyxd), "alpha")).status, "NXDOMAIN");
  await containers.stop("gamma", { timeoutS: 0 });
  assert.equal((await dig(gateway(nyxd), "gamma")).status, "NXDOMAIN");
  assert.deepEqual(dataOf(await dig(gateway(nyxd), "db")), [ipB]);
  await containers.start("gamma");
  assert.deepEqual(dataOf(await dig(gateway(nyxd), "gamma")), [await addressOf(nyxd, "gamma")]);
  await containers.remove("gamma", { force: true, volumes: true });
  assert.equal((await dig(gateway(nyxd), "gamma")).status, "NXDOMAIN");
  const failed = await nyxd.nyx(["run", "--rm", "--name", "broken", image, "/no/such/program"]);
  assert.equal(failed.code, 127);
  assert.equal((await dig(gateway(nyxd), "broken")).status, "NXDOMAIN");
});

Deno.test("kill -9 of nyxd: names answer again before the API does; what ended meanwhile is gone", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { containers } = nyxd.client;
  await containers.run({ image, name: "stays", args: SLEEP });
  await containers.run({ image, name: "ends", args: ["sleep", "1"] });
  const ip = await addressOf(nyxd, "stays");
  await nyxd.stop("SIGKILL");
  assert.equal((await dig(gateway(nyxd), "stays", "+time=1")).status, "none");
  await new Promise((r) => setTimeout(r, 1000));
  await using next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  assert.deepEqual(dataOf(await dig(gateway(next), "stays")), [ip]);
  assert.equal((await dig(gateway(next), "ends")).status, "NXDOMAIN");
  assert.match(await sh(next, "stays", "ping -c1 -W1 stays"), /1 packets received/);
});

Deno.test("other names go to the host's resolver, a loopback one too, which is followed when it changes", async () => {
  using one = startUpstream("127.83.11.1", 53);
  using two = startUpstream("127.83.11.2", 53);
  two.script = (_, asked) => withAddresses(asked, ["192.0.2.2"]);
  const dir = Deno.makeTempDirSync({ prefix: "nyx-dns-" });
  const resolvConf = `${dir}/resolv.conf`;
  Deno.writeTextFileSync(resolvConf, `nameserver ${one.address}\nsearch corp.example\n`);
  try {
    await using world = await startWorld({ args: [`--resolv-conf=${resolvConf}`, "--dns=embedded"] });
    const { nyxd, image } = world;
    await nyxd.client.containers.run({ image, name: "web", args: SLEEP });
    assert.match(await sh(nyxd, "web", "cat /etc/resolv.conf"), /search corp\.example\noptions ndots:0\n$/);
    assert.match(await sh(nyxd, "web", "nslookup -type=a www.example.com"), /192\.0\.2\.1/);
    await sh(nyxd, "web", "ping -c1 -W1 web");
    assert.ok(!one.asked.some((q) => q.startsWith("web.")), "the name of a container was asked outside");
    Deno.writeTextFileSync(resolvConf, `nameserver ${two.address}\n`);
    await new Promise((r) => setTimeout(r, 1100));
    assert.match(await sh(nyxd, "web", "nslookup -type=a www2.example.com"), /192\.0\.2\.2/);
    const own = await nyxd.nyx(["run", "--rm", "--dns", "192.0.2.53", image, "cat", "/etc/resolv.conf"]);
    assert.equal(own.stdout, "nameserver 192.0.2.53\n");
    const host = await nyxd.nyx(["run", "--rm", "--network", "host", image, "cat", "/etc/resolv.conf"]);
    assert.equal(host.stdout, `nameserver ${two.address}\n`);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("--dns off: containers get the host's resolvers, and nothing listens", async () => {
  await using world = await startWorld({ args: ["--dns=off"] });
  const { nyxd, image } = world;
  await nyxd.client.containers.run({ image, name: "web", args: SLEEP });
  assert.doesNotMatch(await sh(nyxd, "web", "cat /etc/resolv.conf"), new RegExp(`${nyxd.prefix}.1`));
  assert.equal((await dig(gateway(nyxd), "web", "+time=1")).status, "none");
});

Deno.test("port 53 taken: auto starts with a warning and gives containers the host's resolvers, embedded does not start", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  await nyxd.client.containers.run({ image, name: "keeps-the-bridge", args: SLEEP });
  await nyxd.stop("SIGKILL");
  const again = { baseDir: nyxd.baseDir, slot: nyxd.slot };
  const taken = startUpstream(gateway(nyxd).address, 53);
  try {
    await assert.rejects(startNyxd({ ...again, args: ["--dns=embedded"] }), /another program has the port/);
    await using next = await startNyxd(again);
    assert.ok(next.log.some((l) => l.includes("another program has the port")), next.log.join("\n"));
    const run = await next.nyx(["run", "--rm", image, "cat", "/etc/resolv.conf"]);
    assert.doesNotMatch(run.stdout, new RegExp(`${nyxd.prefix}.1`));
  } finally {
    taken[Symbol.dispose]();
  }
});

Deno.test("who is not of the network gets no answer, over UDP or TCP: nothing to amplify", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  await nyxd.client.containers.run({ image, name: "web", args: SLEEP });
  const link = `nyxdns${nyxd.slot}`;
  const outside = `198.51.100.${1 + nyxd.slot % 250}`;
  const ip = (...args: string[]) => new Deno.Command("ip", { args, stderr: "inherit" }).outputSync().success;
  assert.ok(ip("link", "add", link, "type", "bridge"));
  try {
    assert.ok(ip("addr", "add", `${outside}/32`, "dev", link) && ip("link", "set", link, "up"));
    for (const transport of ["+notcp", "+tcp"]) {
      assert.equal((await dig(gateway(nyxd), "web", transport)).status, "NOERROR");
      assert.equal((await dig(gateway(nyxd), "-b", outside, "web", transport, "+time=1")).status, "none");
    }
  } finally {
    ip("link", "del", link);
  }
});

Deno.test("a firewall drops what containers ask: they get the host's resolvers and a warning; when it is open, nyx's", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const table = `nyxdns${nyxd.slot}`;
  const nft = (rules: string) => new Deno.Command("nft", { args: [rules], stderr: "inherit" }).outputSync().success;
  const resolvers = async () => {
    const { stdout } = await nyxd.nyx(["run", "--rm", image, "grep", "-c", nyxd.prefix, "/etc/resolv.conf"]);
    return stdout.trim();
  };
  assert.ok(nft(
    `table inet ${table} { chain in { type filter hook input priority 0; policy accept; ` +
      `iifname "${nyxd.bridge}" meta l4proto { tcp, udp } th dport 53 drop; }; }`,
  ));
  try {
    const { id } = await nyxd.client.containers.run({ image, name: "web", args: SLEEP });
    assert.match((await nyxd.client.containers.inspect(id)).warnings.join(), /a firewall of the host drops it/);
    assert.equal(await resolvers(), "0");
  } finally {
    nft(`delete table inet ${table}`);
  }
  await new Promise((r) => setTimeout(r, 5100));
  // The first start has it looked at again, the next one knows.
  await resolvers();
  assert.equal(await resolvers(), "1");
});

Deno.test("a container may publish port 53 beside nyx's resolver, which other containers still reach", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  // Where a program of the host has the port on an address of its own, publishing it is refused; then that is what is seen.
  const used = (await new Deno.Command("ss", { args: ["-Hlnu", "sport", "=", ":53"] }).output()).stdout;
  const foreign = new TextDecoder().decode(used).split("\n").some((l) =>
    l !== "" && !l.includes(`${nyxd.prefix}.1:53`)
  );
  const args = ["sh", "-c", "while true; do echo published | nc -l -p 53; done"];
  const run = await nyxd.nyx(["run", "-d", "--name", "hole", "-p", "53:53/udp", "-p", "53:53", image, ...args]);
  if (foreign) return assert.match(run.stderr, /a program on the host has port 53/);
  assert.equal(run.code, 0, run.stderr);
  await nyxd.client.containers.run({ image, name: "web", args: SLEEP });
  assert.match(await sh(nyxd, "web", "ping -c1 -W1 hole"), /1 packets received/);
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: 53 });
  const buffer = new Uint8Array(64);
  const n = await conn.read(buffer);
  conn.close();
  assert.equal(new TextDecoder().decode(buffer.subarray(0, n ?? 0)), "published\n");
});

Deno.test("hostile packets at the gateway: nyxd goes on, and keeps answering", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  await nyxd.client.containers.run({ image, name: "web", args: SLEEP });
  const script = "i=0; while [ $i -lt 150 ]; do i=$((i+1)); " +
    `head -c $((i*7)) /dev/urandom | nc -u -w1 ${nyxd.prefix}.1 53 >/dev/null & done; ` +
    `head -c 100000 /dev/urandom | nc -w1 ${nyxd.prefix}.1 53; wait; ping -c1 -W1 web`;
  assert.match(await sh(nyxd, "web", script), /1 packets received/);
  await nyxd.client.system.ping();
  assert.deepEqual(nyxd.log.filter((l) => l.includes('"level":"error"')), []);
});

Deno.test("a dual-stack network: its resolver answers on the IPv6 gateway alike, with both addresses, over UDP and TCP", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { containers, networks } = nyxd.client;
  const { subnets } = await networks.create({ name: "dual", ipv6: true });
  const [four, six] = [subnets[0]?.gateway ?? "", subnets[1]?.gateway ?? ""];
  await containers.run({ image, name: "peer", networkMode: "dual", args: SLEEP });
  await containers.run({ image, name: "asks", networkMode: "dual", dns: [six], args: SLEEP });
  const { endpoints } = (await containers.inspect("peer")).network;
  const { ip = "", ip6 = "" } = endpoints[0] ?? {};
  assert.equal(await sh(nyxd, "asks", "grep nameserver /etc/resolv.conf"), `nameserver ${six}\n`);
  assert.match(await sh(nyxd, "asks", "ping -6 -c1 -W2 peer"), new RegExp(`\\(${ip6}\\)[^]*1 packets received`));
  assert.match(await sh(nyxd, "asks", "ping -4 -c1 -W2 peer"), new RegExp(`\\(${ip}\\)[^]*1 packets received`));
  // From the host, as dig sees it; it may ask, being the gateway itself.
  for (const address of [four, six]) {
    for (const how of ["+notcp", "+tcp"]) {
      assert.deepEqual(dataOf(await dig({ address, port: 53 }, "peer", "AAAA", how)), [ip6], `${address} ${how}`);
      assert.deepEqual(dataOf(await dig({ address, port: 53 }, "peer", "A", how)), [ip], `${address} ${how}`);
    }
    assert.deepEqual(dataOf(await dig({ address, port: 53 }, "-x", ip6)), ["peer.nyxd.local."]);
  }
});
