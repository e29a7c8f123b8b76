/** rtnetlink, conntrack and nftables against the programs of the distribution as judges. */

import assert from "node:assert/strict";
import { isErrno } from "../../ffi/errno.ts";
import { formatIp, tryParseIp } from "../../ffi/ip_address.ts";
import { linuxSocket } from "../../ffi/linux/socket.ts";
import { Attributes, NetlinkWriter, parseMessages } from "../../ffi/netlink/codec.ts";
import { Conntrack } from "../../ffi/netlink/conntrack.ts";
import {
  addAddress,
  addRoute,
  deleteAddress,
  deleteLink,
  deleteNeighbour,
  deleteRoute,
  newBridge,
  newVeth,
  setLink,
  setPort,
} from "../../ffi/netlink/requests.ts";
import { RtNetlink } from "../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../ffi/netlink/socket.ts";
import { openNft } from "../../ffi/nftables/libnftables.ts";
import { addCommands, type MapElements, NftError } from "../../ffi/nftables/nft.ts";
import { linuxNamespace } from "../../ffi/linux/namespace.ts";
import { renderTable } from "../../workers/network/ruleset.ts";
import { mustInNetns } from "../support/net_hosts.ts";

const ns = linuxNamespace();
const socket = linuxSocket();
const ip4 = (text: string) => tryParseIp(text) ?? assert.fail(text);

/** Runs a test with the descriptor of a fresh namespace and its path for programs. */
function inFreshNetns(run: (fd: number, path: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const { fd } = ns.withNewNetns(() => {});
    try {
      await run(fd, `/proc/${Deno.pid}/fd/${fd}`);
    } finally {
      ns.closeNamespace(fd);
    }
  };
}

Deno.test("NetlinkWriter output is what parseMessages and Attributes read, across growth of the buffer", () => {
  const w = new NetlinkWriter();
  for (let seq = 1; seq <= 300; seq++) {
    w.begin(16, 1, seq).header(Uint8Array.of(1, 2, 3, 4)).u8(1, seq & 255).string(2, "x".repeat(seq))
      .nest(3, () => w.u32(4, seq).be16(5, seq).nest(6, () => w.flag(7)));
  }
  const messages = parseMessages(w.finish());
  assert.equal(messages.length, 300);
  for (const [i, { seq, payload }] of messages.entries()) {
    const a = new Attributes(payload, 4);
    assert.equal(seq, i + 1);
    assert.equal(a.u8(1), seq & 255);
    assert.equal(a.string(2), "x".repeat(seq));
    assert.equal(a.nested(3).u32(4), seq);
    assert.equal(a.nested(3).be16(5), seq);
    assert.equal(a.nested(3).nested(6).bytes(7)?.length, 0);
  }
  assert.deepEqual(parseMessages(w.finish().subarray(0, 40)), []);
});

Deno.test(
  "rtnetlink makes links, addresses, routes and neighbours as ip shows them",
  inFreshNetns((fd, path) => {
    using rt = ns.withNetns(fd, () => new RtNetlink(socket));
    const far = ns.withNewNetns(() => new RtNetlink(socket));
    try {
      const ip = (...args: string[]) => mustInNetns(path, ["ip", ...args]);
      rt.run(newBridge("br0", { mac: Uint8Array.of(2, 0, 0, 0, 0, 1), mtu: 1400 }));
      const bridge = rt.link("br0");
      assert.ok(bridge);
      assert.equal(bridge.kind, "bridge");
      assert.equal(bridge.mtu, 1400);
      rt.run(addAddress(bridge.index, ip4("10.1.0.1"), 24), addAddress(bridge.index, ip4("fd01::1"), 64));
      rt.run(addAddress(bridge.index, ip4("10.1.0.1"), 24));
      assert.match(ip("-br", "addr", "show", "br0"), /10\.1\.0\.1\/24 fd01::1\/64/);
      assert.match(ip("addr", "show", "br0"), /inet 10\.1\.0\.1\/24 brd 10\.1\.0\.255/);
      rt.run(
        newVeth({
          name: "near",
          master: bridge.index,
          mtu: 1400,
          peer: { name: "eth0", netnsFd: far.fd, mac: Uint8Array.of(2, 0, 0, 0, 0, 9) },
        }),
      );
      const near = rt.link("near");
      const inner = far.value.link("eth0");
      assert.ok(near && inner);
      assert.deepEqual([near.master, near.peer, inner.peer, inner.mac, inner.mtu], [
        bridge.index,
        inner.index,
        near.index,
        "02:00:00:00:00:09",
        1400,
      ]);
      far.value.run(
        setLink(inner.index, { up: true }),
        addAddress(inner.index, ip4("10.1.0.2"), 24),
        addRoute({ gateway: ip4("10.1.0.1"), index: inner.index }),
      );
      assert.equal(far.value.routes().find((r) => r.destination === undefined)?.gateway?.join("."), "10.1.0.1");
      rt.run(setPort(near.index, { hairpin: true, isolated: true }));
      assert.match(mustInNetns(path, ["bridge", "-d", "link", "show", "dev", "near"]), /hairpin on.*isolated on/);
      rt.run(setPort(near.index, { forwarding: false }));
      assert.match(mustInNetns(path, ["bridge", "link", "show", "dev", "near"]), /state disabled/);
      rt.run(setPort(near.index, { forwarding: true }), setLink(near.index, { alias: "mine" }));
      assert.equal(rt.link("near")?.alias, "mine");
      rt.run(
        addRoute({
          destination: { ip: ip4("10.9.0.0"), prefix: 16 },
          gateway: ip4("10.1.0.2"),
          index: bridge.index,
          metric: 5,
        }),
      );
      assert.match(ip("route"), /10\.9\.0\.0\/16 via 10\.1\.0\.2 dev br0 metric 5/);
      rt.run(
        deleteRoute({
          destination: { ip: ip4("10.9.0.0"), prefix: 16 },
          gateway: ip4("10.1.0.2"),
          index: bridge.index,
          metric: 5,
        }),
      );
      mustInNetns(path, ["ping", "-c1", "-W1", "-q", "10.1.0.2"]);
      assert.deepEqual(
        rt.neighbours(bridge.index).map((n) => `${formatIp(n.ip)} ${n.mac}`).filter((n) => n.startsWith("10.")),
        ["10.1.0.2 02:00:00:00:00:09"],
      );
      rt.run(deleteNeighbour(bridge.index, ip4("10.1.0.2")));
      assert.equal(rt.neighbours(bridge.index).some((n) => n.mac === "02:00:00:00:00:09"), false);
      assert.ok(rt.rules().some((r) => r.family === 4 && r.table === 254 && r.priority === 32766));
      rt.run(deleteAddress({ index: bridge.index, ip: ip4("10.1.0.1"), prefix: 24 }));
      assert.equal(rt.addresses(bridge.index).filter((a) => a.ip.length === 4).length, 0);
      rt.run(deleteLink(near.index));
      assert.deepEqual(rt.links().map((l) => l.name).filter((n) => n === "near"), []);
      assert.equal(rt.link("near"), undefined);
    } finally {
      far.value[Symbol.dispose]();
      ns.closeNamespace(far.fd);
    }
  }),
);

Deno.test(
  "rtnetlink errors carry errno, subject and the kernel's words; a batch goes on behind a failed request",
  inFreshNetns((fd) => {
    using rt = ns.withNetns(fd, () => new RtNetlink(socket));
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
    rt.run(newBridge("br0", { mac }));
    assert.throws(
      () => rt.run(newBridge("br0", { mac }), newBridge("br1", { mac })),
      (e) => isErrno(e, "EEXIST") && e.subject === "br0",
    );
    assert.ok(rt.link("br1"));
    assert.throws(
      () => rt.run(addRoute({ gateway: ip4("10.77.0.1"), index: rt.link("br0")?.index ?? 0 })),
      (e) => e instanceof NetlinkError && e.code === "ENETUNREACH" && /Nexthop has invalid gateway/.test(e.message),
    );
    assert.throws(() => rt.run(deleteLink(9999)), (e) => isErrno(e, "ENODEV"));
  }),
);

Deno.test(
  "Conntrack.forget takes exactly the flows that match",
  inFreshNetns(async (fd, path) => {
    mustInNetns(path, [
      "sh",
      "-c",
      `ip link set lo up
      nft 'add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c ct state new accept'
      for p in 1001 1002 1003; do echo x | socat -u - UDP4-SENDTO:127.0.0.1:$p; done`,
    ]);
    using conntrack = ns.withNetns(fd, () => new Conntrack(socket));
    const ports = async () => {
      const seen: number[] = [];
      await conntrack.forget(4, ({ original }) => {
        seen.push(original.destinationPort);
        return false;
      });
      return seen.filter((p) => p > 1000 && p < 1010).sort();
    };
    assert.deepEqual(await ports(), [1001, 1002, 1003]);
    assert.equal(
      await conntrack.forget(4, ({ original }) => original.protocol === 17 && original.destinationPort === 1002),
      1,
    );
    assert.deepEqual(await ports(), [1001, 1003]);
    assert.equal(await conntrack.forget(6, () => true), 0);
  }),
);

for (const prefer of ["library", "program"] as const) {
  Deno.test(
    `openNft by ${prefer}: a text is one transaction, listings are objects, errors are nft's own`,
    inFreshNetns((fd, path) => {
      const tempDir = Deno.makeTempDirSync({ prefix: "nyx-nft-" });
      try {
        ns.withNetns(fd, () => {
          using nft = openNft({ tempDir, prefer, socket });
          assert.equal(nft.via === "libnftables", prefer === "library");
          nft.run("add table inet t\nadd map inet t m { type inet_service : ipv4_addr; }");
          assert.throws(
            () => nft.run("add element inet t m { 1 : 10.0.0.1 }\nadd rule inet t nochain accept"),
            (e) => e instanceof NftError && e.missing,
          );
          nft.run("add element inet t m { 2 : 10.0.0.2 }");
          assert.throws(
            () => nft.run("add element inet t m { 2 : 10.0.0.3 }"),
            (e) => e instanceof NftError && e.exists && !e.missing,
          );
          assert.throws(() => nft.run("nonsense"), (e) => e instanceof NftError && /syntax error/.test(e.message));
          const maps = nft.list("list maps").map((o) => o.map as { name: string; elem?: unknown });
          assert.deepEqual(maps.map((m) => [m.name, m.elem]), [["m", [[2, "10.0.0.2"]]]]);
        });
        assert.match(mustInNetns(path, ["nft", "list", "ruleset"]), /elements = \{ 2 : 10\.0\.0\.2 \}/);
        assert.deepEqual([...Deno.readDirSync(tempDir)], []);
      } finally {
        Deno.removeSync(tempDir, { recursive: true });
      }
    }),
  );
}

Deno.test(
  "Nft.change: elements are in the kernel what nft makes of the same words; a change is whole or not at all",
  inFreshNetns((fd, path) => {
    const table = renderTable("nyx_t", [], new Map());
    const all: MapElements = new Map([
      ["any4", [["tcp . 8080", "10.88.0.2 . 80"], ["sctp . 65535", "10.88.0.2 . 1"]]],
      ["addr4", [["10.0.0.1 . udp . 53", "10.88.0.2 . 53"]]],
      ["range4", [["0.0.0.0/0 . udp . 20000-20999", "10.88.0.2"], ["10.1.2.3 . tcp . 5-6", "10.88.0.3"]]],
      ["any6", [["sctp . 99", "fd00::2 . 8080"]]],
      ["addr6", [["fd00::1 . tcp . 443", "fd00::2 . 444"]]],
      ["range6", [["::/0 . tcp . 1-2", "fd00::2"]]],
    ]);
    const none: MapElements = new Map();
    const listing = () => mustInNetns(path, ["nft", "list", "table", "inet", "nyx_t"]);
    const tempDir = Deno.makeTempDirSync({ prefix: "nyx-nft-" });
    try {
      ns.withNetns(fd, () => {
        using nft = openNft({ tempDir, socket });
        nft.run(table);
        const empty = listing();
        nft.run(addCommands("nyx_t", all));
        const byNft = listing();
        // Six types and eight elements.
        assert.equal(byNft.match(/ : /g)?.length, 14);
        nft.change("nyx_t", all, none);
        assert.equal(listing(), empty);
        nft.change("nyx_t", none, all);
        assert.equal(listing(), byNft);

        const lot = (...rows: [string, string][]): MapElements => new Map([["any4", rows]]);
        const one = lot(["tcp . 8080", "10.88.0.2 . 80"]);
        const other = lot(["tcp . 8080", "10.88.0.9 . 80"]);
        const refused = (remove: MapElements, add: MapElements, what: (e: NftError) => boolean) => {
          assert.throws(() => nft.change("nyx_t", remove, add), (e) => e instanceof NftError && what(e));
          assert.equal(listing(), byNft);
        };
        refused(none, new Map([["any6", [["tcp . 2", "fd00::2 . 2"]]], ...other]), (e) => e.exists);
        refused(lot(["tcp . 8080", ""], ["tcp . 1", ""]), none, (e) => e.missing);
        assert.throws(() => nft.change("nyx_x", none, one), (e) => e instanceof NftError && e.missing);
        assert.throws(() => nft.change("nyx_t", none, lot(["tcp . x", "10.88.0.2 . 1"])), NftError);
        nft.change("nyx_t", one, other);
        assert.match(listing(), /tcp \. 8080 : 10\.88\.0\.9 \. 80/);

        // More than one message holds goes by nft itself.
        const rows = Array.from(
          { length: 600 },
          (_, i): [string, string] => [`udp . ${i + 1}`, `10.88.0.2 . ${i + 1000}`],
        );
        nft.change("nyx_t", none, lot(...rows));
        assert.equal(listing().match(/udp \. \d+ : 10\.88\.0\.2 \. \d{4}/g)?.length, 600);
      });
    } finally {
      Deno.removeSync(tempDir, { recursive: true });
    }
  }),
);
