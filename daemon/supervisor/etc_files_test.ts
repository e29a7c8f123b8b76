import assert from "node:assert/strict";
import { hostsLines, resolvConf } from "./etc_files.ts";

const own = { hostname: "web", addresses: ["10.88.0.2"], aliases: ["api"] };

Deno.test("hostsLines: extra hosts come first, host-gateway is the gateway, v6 may stand in brackets", () => {
  assert.deepEqual(
    hostsLines({ extraHosts: ["up:host-gateway", "six=[::1]"], domainname: "lan" }, own, "10.88.0.1"),
    [["10.88.0.1", ["up"]], ["::1", ["six"]], ["10.88.0.2", ["web.lan", "web", "api"]]],
  );
});

Deno.test("hostsLines: an attacker's newline or comment in a name is refused", () => {
  for (const entry of ["a\n1.2.3.4 bank:1.1.1.1", "#x:1.1.1.1", "nocolon", ":1.1.1.1", "a:not-an-ip"]) {
    assert.throws(() => hostsLines({ extraHosts: [entry] }, own, "10.88.0.1"), /Invalid extraHosts/, entry);
  }
});

Deno.test("resolvConf: the host's loopback resolver is dropped unless the host's network is used", () => {
  const host = "nameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch a.example b.example\noptions edns0\n";
  assert.equal(resolvConf({}, host, true), "nameserver 9.9.9.9\nsearch a.example b.example\noptions edns0\n");
  assert.match(resolvConf({}, host, false), /^nameserver 127\.0\.0\.53\n/);
});

Deno.test("resolvConf: own settings win, a lone dot clears the search list", () => {
  const host = "nameserver 9.9.9.9\nsearch a.example\n";
  assert.equal(resolvConf({ dns: ["1.1.1.1"], dnsSearch: ["."] }, host, true), "nameserver 1.1.1.1\n");
  assert.throws(() => resolvConf({ dns: ["1.1.1.1\nsearch evil"] }, host, true), /Invalid dns/);
});
