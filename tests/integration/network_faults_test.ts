/** A set-up that fails at any call leaves nothing behind, and the next one works. Faults are injected into the real kernel edge. */

import assert from "node:assert/strict";
import { NyxError } from "../../daemon/spec/errors.ts";
import { CLONE_NEWNET } from "../../ffi/namespace.ts";
import { linuxNamespace } from "../../ffi/linux/namespace.ts";
import { linuxSocket } from "../../ffi/linux/socket.ts";
import { openNft } from "../../ffi/nftables/libnftables.ts";
import { type Nft, NftError } from "../../ffi/nftables/nft.ts";
import { setup, takeDown } from "../../workers/network/container.ts";
import { open, shutdown } from "../../workers/network/lifecycle.ts";
import { movePorts } from "../../workers/network/publish.ts";
import { release } from "../../workers/network/reservation.ts";
import type { Session } from "../../workers/network/session.ts";
import { type Fault, faultyKernel } from "../support/fake_kernel.ts";
import { randomId } from "../support/net_hosts.ts";

const real = { ns: linuxNamespace(), socket: linuxSocket() };

/** Runs a session on a host of its own: this thread is in its namespace until the end. */
async function onOwnHost(
  run: (
    s: Session,
    faults: { ns: Fault[]; socket: Fault[]; struck: () => number; nft: { failAt: number } },
  ) => Promise<void>,
): Promise<void> {
  const home = real.ns.openNamespace("/proc/thread-self/ns/net");
  const { fd } = real.ns.withNewNetns(() => {});
  const baseDir = Deno.makeTempDirSync({ prefix: "nyx-network-faults-" });
  real.ns.setns(fd, CLONE_NEWNET);
  try {
    const [nsFaults, socketFaults, nftState]: [Fault[], Fault[], { failAt: number }] = [[], [], { failAt: 0 }];
    const ns = faultyKernel(linuxNamespace(), nsFaults);
    const socket = faultyKernel(linuxSocket(), socketFaults);
    const { session } = await open(
      {
        kernel: { ns: ns.kernel, socket: socket.kernel },
        openNft: (o) => failing(openNft(o), nftState),
        log: () => {},
      },
      {
        baseDir,
        networks: [{ name: "nyx", driver: "bridge", bridge: "nyxbr0", subnet: "10.88.0.0/16", gateway: "10.88.0.1" }],
        live: [],
        known: [],
        poolSize: 0,
        defaultPublishIp: "",
      },
    );
    const struck = () => ns.struck.length + socket.struck.length;
    await run(session, { ns: nsFaults, socket: socketFaults, struck, nft: nftState });
    await shutdown(session, false);
  } finally {
    real.ns.setns(home, CLONE_NEWNET);
    real.ns.closeNamespace(home);
    real.ns.closeNamespace(fd);
    for (const line of Deno.readTextFileSync("/proc/self/mountinfo").split("\n").reverse()) {
      const target = line.split(" ")[4];
      if (target?.startsWith(baseDir)) new Deno.Command("umount", { args: ["-l", target] }).outputSync();
    }
    Deno.removeSync(baseDir, { recursive: true });
  }
}

/** nftables whose n-th next run fails. */
function failing(nft: Nft, state: { failAt: number }): Nft {
  const strike = (commands: string) => {
    if (state.failAt > 0 && --state.failAt === 0) {
      throw new NftError("Error: Could not process rule: Operation not permitted", commands);
    }
  };
  return {
    via: nft.via,
    run(commands) {
      strike(commands);
      nft.run(commands);
    },
    change(table, remove, add) {
      strike(`elements of ${table}`);
      nft.change(table, remove, add);
    },
    list: (command) => nft.list(command),
    [Symbol.dispose]: () => nft[Symbol.dispose](),
  };
}

function request(id: string) {
  return {
    id,
    name: "c",
    mode: "bridge" as const,
    attachments: [],
    ports: [{ hostPort: 8080, containerPort: 80 }, { hostPort: 5353, containerPort: 53, protocol: "udp" as const }],
    sysctls: { "net.core.somaxconn": "99" },
  };
}

async function assertClean(s: Session): Promise<void> {
  assert.equal(s.active.size, 0);
  assert.deepEqual([...s.leases.entries()], []);
  assert.deepEqual([...Deno.readDirSync(s.netnsDir)], []);
  const elements = s.nft.list(`list map inet ${s.table} any4`).map((o) => (o.map as { elem?: unknown }).elem);
  assert.deepEqual(elements, [undefined]);
  for (let i = 0; s.rt.links().some((l) => l.kind === "veth"); i++) {
    assert.ok(i < 60, "an interface is left");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("setup undoes everything when any one kernel call fails, and works right after", () =>
  onOwnHost(async (s, faults) => {
    const cases: [Fault[], Fault][] = [];
    for (let nth = 1; nth <= 7; nth++) cases.push([faults.socket, { call: "send", nth, errno: "ENOBUFS" }]);
    for (let nth = 1; nth <= 2; nth++) cases.push([faults.socket, { call: "socket", nth, errno: "EMFILE" }]);
    cases.push([faults.socket, { call: "setsockopt", errno: "EACCES" }]);
    cases.push([faults.ns, { call: "withNewNetns", errno: "ENOSPC" }]);
    cases.push([faults.ns, { call: "pinNamespace", errno: "ENOSPC" }]);
    cases.push([faults.ns, { call: "writeKernelFile", errno: "EROFS", where: "somaxconn" }]);
    for (const [list, fault] of cases) {
      list.push(fault);
      const before = faults.struck();
      await assert.rejects(setup(s, request(randomId())), (e) => e instanceof Error, JSON.stringify(fault));
      assert.equal(faults.struck(), before + 1, `${JSON.stringify(fault)} must strike once`);
      list.length = 0;
      await assertClean(s);
    }
    const id = randomId();
    const { endpoints } = await setup(s, request(id));
    assert.equal(endpoints.length, 1);
    takeDown(s, id).finish("take down");
    release(s, id);
    await s.leases.commit();
    await assertClean(s);
  }));

Deno.test("setup undoes everything when nft refuses the ports, or the leases cannot be written", () =>
  onOwnHost(async (s, faults) => {
    faults.nft.failAt = 1;
    await assert.rejects(setup(s, request(randomId())), /Operation not permitted/);
    await assertClean(s);
    // What the refusal set right is written behind its answer.
    await s.leases.commit();
    Deno.mkdirSync(`${s.baseDir}/network/leases.json.tmp`);
    await assert.rejects(
      setup(s, request(randomId())),
      (e) => e instanceof NyxError && e.code === "unavailable" && /leases/.test(e.message),
    );
    await assertClean(s);
    Deno.removeSync(`${s.baseDir}/network/leases.json.tmp`);
    await s.leases.commit();
  }));

Deno.test("teardown goes on behind a failed step, tells all failures, and finishes when asked again", () =>
  onOwnHost(async (s, faults) => {
    const id = randomId();
    await setup(s, request(id));
    faults.nft.failAt = 1;
    faults.socket.push({ call: "send", nth: 1, errno: "ENOBUFS" });
    assert.throws(() => takeDown(s, id).finish("take down"), (e) => {
      assert.ok(e instanceof NyxError);
      assert.match(e.message, /unpublish ports: .*Operation not permitted.*; silence interface: .*ENOBUFS/);
      return true;
    });
    faults.socket.length = 0;
    assert.deepEqual([...Deno.readDirSync(s.netnsDir)], [], "the namespace went although the steps before failed");
    takeDown(s, id).finish("take down");
    release(s, id);
    await s.leases.commit();
    const elements = s.nft.list(`list map inet ${s.table} any4`).map((o) => (o.map as { elem?: unknown }).elem);
    assert.deepEqual(elements, [undefined]);
  }));

Deno.test("movePorts undoes everything when nft refuses, or the leases cannot be written, and works right after", () =>
  onOwnHost(async (s, faults) => {
    const [from, to] = [randomId(), randomId()];
    const { ports } = await setup(s, request(from));
    await setup(s, { ...request(to), ports: [] });
    const table = () => JSON.stringify(s.nft.list(`list map inet ${s.table} any4`));
    const before = [table(), JSON.stringify([...s.leases.entries()])];
    const holds = s.holds.size;
    const blocked = `${s.baseDir}/network/leases.json.tmp`;
    for (const cause of ["nft", "disk"] as const) {
      await s.leases.commit();
      if (cause === "nft") faults.nft.failAt = 1;
      else Deno.mkdirSync(blocked, { recursive: true });
      await assert.rejects(movePorts(s, { from, to, ports }), (e) => e instanceof Error, cause);
      if (cause === "disk") Deno.removeSync(blocked);
      assert.deepEqual([table(), JSON.stringify([...s.leases.entries()])], before, cause);
      assert.equal(s.holds.size, holds, cause);
    }
    const moved = await movePorts(s, { from, to, ports });
    assert.deepEqual([moved.from, moved.to], [[], ports]);
    assert.equal(s.holds.size, holds);
    assert.notEqual(table(), before[0]);
    for (const id of [from, to]) {
      takeDown(s, id).finish("take down");
      release(s, id);
    }
    assert.equal(s.holds.size, 0, "a socket is left");
    await s.leases.commit();
    await assertClean(s);
  }));
