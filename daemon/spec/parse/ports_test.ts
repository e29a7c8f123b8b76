import assert from "node:assert/strict";
import type { PortMapping } from "../container.ts";
import { NyxError } from "../errors.ts";
import { formatPublish, parseExpose, parsePublish } from "./ports.ts";

Deno.test("parsePublish: Docker's forms", () => {
  const cases: [string, PortMapping][] = [
    ["80", { hostPort: 0, containerPort: 80, protocol: "tcp" }],
    ["8080:80", { hostPort: 8080, containerPort: 80, protocol: "tcp" }],
    [":80", { hostPort: 0, containerPort: 80, protocol: "tcp" }],
    ["::80", { hostPort: 0, containerPort: 80, protocol: "tcp" }],
    ["0:80", { hostPort: 0, containerPort: 80, protocol: "tcp" }],
    ["127.0.0.1:8080:80", { hostIp: "127.0.0.1", hostPort: 8080, containerPort: 80, protocol: "tcp" }],
    ["127.0.0.1::80/UDP", { hostIp: "127.0.0.1", hostPort: 0, containerPort: 80, protocol: "udp" }],
    ["[::1]:8080:80", { hostIp: "::1", hostPort: 8080, containerPort: 80, protocol: "tcp" }],
    ["[2001:DB8::0]::53/udp", { hostIp: "2001:db8::", hostPort: 0, containerPort: 53, protocol: "udp" }],
    ["8000-8002:9000-9002/sctp", { hostPort: 8000, containerPort: 9000, count: 3, protocol: "sctp" }],
    ["3000-3005", { hostPort: 0, containerPort: 3000, count: 6, protocol: "tcp" }],
    ["0.0.0.0:53:53/udp", { hostIp: "0.0.0.0", hostPort: 53, containerPort: 53, protocol: "udp" }],
  ];
  for (const [text, mapping] of cases) assert.deepEqual(parsePublish(text), mapping, text);
});

Deno.test("parsePublish: refuses what is no port, with field and fix in the message", () => {
  const bad = [
    "",
    ":",
    "a:b",
    "80:",
    "8080:80:tcp",
    "localhost:80:80",
    "256.0.0.1:80:80",
    "::1:80:80",
    "[::1]",
    "[::1]:80",
    "[127.0.0.1]:80:80",
    "[::1:80:80",
    "70000:80",
    "80:70000",
    "80:0",
    "8000-8001:80",
    "80:8000-8001",
    "8002-8000:80-82",
    "80/icmp",
    "80/tcp/udp",
    "-80",
    "80-",
    "1e3:80",
    "+80:80",
    " 80:80",
    "0x50:80",
    "0-2:80-82",
  ];
  for (const text of bad) {
    assert.throws(
      () => parsePublish(text),
      (e) => e instanceof NyxError && e.code === "invalid_argument" && e.message.startsWith("Invalid publish"),
      text,
    );
  }
});

Deno.test("formatPublish: read back to the same mapping (property)", () => {
  const ips = [undefined, "127.0.0.1", "0.0.0.0", "::1", "fd00::1:2"];
  const protocols = ["tcp", "udp", "sctp"] as const;
  for (let seed = 1; seed < 5000; seed++) {
    const count = seed % 4 === 0 ? 1 + seed % 50 : 1;
    const hostIp = ips[seed % ips.length];
    const mapping: PortMapping = {
      hostPort: seed % 3 === 0 ? 0 : 1 + (seed * 7919) % (65535 - 60),
      containerPort: 1 + (seed * 104729) % (65535 - 60),
      protocol: protocols[seed % 3] ?? "tcp",
    };
    if (count > 1) mapping.count = count;
    if (hostIp !== undefined) mapping.hostIp = hostIp;
    assert.deepEqual(parsePublish(formatPublish(mapping)), mapping, formatPublish(mapping));
  }
});

Deno.test("parsePublish: never throws anything but NyxError, whatever the text (property)", () => {
  const alphabet = "0189:.-/[]tcpudp ";
  let state = 42;
  for (let round = 0; round < 20000; round++) {
    let text = "";
    for (let at = 0; at < round % 14; at++) {
      state = (state * 1103515245 + 12345) % 2147483648;
      text += alphabet[state % alphabet.length] ?? "";
    }
    try {
      const { hostPort, containerPort, count = 1 } = parsePublish(text);
      assert.ok(
        hostPort >= 0 && hostPort + count - 1 <= 65535 && containerPort >= 1 && containerPort + count - 1 <= 65535,
        text,
      );
    } catch (e) {
      assert.ok(e instanceof NyxError, `${text}: ${e}`);
    }
  }
});

Deno.test("parseExpose: normalised, no host part", () => {
  assert.deepEqual(["80", "7000-7010/UDP"].map((text) => parseExpose(text)), ["80/tcp", "7000-7010/udp"]);
  for (const text of ["", "0", "8080:80", "80/x", "2-1", "80/tcp/x"]) {
    assert.throws(() => parseExpose(text), NyxError, text);
  }
});
