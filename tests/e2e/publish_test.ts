/** Published ports that are opened, closed and moved while containers run, in a whole nyxd. */

import assert from "node:assert/strict";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { inNetns, inNetnsAsync } from "../support/net_hosts.ts";
import { startWorld, type World } from "../support/world.ts";

/** The host, as nsenter names it. */
const HERE = "/proc/self/ns/net";

/** Serves its own name by HTTP on 80, and echoes on 81. */
const SERVE = [
  "sh",
  "-c",
  "mkdir -p /www; hostname > /www/name; nc -ll -p 81 -e cat & " +
  "exec httpd -f -p 80 -h /www",
];

async function get(port: number): Promise<string> {
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  try {
    const response = await fetch(`http://127.0.0.1:${port}/name`, { client });
    return (await response.text()).trim();
  } catch (e) {
    return `refused: ${(e as Error).message}`;
  }
}

/** Asks until the server inside has come up. */
async function first(port: number): Promise<string> {
  for (let i = 0;; i++) {
    const said = await get(port);
    if (!said.startsWith("refused") || i === 100) return said;
    await new Promise((r) => setTimeout(r, 50));
  }
}

async function serve({ nyxd, image }: World, name: string, publish: string[] = []): Promise<string> {
  const flags = publish.flatMap((p) => ["-p", p]);
  const { code, stderr, stdout } = await nyxd.nyx([
    "run",
    "-d",
    "--name",
    name,
    "--hostname",
    name,
    ...flags,
    image,
    ...SERVE,
  ]);
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

/** A port of the host that nobody has. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

function free(port: number): boolean {
  try {
    Deno.listen({ port }).close();
    return true;
  } catch {
    return false;
  }
}

async function ports(nyxd: Nyxd, name: string): Promise<string[]> {
  const { network } = await nyxd.client.containers.inspect(name);
  return network.ports.map((p) => `${p.hostIp}:${p.hostPort}>${p.containerPort}/${p.protocol}`).sort();
}

Deno.test("nyx update --publish-add and --publish-rm: ports of a running container open and close without a restart, for good", async () => {
  await using world = await startWorld();
  const { nyxd } = world;
  const [a, b] = [freePort(), freePort()];
  const id = await serve(world, "web", [`127.0.0.1:${a}:80`, "81"]);
  assert.equal(await first(a), "web");
  const before = (await nyxd.client.containers.inspect("web")).state.pid;
  const ephemeral = (await ports(nyxd, "web")).find((p) => p.endsWith(">81/tcp")) ?? "";
  const echo = await Deno.connect({ hostname: "127.0.0.1", port: Number(/:(\d+)>/.exec(ephemeral)?.[1]) });

  const added = await nyxd.nyx(["update", "--publish-add", `127.0.0.1:${b}:80`, "--publish-add", "82/udp", "web"]);
  assert.equal(added.code, 0, added.stderr);
  assert.equal(await get(b), "web");
  assert.equal(await get(a), "web", "a port that stays was closed");
  const open = await ports(nyxd, "web");
  assert.equal(open.length, 4);
  assert.ok(open.includes(ephemeral), "an ephemeral port changed its number");
  assert.match((await nyxd.nyx(["ps"])).stdout, new RegExp(`127\\.0\\.0\\.1:${b}->80/tcp`));
  assert.equal((await nyxd.client.containers.inspect("web")).state.pid, before, "it was restarted");

  await serve(world, "other");
  const conflict = await nyxd.nyx(["update", "--publish-add", `${b}:80`, "other"]);
  assert.equal(conflict.code, 1);
  assert.match(conflict.stderr, new RegExp(`Could not publish 0\\.0\\.0\\.0:${b}/tcp for other: container web has`));
  const foreign = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const taken = (foreign.addr as Deno.NetAddr).port;
  const refused = await nyxd.nyx(["update", "--publish-add", `${taken}:80`, "web"]);
  foreign.close();
  assert.match(refused.stderr, new RegExp(`a program on the host has port ${taken}`));
  assert.deepEqual(await ports(nyxd, "web"), open, "a refused change left something");
  const twice = await nyxd.nyx(["update", "--publish-add", `127.0.0.1:${a}:80`, "web"]);
  assert.match(twice.stderr, /publishes it already/);

  const wrong = await nyxd.nyx(["update", "--publish-rm", "9999:80", "web"]);
  assert.match(
    wrong.stderr,
    new RegExp(`Could not stop publishing 9999:80/tcp .*it publishes 127\\.0\\.0\\.1:${a}:80/tcp`),
  );
  const removed = await nyxd.nyx(["update", "--publish-rm", `${a}:80`, "--publish-rm", "81", "web"]);
  assert.equal(removed.code, 0, removed.stderr);
  assert.match(await get(a), /^refused/);
  assert.equal(await get(b), "web");
  await echo.write(new TextEncoder().encode("still"));
  const buffer = new Uint8Array(16);
  const n = await echo.read(buffer) ?? 0;
  assert.equal(new TextDecoder().decode(buffer.subarray(0, n)), "still", "an open connection was cut");
  echo.close();

  const left = await ports(nyxd, "web");
  assert.equal(left.length, 2);
  await nyxd.stop("SIGKILL");
  await using again = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  assert.deepEqual(await ports(again, "web"), left);
  assert.equal(await get(b), "web");
  await again.client.containers.restart(id, { timeoutS: 0 });
  assert.deepEqual(await ports(again, "web"), left, "a restart of the container forgot them");
  assert.equal(await first(b), "web");
  await again.client.containers.stop(id, { timeoutS: 0 });
  await again.client.containers.update(id, { publish: { remove: [{ hostPort: b, containerPort: 80 }] } });
  await again.client.containers.start(id);
  assert.equal((await ports(again, "web")).length, 1);
});

Deno.test("nyx update --publish-from: ports go over to another container without one refused connection; open ones go on", async () => {
  await using world = await startWorld();
  const { nyxd } = world;
  const [a, b] = [freePort(), freePort()];
  await serve(world, "blue", [`127.0.0.1:${a}:80`, `127.0.0.1:${b}:81`]);
  assert.equal(await first(a), "blue");
  await serve(world, "green", ["80"]);
  const own = (await ports(nyxd, "green"))[0] ?? "";
  assert.equal(await first(Number(/:(\d+)>/.exec(own)?.[1])), "green");
  const echo = await Deno.connect({ hostname: "127.0.0.1", port: b });
  const said: string[] = [];
  let asking = true;
  const askers = Array.from({ length: 4 }, async () => {
    while (asking) said.push(await get(a));
  });
  await new Promise((r) => setTimeout(r, 100));
  for (let i = 0; i < 6; i++) {
    const [from, to] = i % 2 === 0 ? ["blue", "green"] : ["green", "blue"];
    const all = await nyxd.client.containers.update(to ?? "", { publish: { from: from ?? "" } });
    assert.deepEqual(all.warnings, []);
    await new Promise((r) => setTimeout(r, 50));
    const now = await get(a);
    assert.equal(now, to);
  }
  asking = false;
  await Promise.all(askers);
  assert.deepEqual([...new Set(said)].sort(), ["blue", "green"], "a connection was refused, or went elsewhere");
  await echo.write(new TextEncoder().encode("on"));
  const buffer = new Uint8Array(8);
  assert.equal(await echo.read(buffer), 2, "an open connection was cut");
  echo.close();
  assert.equal((await nyxd.nyx(["update", "--publish-from", "blue", "green"])).code, 0);
  assert.deepEqual(await ports(nyxd, "blue"), []);
  assert.equal((await ports(nyxd, "green")).length, 3);
  await nyxd.client.containers.stop("blue", { timeoutS: 0 });
  const dead = await nyxd.nyx(["update", "--publish-from", "blue", "green"]);
  assert.match(dead.stderr, /blue must run/);
  await nyxd.stop("SIGKILL");
  await using again = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  assert.equal((await ports(again, "green")).length, 3);
  assert.equal(await get(a), "green");
});

Deno.test("a published port of a running container is held: a program of the host cannot bind it; a stopped one lets go", async () => {
  await using world = await startWorld();
  const port = freePort();
  const udp = freePort();
  await serve(world, "web", [`${port}:80`, `127.0.0.1:${udp}:82/udp`]);
  for (const hostname of ["0.0.0.0", "127.0.0.1"]) {
    assert.throws(() => Deno.listen({ hostname, port }), Deno.errors.AddrInUse, hostname);
  }
  assert.throws(() => Deno.listenDatagram({ hostname: "0.0.0.0", port: udp, transport: "udp" }), Deno.errors.AddrInUse);
  await world.nyxd.client.containers.stop("web", { timeoutS: 0 });
  for (let i = 0; i < 100 && !free(port); i++) await new Promise((r) => setTimeout(r, 20));
  Deno.listenDatagram({ hostname: "127.0.0.1", port: udp, transport: "udp" }).close();
  {
    using _taken = Deno.listen({ port });
    await assert.rejects(world.nyxd.client.containers.start("web"), { message: /a program on the host has port/ });
  }
  await world.nyxd.client.containers.start("web");
  assert.equal(await first(port), "web");
});

Deno.test("-p …/udp and …/sctp: datagrams and associations reach the container", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const [udp, sctp] = [freePort(), freePort()];
  const flags = ["-p", `${udp}:82/udp`, "-p", `127.0.0.1:${sctp}:83/sctp`];
  const { code, stderr } = await nyxd.nyx(["run", "-d", "--name", "web", ...flags, image, "sleep", "1000"]);
  assert.equal(code, 0, stderr);
  assert.match(
    (await nyxd.nyx(["ps"])).stdout,
    new RegExp(`${sctp}->83/sctp.*${udp}->82/udp|${udp}->82/udp.*${sctp}->83/sctp`),
  );
  const { id } = await nyxd.client.containers.inspect("web");
  const inside = `${nyxd.baseDir}/run/netns/${id}`;
  const kernelHasSctp = inNetns(HERE, ["socat", "-u", "SCTP4-LISTEN:0,accept-timeout=0.01", "-"]).stderr
    .match(/not supported/) === null;
  const servers = [`UDP4-RECVFROM:82,fork`, ...(kernelHasSctp ? ["SCTP4-LISTEN:83,fork"] : [])].map((listen) =>
    new Deno.Command("nsenter", {
      args: [`--net=${inside}`, "--", "socat", listen, "SYSTEM:read x; echo got $x"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn()
  );
  try {
    const heard = async (target: string) => {
      for (let i = 0; i < 20; i++) {
        const { stdout } = await inNetnsAsync(HERE, ["socat", "-T1", "-t1", "-", target], "hello\n");
        if (stdout !== "") return stdout;
      }
      return "";
    };
    assert.equal(await heard(`UDP4:127.0.0.1:${udp}`), "got hello\n");
    if (kernelHasSctp) assert.equal(await heard(`SCTP4:127.0.0.1:${sctp}`), "got hello\n");
    else console.log("sctp: this kernel has none; that a port is published, not an association, was tried");
  } finally {
    for (const server of servers) {
      Deno.kill(-server.pid, "SIGKILL");
      await server.status;
    }
  }
});
