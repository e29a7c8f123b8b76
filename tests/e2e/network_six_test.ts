/** Networks with IPv6 alone in a whole nyxd, as a user of the command line meets them. */

import assert from "node:assert/strict";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { startWorld } from "../support/world.ts";

const SLEEP = ["sleep", "1000"];
/** Answers every connection on port 80 with its own name. */
const SERVE = ["sh", "-c", "while true; do hostname | nc -l -p 80 >/dev/null; done"];

async function nyx(nyxd: Nyxd, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await nyxd.nyx(args);
  assert.equal(code, 0, `nyx ${args.join(" ")}: ${stderr}`);
  return stdout.trim();
}

async function refused(nyxd: Nyxd, ...args: string[]): Promise<string> {
  const { code, stderr } = await nyxd.nyx(args);
  assert.notEqual(code, 0, `nyx ${args.join(" ")} was not refused`);
  return stderr;
}

/** Asserts that a command in a container says something; names and servers may be a moment late on a busy machine. */
async function says(nyxd: Nyxd, container: string, script: string, expected: RegExp): Promise<void> {
  let heard = "";
  for (let i = 0; i < 20; i++) {
    const { stdout, stderr } = await nyxd.nyx(["exec", container, "sh", "-c", script]);
    heard = stdout + stderr;
    if (expected.test(heard)) return;
    await new Promise((r) => setTimeout(r, 100));
  }
  assert.match(heard, expected, `${container}: ${script}`);
}

/** What a TCP port says first. */
async function hear(hostname: string, port: number): Promise<string> {
  for (let i = 0;; i++) {
    try {
      using conn = await Deno.connect({ hostname, port });
      const buffer = new Uint8Array(64);
      const n = await conn.read(buffer);
      if (n !== null) return new TextDecoder().decode(buffer.subarray(0, n)).trim();
    } catch (e) {
      if (i === 40) return (e as Error).name;
    }
    if (i === 40) return "nothing";
    await new Promise((r) => setTimeout(r, 50));
  }
}

Deno.test("nyx network create --ipv4=false --ipv6: names, files, ports, explain, two networks, kill -9, removal; refusals", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const run = (name: string, ...args: string[]) => nyx(nyxd, "run", "-d", "--name", name, ...args);
  const subnet = `fd00:${(0x1000 + nyxd.slot).toString(16)}::/64`;
  const gateway = subnet.replace("/64", "1");
  await nyx(nyxd, "network", "create", "--ipv4=false", "--ipv6", "--subnet", subnet, "six");
  const families = "{{.EnableIPv4}} {{.EnableIPv6}} {{len .IPAM.Config}} {{(index .IPAM.Config 0).Gateway}}";
  assert.equal(await nyx(nyxd, "network", "inspect", "-f", families, "six"), `false true 1 ${gateway}`);
  const rows = await nyx(nyxd, "network", "ls", "--format", "{{.Name}} {{.IPv4}} {{.IPv6}} {{.Subnet}}");
  assert.ok(rows.split("\n").includes(`six false true ${subnet}`), rows);

  await run("web", "--network", "six", "-p", "80", "--add-host", "up:host-gateway", "-h", "web", image, ...SERVE);
  await run("peer", "--network", "six", image, ...SLEEP);
  const inside =
    "{{.NetworkSettings.IPAddress}}|{{range .NetworkSettings.Networks}}{{.IPAddress}}|{{.GlobalIPv6Address}}" +
    "/{{.GlobalIPv6PrefixLen}}|{{.IPv6Gateway}}{{end}}";
  const web = subnet.replace("/64", "2");
  assert.equal(await nyx(nyxd, "inspect", "-f", inside, "web"), `||${web}/64|${gateway}`);
  await says(nyxd, "web", "ip -o addr show eth0; cat /etc/hosts /etc/resolv.conf", new RegExp(`${web}/64`));
  const files = await nyx(nyxd, "exec", "web", "cat", "/etc/hosts", "/etc/resolv.conf");
  assert.match(files, new RegExp(`^${gateway}\\tup$[^]*^${web}\\tweb$[^]*^nameserver ${gateway}$`, "m"));
  assert.doesNotMatch(await nyx(nyxd, "exec", "web", "ip", "-4", "-o", "addr", "show", "eth0"), /inet/);
  await says(nyxd, "peer", "ping -c1 -W1 web", new RegExp(`\\(${web}\\)[^]*1 packets received`));
  await says(nyxd, "peer", "nc -w2 web 80 </dev/null", /^web$/m);
  await says(nyxd, "peer", "nslookup host.docker.internal", new RegExp(gateway));
  const port = Number((await nyx(nyxd, "port", "web", "80")).replace(/^\[::\]:/, ""));
  assert.equal(await hear(gateway, port), "web");
  assert.match(await nyx(nyxd, "network", "explain", `${port}`), /: open\n/);
  assert.match(await nyx(nyxd, "network", "explain", "peer"), /Its way out leads through this network\./);
  const member = `{{range .Containers}}{{if eq .Name "web"}}{{.IPv4Address}}|{{.IPv6Address}}{{end}}{{end}}`;
  assert.equal(await nyx(nyxd, "network", "inspect", "-f", member, "six"), `|${web}`);

  // One more network, of either kind, while it runs: a default route of each family, and names of both.
  await run("four", image, ...SLEEP);
  await nyx(nyxd, "network", "connect", "six", "four");
  await nyx(nyxd, "network", "connect", "bridge", "web");
  await says(
    nyxd,
    "four",
    "ip route; ip -6 route",
    new RegExp(`default via ${nyxd.prefix}.1[^]*default via ${gateway}`),
  );
  await says(nyxd, "four", "ping -6 -c1 -W1 web", /1 packets received/);
  await says(nyxd, "four", "ping -4 -c1 -W1 web", /1 packets received/);
  assert.equal(
    await hear("127.0.0.1", Number((await nyx(nyxd, "port", "web", "80/tcp")).match(/0\.0\.0\.0:(\d+)/)?.[1])),
    "web",
  );
  await nyx(nyxd, "network", "disconnect", "bridge", "web");
  await nyx(nyxd, "network", "disconnect", "six", "four");
  await says(nyxd, "four", "ip -6 route | grep -c default", /^0\n$/);
  assert.equal((await nyxd.nyx(["exec", "four", "ping", "-c1", "-W1", "web"])).code, 1);

  for (
    const [args, message] of [
      [["run", "--network", "six", "-p", "127.0.0.1::80", image, "true"], /has IPv6 alone; publish on an IPv6 address/],
      [["run", "--network", "six", "--ip", `${nyxd.prefix}.9`, image, "true"], /network six has no IPv4 subnet/],
      [["network", "create", "--ipv4=false", "no"], /no addresses at all; give it IPv6/],
      [["network", "create", "--ipv4=false", "--ipv6", "--subnet", "10.7.7.0/24", "no"], /10\.7\.7\.0\/24 is IPv4/],
    ] as [string[], RegExp][]
  ) assert.match(await refused(nyxd, ...args), message);

  await nyxd.stop("SIGKILL");
  await using next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  assert.equal(await nyx(next, "network", "inspect", "-f", families, "six"), `false true 1 ${gateway}`);
  assert.equal(await nyx(next, "inspect", "-f", inside, "web"), `||${web}/64|${gateway}`);
  const now = Number((await nyx(next, "port", "web", "80")).replace(/^\[::\]:/, ""));
  assert.equal(await hear(gateway, now), "web");
  await says(next, "peer", "ping -c1 -W1 web", /1 packets received/);
  await nyx(next, "restart", "-t", "0", "web");
  assert.equal(await nyx(next, "inspect", "-f", inside, "web"), `||${web}/64|${gateway}`);
  assert.equal(await hear(gateway, now), "web");
  const { bridge } = await next.client.networks.inspect("six");
  await nyx(next, "rm", "-f", "web", "peer", "four");
  await nyx(next, "network", "rm", "six");
  const { code } = new Deno.Command("ip", { args: ["link", "show", bridge], stderr: "null" }).outputSync();
  assert.notEqual(code, 0, `bridge ${bridge} is left`);
});

Deno.test("compose: a network with enable_ipv4: false and enable_ipv6: true comes up with its services, which find each other", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  const file = `${dir}/compose.yaml`;
  Deno.writeTextFileSync(
    file,
    `name: six
services:
  web: {image: "${image}", command: ${JSON.stringify(SERVE)}, hostname: web, ports: ["80"]}
  peer: {image: "${image}", command: ${JSON.stringify(SLEEP)}}
networks:
  default: {enable_ipv4: false, enable_ipv6: true}
`,
  );
  const compose = (...args: string[]) => nyx(nyxd, "compose", "-f", file, ...args);
  await compose("up", "-d");
  assert.equal(
    await nyx(nyxd, "network", "inspect", "-f", "{{.EnableIPv4}} {{.EnableIPv6}}", "six_default"),
    "false true",
  );
  await says(nyxd, "six-peer-1", "nc -w2 web 80 </dev/null", /^web$/m);
  await says(nyxd, "six-peer-1", "ip -o -4 addr show eth0; echo end", /^end\n$/);
  assert.match(await compose("port", "web", "80"), /^\[::\]:\d+$/);
  await compose("up", "-d");
  await compose("down", "-t", "0");
  assert.doesNotMatch(await nyx(nyxd, "network", "ls", "-q", "--filter", "name=six_default"), /./);
});
