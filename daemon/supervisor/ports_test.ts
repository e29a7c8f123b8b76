import assert from "node:assert/strict";
import type { PortMapping } from "../spec/container.ts";
import { assigned, type OpenPort, samePort } from "./ports.ts";

const open = (hostIp: string, hostPort: number, containerPort: number, rest: Partial<OpenPort> = {}): OpenPort => ({
  hostIp,
  hostPort,
  containerPort,
  count: 1,
  protocol: "tcp",
  ...rest,
});

Deno.test("assigned: each mapping gets the port, or the pair of both families, that it came to", () => {
  const publish: PortMapping[] = [
    { hostPort: 0, containerPort: 80 },
    { hostPort: 0, containerPort: 80 },
    { hostIp: "127.0.0.1", hostPort: 53, containerPort: 53, protocol: "udp" },
    { hostIp: "0.0.0.0", hostPort: 90, containerPort: 90 },
    { hostIp: "::", hostPort: 90, containerPort: 90 },
    { hostPort: 7000, containerPort: 7000, count: 3 },
  ];
  const ports = [
    open("0.0.0.0", 32768, 80),
    open("::", 32768, 80),
    open("0.0.0.0", 32769, 80),
    open("::", 32769, 80),
    open("127.0.0.1", 53, 53, { protocol: "udp" }),
    open("0.0.0.0", 90, 90),
    open("::", 90, 90),
    open("0.0.0.0", 7000, 7000, { count: 3 }),
  ];
  const got = assigned(publish, ports);
  assert.deepEqual(got.map((p) => p.length), [2, 2, 1, 1, 1, 1]);
  assert.deepEqual(got.flat(), ports);
});

Deno.test("assigned: a container that holds no ports has none for any mapping", () => {
  assert.deepEqual(assigned([{ hostPort: 1, containerPort: 2 }, { hostPort: 3, containerPort: 4 }], []), [[], []]);
});

Deno.test("samePort: defaults filled in or not are the same; another address or protocol is not", () => {
  const a = { hostPort: 8080, containerPort: 80 };
  assert.ok(samePort(a, { hostIp: "", hostPort: 8080, containerPort: 80, count: 1, protocol: "tcp" }));
  assert.ok(!samePort(a, { ...a, hostIp: "127.0.0.1" }));
  assert.ok(!samePort(a, { ...a, protocol: "udp" }));
  assert.ok(!samePort(a, { ...a, hostPort: 8081 }));
  assert.ok(!samePort(a, { ...a, count: 2 }));
});
