import assert from "node:assert/strict";
import { endpointOf, hostInterfaces, parseResult } from "./result.ts";

const RESULT = {
  cniVersion: "1.0.0",
  interfaces: [
    { name: "cni0", mac: "02:00:00:00:00:01" },
    { name: "veth1", mac: "02:00:00:00:00:02" },
    { name: "eth0", mac: "02:00:00:00:00:03", sandbox: "/run/netns/x" },
  ],
  ips: [
    { interface: 2, address: "fd00::5/64", gateway: "fd00::1" },
    { interface: 2, address: "10.1.0.5/24", gateway: "10.1.0.1" },
  ],
  dns: { nameservers: ["10.1.0.1"], domain: "lan", search: ["lan", "a.example"], options: ["ndots:1"] },
};

function parse(fields: Record<string, unknown> = {}) {
  return parseResult(JSON.stringify({ ...RESULT, ...fields }), "plugin p");
}

Deno.test("endpointOf: IPv4 first whatever the order, with both gateways; the host's end is known", () => {
  const result = parse();
  assert.deepEqual(endpointOf(result, { network: "n", ifname: "eth0", bridged: true }), {
    network: "n",
    interface: "eth0",
    ip: "10.1.0.5",
    prefix: 24,
    gateway: "10.1.0.1",
    mac: "02:00:00:00:00:03",
    ip6: "fd00::5",
    prefix6: 64,
    gateway6: "fd00::1",
  });
  assert.deepEqual(hostInterfaces(result), ["cni0", "veth1"]);
  assert.deepEqual(result.dns, { nameservers: ["10.1.0.1"], search: ["lan", "a.example"], options: ["ndots:1"] });
});

Deno.test("endpointOf: IPv6 alone has no IPv4; an address of 0.4.0's form counts; none at all is refused with the remedy", () => {
  const six = parse({ ips: [{ version: "6", address: "fd00::5/64" }] });
  const endpoint = endpointOf(six, { network: "n", ifname: "eth0", bridged: false });
  assert.deepEqual(endpoint, {
    network: "n",
    interface: "eth0",
    mac: "02:00:00:00:00:03",
    ip6: "fd00::5",
    prefix6: 64,
    foreign: true,
  });
  const none = parse({ ips: [{ interface: 0, address: "10.1.0.1/24" }] });
  const place = { network: "n", ifname: "eth0", bridged: true };
  assert.throws(() => endpointOf(none, place), /network "n".*no address.*ipam/);
});

Deno.test("parseResult: bad addresses, names and numbers are refused with the value", () => {
  for (
    const [fields, message] of [
      [{ ips: [{ address: "10.1.0.300/24" }] }, /"10\.1\.0\.300\/24" is no address/],
      [{ ips: [{ address: "10.1.0.3" }] }, /no address with a prefix/],
      [{ ips: [{ address: "10.1.0.3/33" }] }, /no address with a prefix/],
      [{ ips: [{ address: "10.1.0.3/24 # x" }] }, /no address/],
      [{ ips: [{ address: "10.1.0.3/24", gateway: "fd00::1" }] }, /no gateway/],
      [{ ips: [{ address: "10.1.0.3/24", gateway: "10.1.0.1\nnameserver 6.6.6.6" }] }, /no gateway/],
      [{ ips: [{ address: "10.1.0.3/24", interface: 3 }] }, /interface number 3/],
      [{ ips: [{ address: "10.1.0.3/24", interface: 0.5 }] }, /interface number 0\.5/],
      [{ ips: "10.1.0.3/24" }, /ips is no list/],
      [{ ips: Array.from({ length: 65 }, () => RESULT.ips[1]) }, /65 entries/],
      [{ interfaces: [{ name: "../../etc/passwd" }] }, /is no interface/],
      [{ interfaces: [{ name: "a name of sixteen" }] }, /is no interface/],
      [{ interfaces: [{ name: "eth0", mac: "zz" }] }, /no hardware address/],
    ] as [Record<string, unknown>, RegExp][]
  ) assert.throws(() => parse({ ...fields }), message, JSON.stringify(fields));
});

Deno.test("parseResult: a plugin that smuggles lines into resolv.conf by a word of dns is refused", () => {
  for (
    const dns of [
      { nameservers: ["1.1.1.1\nnameserver 6.6.6.6"] },
      { nameservers: ["evil.example"] },
      { search: ["a\nnameserver 6.6.6.6"] },
      { search: ["a b"] },
      { domain: "x\ty" },
      { options: ["ndots:1\n"] },
      { options: [7] },
      "text",
    ]
  ) assert.throws(() => parse({ dns }), /Could not use the result of plugin p: .*dns/, JSON.stringify(dns));
});

Deno.test("parseResult: what is no JSON object is shown, cut short", () => {
  for (const text of ["", "not json", "[]", "null", '"text"', `{"a":`]) {
    assert.throws(() => parseResult(text, "plugin p"), /Could not use the result of plugin p/);
  }
  assert.throws(() => parseResult("x".repeat(10_000), "p"), (e: Error) => e.message.length < 500);
});
