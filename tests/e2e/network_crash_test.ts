/** nyxd or its network worker dies at each step of a change of networks: records, leases, links and bridges agree afterwards. */

import assert from "node:assert/strict";
import type { PortMapping } from "../../mod.ts";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import type { Fault } from "../support/faulty_nyxd.ts";
import { startWorld } from "../support/world.ts";

const ENTRY = "tests/support/faulty_nyxd.ts";
let faults = 0;

function arm(nyxd: Nyxd, fault: Omit<Fault, "id">): void {
  Deno.writeTextFileSync(`${nyxd.baseDir}/fault.json`, JSON.stringify({ id: `n${++faults}`, ...fault }));
}

function disarm(nyxd: Nyxd): void {
  for (const name of ["fault.json", "struck.json", "trace.json"]) {
    try {
      Deno.removeSync(`${nyxd.baseDir}/${name}`);
    } catch {
      // It was not written.
    }
  }
}

async function host(command: string): Promise<string> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", command], stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

/** What nyxd says of the container `web`, what is inside it, and what is leased to it. */
async function views(nyxd: Nyxd): Promise<[string[], string[], string[]]> {
  const { network, id } = await nyxd.client.containers.inspect("web");
  const { stdout } = await nyxd.nyx(["exec", "web", "ip", "-o", "-4", "addr", "show", "scope", "global"]);
  const { containers } = JSON.parse(Deno.readTextFileSync(`${nyxd.baseDir}/network/leases.json`));
  const leases = containers[id].leases as { network: string; ip: string }[];
  const told = network.endpoints.map((e) => `${e.interface} ${e.ip}`).sort();
  const inside = [...stdout.matchAll(/(eth\d+)\s+inet ([0-9.]+)/g)].map((m) => `${m[1]} ${m[2]}`).sort();
  assert.deepEqual(leases.map((l) => l.network).sort(), network.endpoints.map((e) => e.network).sort());
  return [told, inside, leases.map((l) => l.ip).sort()];
}

/** Asserts what holds once the worker's replacement has set things right. */
async function onceTrue(holds: () => Promise<void>): Promise<void> {
  for (let i = 0;; i++) {
    try {
      return await holds();
    } catch (e) {
      if (i === 20) throw e;
      await new Promise((r) => setTimeout(r, 100));
    }
  }
}

function agreed(nyxd: Nyxd, what: string): Promise<void> {
  return onceTrue(async () => {
    const [told, inside, leases] = await views(nyxd);
    assert.deepEqual(inside, told, what);
    assert.deepEqual(leases, told.map((l) => l.split(" ")[1]).sort(), what);
  });
}

async function bridgesAgree(nyxd: Nyxd, what: string): Promise<void> {
  const wanted = (await nyxd.client.networks.list()).map((n) => n.bridge).sort();
  const own = await host(`ip -o link show type bridge | grep 'alias nyxd ${nyxd.baseDir}$' | cut -d: -f2`);
  assert.deepEqual(own.split("\n").map((l) => l.trim()).filter((l) => l !== "").sort(), wanted, what);
}

const DEATHS: Omit<Fault, "id">[] = [
  { step: "network.change", when: "during", victim: "worker" },
  { step: "network.change", when: "during", victim: "nyxd" },
  { step: "network.change", when: "after", victim: "nyxd" },
  { step: "record.save", when: "during", victim: "nyxd" },
  { step: "record.save", when: "after", victim: "nyxd" },
];

Deno.test("connect and disconnect cut off at each step: record, leases and interfaces agree", async () => {
  await using world = await startWorld({ entry: ENTRY });
  let { nyxd } = world;
  const first = nyxd;
  const stopped: Nyxd[] = [];
  try {
    await nyxd.client.networks.create({ name: "side" });
    await nyxd.client.containers.run({ image: world.image, name: "web", args: ["sleep", "1000"] });
    for (const action of ["connect", "disconnect"] as const) {
      for (const fault of action === "connect" ? DEATHS : DEATHS.filter((f) => f.step === "network.change")) {
        const what = `${action}: ${fault.victim} dies ${fault.when} ${fault.step}`;
        const { networks } = nyxd.client;
        const connected = (await networks.inspect("side")).containers.length === 1;
        if (connected && action === "connect") await networks.disconnect("side", "web");
        if (!connected && action === "disconnect") await networks.connect("side", { container: "web" });
        arm(nyxd, fault);
        const work = action === "connect"
          ? networks.connect("side", { container: "web" })
          : networks.disconnect("side", "web");
        await work.catch(() => {});
        disarm(nyxd);
        if (fault.victim === "nyxd") {
          await nyxd.stop("SIGKILL").catch(() => {});
          nyxd = await startNyxd({ baseDir: first.baseDir, slot: first.slot, entry: ENTRY });
          stopped.push(nyxd);
        }
        await agreed(nyxd, what);
        const { stdout } = await nyxd.nyx(["exec", "web", "ping", "-c1", "-W1", "web"]);
        assert.match(stdout, /1 packets received/, what);
      }
    }
  } finally {
    for (const one of stopped) await one[Symbol.asyncDispose]();
  }
});

Deno.test("create and remove cut off at each step: every network has its bridge, every bridge its network", async () => {
  await using world = await startWorld({ entry: ENTRY });
  let { nyxd } = world;
  const first = nyxd;
  const stopped: Nyxd[] = [];
  try {
    for (const step of ["network.ensureNetwork", "network.removeNetwork"]) {
      for (const when of ["during", "after"] as const) {
        const what = `nyxd dies ${when} ${step}`;
        const name = `n${++faults}`;
        if (step === "network.removeNetwork") await nyxd.client.networks.create({ name });
        arm(nyxd, { step, when, victim: "nyxd" });
        await (step === "network.removeNetwork"
          ? nyxd.client.networks.remove(name)
          : nyxd.client.networks.create({ name })).catch(() => {});
        disarm(nyxd);
        await nyxd.stop("SIGKILL").catch(() => {});
        nyxd = await startNyxd({ baseDir: first.baseDir, slot: first.slot, entry: ENTRY });
        stopped.push(nyxd);
        await bridgesAgree(nyxd, what);
      }
    }
    arm(nyxd, { step: "network.ensureNetwork", when: "during", victim: "worker" });
    await nyxd.client.networks.create({ name: "again" }).catch(() => {});
    disarm(nyxd);
    for (let i = 0; !(await nyxd.client.networks.list()).some((n) => n.name === "again"); i++) {
      await nyxd.client.networks.create({ name: "again" }).catch((e) => {
        if (i === 20) throw e;
        return new Promise((r) => setTimeout(r, 100));
      });
    }
    await bridgesAgree(nyxd, "the worker dies during ensureNetwork");
    const { id } = await nyxd.client.containers.run({ image: world.image, networkMode: "again", args: ["true"] });
    assert.equal((await nyxd.client.containers.wait(id)).exitCode, 0);
  } finally {
    for (const one of stopped) await one[Symbol.asyncDispose]();
  }
});

const MOVE_DEATHS: [Omit<Fault, "id">, "blue" | "green"][] = [
  [{ step: "network.movePorts", when: "during", victim: "worker" }, "blue"],
  [{ step: "network.movePorts", when: "during", victim: "nyxd" }, "blue"],
  [{ step: "network.movePorts", when: "after", victim: "nyxd" }, "blue"],
  [{ step: "network.movePorts", when: "after", victim: "nyxd" }, "green"],
  [{ step: "record.save", when: "after", victim: "nyxd" }, "blue"],
  [{ step: "record.save", when: "after", victim: "nyxd" }, "green"],
  [{ step: "record.save", when: "after", nth: 2, victim: "nyxd" }, "blue"],
];

Deno.test("moving a port cut off at each step: one of both containers has it, in records, leases and rules alike", async () => {
  await using world = await startWorld({ entry: ENTRY });
  let { nyxd } = world;
  const first = nyxd;
  const stopped: Nyxd[] = [];
  try {
    const serve = (name: string, publish: PortMapping[]) =>
      nyxd.client.containers.run({
        image: world.image,
        name,
        publish,
        args: ["sh", "-c", `mkdir /www; echo ${name} > /www/name; exec httpd -f -p 80 -h /www`],
      });
    await serve("blue", [{ hostIp: "127.0.0.1", hostPort: 0, containerPort: 80 }]);
    await serve("green", []);
    const held = async (name: string) => (await nyxd.client.containers.inspect(name)).network.ports;
    const [port] = await held("blue");
    for (const [fault, from] of MOVE_DEATHS) {
      const what = `${fault.victim} dies ${fault.when} ${fault.step} ${fault.nth ?? 1}, from ${from}`;
      if ((await held(from)).length === 0) {
        await nyxd.client.containers.update(from, { publish: { from: from === "blue" ? "green" : "blue" } });
      }
      arm(nyxd, fault);
      await nyxd.client.containers.update(from === "blue" ? "green" : "blue", { publish: { from } }).catch(() => {});
      disarm(nyxd);
      if (fault.victim === "nyxd") {
        await nyxd.stop("SIGKILL").catch(() => {});
        nyxd = await startNyxd({ baseDir: first.baseDir, slot: first.slot, entry: ENTRY });
        stopped.push(nyxd);
      }
      await onceTrue(async () => {
        const owners = [];
        for (const name of ["blue", "green"]) if ((await held(name)).length === 1) owners.push(name);
        const answer = await fetch(`http://127.0.0.1:${port?.hostPort}/name`).then((r) => r.text(), String);
        const { containers } = JSON.parse(Deno.readTextFileSync(`${nyxd.baseDir}/network/leases.json`));
        const leased = Object.values<{ name: string; ports: unknown[] }>(containers).filter((c) => c.ports.length > 0);
        assert.deepEqual([owners, leased.map((c) => c.name)], [[answer.trim()], [answer.trim()]], what);
      });
    }
  } finally {
    for (const one of stopped) await one[Symbol.asyncDispose]();
  }
});
