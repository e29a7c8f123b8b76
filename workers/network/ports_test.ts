import assert from "node:assert/strict";
import { NyxError } from "../../daemon/spec/errors.ts";
import { SyscallError } from "../../ffi/errno.ts";
import type { SocketKernel } from "../../ffi/socket.ts";
import { sockaddrPort } from "../../ffi/socket_address.ts";
import { collides, completePorts, PortTable, portText } from "./ports.ts";
import type { PublishedPort } from "./ruleset.ts";

/** A host on which the ports in `taken` cannot be bound. */
function host(taken: number[] = []): SocketKernel {
  const fake: Partial<SocketKernel> = {
    socket: () => 9,
    setsockopt: () => {},
    closeSocket: () => {},
    bind: (_fd, address) => {
      if (taken.includes(sockaddrPort(address))) throw new SyscallError("bind", 98);
    },
  };
  return fake as SocketKernel;
}

function port(hostPort: number, change: Partial<PublishedPort> = {}): PublishedPort {
  return { hostIp: "0.0.0.0", hostPort, containerPort: 80, count: 1, protocol: "tcp", ...change };
}

const code = (expected: string, pattern: RegExp) => (e: unknown) =>
  e instanceof NyxError && e.code === expected && pattern.test(e.message);

Deno.test("completePorts fills in defaults, one mapping for each family, and refuses what cannot be", () => {
  const single = { defaultHostIp: "", families: { v4: true, v6: false } };
  const dual = { defaultHostIp: "", families: { v4: true, v6: true } };
  const six = { defaultHostIp: "", families: { v4: false, v6: true } };
  assert.deepEqual(completePorts([{ hostPort: 80, containerPort: 8080 }], single), [port(80, { containerPort: 8080 })]);
  assert.deepEqual(completePorts([{ hostPort: 80, containerPort: 80 }], dual), [port(80), port(80, { hostIp: "::" })]);
  assert.deepEqual(completePorts([{ hostPort: 80, containerPort: 80 }], { ...single, defaultHostIp: "127.0.0.1" }), [
    port(80, { hostIp: "127.0.0.1" }),
  ]);
  assert.deepEqual(completePorts([{ hostIp: "[FD00::1]", hostPort: 80, containerPort: 80 }], dual), [
    port(80, { hostIp: "fd00::1" }),
  ]);
  const bad: [object, RegExp][] = [
    [{ hostPort: -1, containerPort: 80 }, /host port/],
    [{ hostPort: 1.5, containerPort: 80 }, /host port/],
    [{ hostPort: 80, containerPort: 0 }, /container port/],
    [{ hostPort: 80, containerPort: 65536 }, /container port/],
    [{ hostPort: 80, containerPort: 65530, count: 7 }, /65530-65536/],
    [{ hostPort: 80, containerPort: 80, count: 0 }, /range/],
    [{ hostPort: 80, containerPort: 80, protocol: "icmp" }, /tcp, udp or sctp/],
    [{ hostIp: "example.org", hostPort: 80, containerPort: 80 }, /not a name/],
    [{ hostIp: "0.0.0.0; flush ruleset", hostPort: 80, containerPort: 80 }, /IP address/],
    [{ hostIp: "::", hostPort: 80, containerPort: 80 }, /IPv6/],
  ];
  for (const [mapping, pattern] of bad) {
    assert.throws(
      () => completePorts([mapping as { hostPort: number; containerPort: number }], single),
      code("invalid_argument", pattern),
    );
  }
  assert.throws(
    () => completePorts([{ hostIp: "::1", hostPort: 80, containerPort: 80 }], dual),
    code("invalid_argument", /127\.0\.0\.1/),
  );
  assert.deepEqual(completePorts([{ hostPort: 80, containerPort: 80 }], six), [port(80, { hostIp: "::" })]);
  for (
    const [hostIp, options] of [
      ["127.0.0.1", six],
      ["0.0.0.0", six],
      [undefined, { ...six, defaultHostIp: "127.0.0.1" }],
    ] as const
  ) {
    assert.throws(
      () => completePorts([{ ...(hostIp === undefined ? {} : { hostIp }), hostPort: 80, containerPort: 80 }], options),
      code("invalid_argument", /IPv6 alone; publish on an IPv6 address/),
    );
  }
});

Deno.test("collides: same protocol and family, overlapping ranges, equal or all addresses", () => {
  const cases: [PublishedPort, PublishedPort, boolean][] = [
    [port(80), port(80), true],
    [port(80), port(81), false],
    [port(80), port(80, { protocol: "udp" }), false],
    [port(80), port(80, { hostIp: "127.0.0.1" }), true],
    [port(80, { hostIp: "10.0.0.1" }), port(80, { hostIp: "127.0.0.1" }), false],
    [port(80, { count: 10 }), port(89), true],
    [port(80, { count: 10 }), port(90), false],
    [port(80), port(80, { hostIp: "::" }), false],
    [port(80, { hostIp: "fd00::1" }), port(80, { hostIp: "::" }), true],
  ];
  for (const [a, b, expected] of cases) {
    assert.equal(collides(a, b), expected, `${portText(a)} and ${portText(b)}`);
    assert.equal(collides(b, a), expected, `${portText(b)} and ${portText(a)}`);
  }
});

Deno.test("PortTable.reserve: ephemeral ports are free, distinct, in range, kept on repetition, and wrap around", () => {
  const table = new PortTable(host([40001]), { first: 40000, last: 40004 });
  const any = port(0);
  assert.deepEqual(table.reserve("a", "a", [any]).map((p) => p.hostPort), [40000]);
  assert.deepEqual(table.reserve("b", "b", [any]).map((p) => p.hostPort), [40002]);
  assert.deepEqual(table.reserve("a", "a", [any]).map((p) => p.hostPort), [40000]);
  assert.deepEqual(table.reserve("c", "c", [port(0, { count: 2 })]).map((p) => p.hostPort), [40003]);
  assert.throws(() => table.reserve("d", "d", [any]), code("resource_exhausted", /40000-40004/));
  table.free("b");
  assert.deepEqual(table.reserve("d", "d", [any]).map((p) => p.hostPort), [40002]);
  assert.deepEqual(table.reserve("e", "e", [port(0, { protocol: "udp" })]).length, 1);
});

Deno.test("PortTable.reserve: a refusal names the holder and changes nothing", () => {
  const table = new PortTable(host([9000]), { first: 40000, last: 40100 });
  table.reserve("a", "web", [port(80), port(443)]);
  assert.throws(
    () => table.reserve("b", "shop", [port(81), port(443)]),
    code("already_exists", /for shop: container web has 0\.0\.0\.0:443\/tcp/),
  );
  table.reserve("c", "other", [port(81)]);
  assert.throws(() => table.reserve("a", "web", [port(80), port(81)]), code("already_exists", /other/));
  assert.throws(() => table.reserve("d", "x", [port(443)]), code("already_exists", /web/));
  assert.throws(
    () => table.reserve("d", "x", [port(9000)]),
    code("already_exists", /a program on the host has port 9000.*-Hlnpt/),
  );
  assert.throws(() => table.reserve("d", "x", [port(70), port(70)]), code("invalid_argument", /as well/));
  table.free("a");
  table.reserve("d", "x", [port(443)]);
});
