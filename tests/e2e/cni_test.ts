/** A whole nyxd with CNI networks: what users do, what a crash leaves, what --dns cni says, what cannot be. */

import assert from "node:assert/strict";
import { type CniWorld, NOTHING, startCniWorld, traces } from "../support/cni_world.ts";
import { nyxdCommand, startNyxd } from "../support/daemon.ts";

const SLEEP = ["sleep", "1000"];
const SERVE = ["sh", "-c", "echo served >/tmp/i; exec httpd -f -p 80 -h /tmp"];

async function nyx(world: CniWorld, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await world.nyxd.nyx(args);
  assert.equal(code, 0, `nyx ${args.join(" ")}: ${stderr}`);
  return stdout;
}

async function refused(world: CniWorld, ...args: string[]): Promise<string> {
  const { code, stderr } = await world.nyxd.nyx(args);
  assert.notEqual(code, 0, `nyx ${args.join(" ")} was not refused`);
  return stderr;
}

/** What a published port of the machine says, asked from the machine. */
async function hear(world: CniWorld, address: string): Promise<string> {
  for (let i = 0; i < 60; i++) {
    const { code, stdout } = world.run("curl", "-s", "--max-time", "2", `http://${address}/i`);
    if (code === 0) return stdout;
    await new Promise((r) => setTimeout(r, 50));
  }
  return "nothing";
}

Deno.test("run -p, exec, names, connect, kill -9 of nyxd and of a container meanwhile, rm: nothing is left", async () => {
  await using world = await startCniWorld();
  const { image } = world;
  const { prefix } = world.nyxd;
  await nyx(world, "run", "-d", "--name", "web", "--network-alias", "db", "-p", "8080:80", image, ...SERVE);
  await nyx(world, "run", "-d", "--name", "other", "--ip", `${prefix}.77`, image, ...SLEEP);
  assert.equal(await hear(world, "127.0.0.1:8080"), "served\n");
  assert.equal(await nyx(world, "exec", "other", "wget", "-qO-", "http://db/i"), "served\n");
  assert.match(await nyx(world, "exec", "other", "cat", "/etc/hosts"), new RegExp(`^${prefix}\\.77\\t`, "m"));
  assert.match(await nyx(world, "network", "explain", "8080"), /: open\n[\s\S]*CNI plugins attached.*bridge, portmap/);
  const { network } = await world.nyxd.client.containers.inspect("web");
  assert.deepEqual(network.endpoints.map((e) => [e.network, e.ip, e.gateway]), [["nyx", `${prefix}.2`, `${prefix}.1`]]);

  await nyx(world, "network", "create", "red");
  await nyx(world, "network", "connect", "red", "other");
  assert.match(await nyx(world, "exec", "other", "ip", "addr", "show", "eth1"), /inet 10\.89\.\d+\.2\/24/);
  await nyx(world, "network", "disconnect", "red", "other");
  await nyx(world, "network", "rm", "red");

  const { state } = await world.nyxd.client.containers.inspect("other");
  await world.nyxd.stop("SIGKILL");
  Deno.kill(state.pid, "SIGKILL");
  assert.equal(await hear(world, "127.0.0.1:8080"), "served\n", "published ports answer without nyxd");
  await world.again();
  assert.equal((await world.nyxd.client.containers.inspect("other")).state.status, "exited");
  assert.equal(await nyx(world, "exec", "web", "cat", "/tmp/i"), "served\n");
  assert.equal(await hear(world, "127.0.0.1:8080"), "served\n");
  await nyx(world, "start", "other");
  assert.equal(await nyx(world, "exec", "other", "wget", "-qO-", "http://web/i"), "served\n");
  await nyx(world, "rm", "-f", "web", "other");
  assert.deepEqual(traces(world), NOTHING);
});

Deno.test("--dns cni: resolv.conf is what the result says; without a word of it the host's; nyx does not listen", async () => {
  await using world = await startCniWorld({ args: ["--dns=cni"] });
  const { image, confDir } = world;
  const dns = { nameservers: ["192.168.77.2"], search: ["lan.example"], options: ["ndots:3"] };
  const ipam = { type: "static", addresses: [{ address: "192.168.77.50/24", gateway: "192.168.77.2" }] };
  const lan = { cniVersion: "1.0.0", name: "lan", plugins: [{ type: "macvlan", master: "up0", dns, ipam }] };
  Deno.writeTextFileSync(`${confDir}/10-lan.conflist`, JSON.stringify(lan));
  assert.deepEqual((await untilNetwork(world, "lan")).cni?.plugins, ["macvlan"]);
  const text = (network: string, ...more: string[]) =>
    nyx(world, "run", "--rm", "--network", network, ...more, image, "cat", "/etc/resolv.conf");
  assert.equal(await text("lan"), "nameserver 192.168.77.2\nsearch lan.example\noptions ndots:3\n");
  assert.match(await text("lan", "--dns", "9.9.9.9"), /^nameserver 9\.9\.9\.9\n/);
  assert.doesNotMatch(await text("nyx"), new RegExp(world.nyxd.prefix.replaceAll(".", "\\.")));
  assert.equal(world.run("ss", "-Hlun", "sport = :53").stdout, "");
  assert.match(await refused(world, "network", "rm", "lan"), /10-lan\.conflist defines it/);
  assert.match(await refused(world, "network", "create", "lan"), /10-lan\.conflist defines one/);
  const port = await refused(world, "run", "--network", "lan", "-p", "80:80", image);
  assert.match(port, /published ports on network "lan".*macvlan.*"portMappings"/);
  assert.match(await refused(world, "run", "--network", "lan", "--ip", "192.168.77.9", image), /"ips"/);
  assert.deepEqual(traces(world), NOTHING);
});

/** Waits until nyxd knows a network of a file that has just been written. */
async function untilNetwork(world: CniWorld, name: string) {
  for (let i = 0; i < 200; i++) {
    const found = (await world.nyxd.client.networks.list()).find((n) => n.name === name);
    if (found !== undefined) return found;
    await new Promise((r) => setTimeout(r, 25));
  }
  assert.fail(`nyxd does not know network ${name} after 5 s`);
}

Deno.test("drivers: ptp and macvlan by nyx network create; changing the backend under running containers is refused", async () => {
  await using world = await startCniWorld();
  const { image, nyxd } = world;
  await nyx(world, "network", "create", "-d", "ptp", "p2p");
  const lan = ["-d", "macvlan", "-o", "parent=up0", "--subnet", "192.168.77.0/24", "--gateway", "192.168.77.2"];
  await nyx(
    world,
    "network",
    "create",
    ...lan,
    "--ip-range",
    "192.168.77.64/28",
    "--aux-address",
    "router=192.168.77.65",
    "lan",
  );
  assert.match(
    await refused(world, "network", "create", "-d", "macvlan", "-o", "parent=none0", "--subnet", "10.1.0.0/24", "x"),
    /none0.*no such interface/,
  );
  const ping = ["ping", "-c1", "-W2", "192.168.77.2"];
  assert.match(await nyx(world, "run", "--rm", "--network", "p2p", image, ...ping), /1 packets received/);
  const macvlan = ["run", "--rm", "--network", "lan", image, "sh", "-c", `ip addr show eth0; ${ping.join(" ")}`];
  assert.match(await nyx(world, ...macvlan), /inet 192\.168\.77\.64\/24[\s\S]*1 packets received/);
  assert.match(await nyx(world, ...macvlan), /inet 192\.168\.77\.66\/24/, "the router's address is never given out");
  await nyx(world, "run", "-d", "--name", "stays", image, ...SLEEP);
  const { baseDir, socket, bridge } = nyxd;
  await nyxd.stop();
  const args = [`--bridge=${bridge}`, `--subnet=${nyxd.prefix}.0/24`, "--net-driver=native"];
  const native = world.run(Deno.execPath(), ...nyxdCommand({ baseDir, socket }, args));
  assert.notEqual(native.code, 0);
  assert.match(
    native.stderr,
    /--net-driver native: stays runs on networks of the cni driver; start nyxd with --net-driver cni/,
  );
  await world.again();
  await nyx(world, "exec", "stays", "true");
  await nyx(world, "rm", "-f", "stays");
  await nyx(world, "network", "rm", "p2p", "lan");
  assert.deepEqual(traces(world), NOTHING);

  const { slot } = world.nyxd;
  await world.nyxd.stop();
  const other = await startNyxd({ baseDir, slot, netns: world.hosts.host });
  const { exitCode } = await other.client.containers.wait(
    (await other.client.containers.run({ image, args: ping })).id,
  );
  assert.equal(exitCode, 0, "nyx's own driver takes over when nothing is attached");
  await other[Symbol.asyncDispose]();
  await world.again();
  assert.match(await nyx(world, "run", "--rm", image, ...ping), /1 packets received/);
});
