import assert from "node:assert/strict";
import { hostsLines, resolvConf } from "./etc_files.ts";

const bare = { ownNetwork: true, embedded: [] };
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
  assert.equal(resolvConf({}, host, bare), "nameserver 9.9.9.9\nsearch a.example b.example\noptions edns0\n");
  assert.match(resolvConf({}, host, { ...bare, ownNetwork: false }), /^nameserver 127\.0\.0\.53\n/);
});

Deno.test("resolvConf: own settings win, a lone dot clears the search list", () => {
  const host = "nameserver 9.9.9.9\nsearch a.example\n";
  assert.equal(resolvConf({ dns: ["1.1.1.1"], dnsSearch: ["."] }, host, bare), "nameserver 1.1.1.1\n");
  assert.throws(() => resolvConf({ dns: ["1.1.1.1\nsearch evil"] }, host, bare), /Invalid dns/);
});

Deno.test("resolvConf: nyx's resolver stands alone, keeps the search list, and asks for ndots:0 unless ndots is set", () => {
  const host = "nameserver 9.9.9.9\nsearch a.example\noptions timeout:1\n";
  const place = { ownNetwork: true, embedded: ["10.88.0.1"] };
  assert.equal(
    resolvConf({}, host, place),
    "nameserver 10.88.0.1\nsearch a.example\noptions timeout:1 ndots:0\n",
  );
  assert.match(resolvConf({ dnsOptions: ["ndots:2"] }, host, place), /^options ndots:2$/m);
  assert.equal(
    resolvConf({ dns: ["1.1.1.1"] }, host, place),
    "nameserver 1.1.1.1\nsearch a.example\noptions timeout:1\n",
  );
});

Deno.test("resolvConf: a network backend's resolvers, search list and options stand in for the host's, behind nyx's and one's own", () => {
  const host = "nameserver 9.9.9.9\nsearch a.example\noptions edns0\n";
  const given = { nameservers: ["127.0.0.53", "10.5.0.1"], search: ["lan"], options: ["ndots:3"] };
  const place = { ...bare, given };
  assert.equal(
    resolvConf({}, host, place),
    "nameserver 127.0.0.53\nnameserver 10.5.0.1\nsearch lan\noptions ndots:3\n",
  );
  assert.match(resolvConf({ dns: ["1.1.1.1"] }, host, place), /^nameserver 1\.1\.1\.1\nsearch lan\n/);
  assert.equal(
    resolvConf({}, host, { ...place, given: { ...given, nameservers: [] } }).split("\n")[0],
    "nameserver 9.9.9.9",
  );
  const embedded = resolvConf({}, host, { ...place, embedded: ["10.88.0.1"] });
  assert.equal(embedded, "nameserver 10.88.0.1\nsearch a.example\noptions edns0 ndots:0\n");
});
