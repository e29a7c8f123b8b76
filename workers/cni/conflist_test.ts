import assert from "node:assert/strict";
import { offers, parseConfigList, subnetsOf, withoutDefaultRoute } from "./conflist.ts";

const bridge = { type: "bridge", ipam: { type: "host-local", subnet: "10.1.0.0/24" } };

function list(fields: Record<string, unknown> = {}) {
  return parseConfigList({ cniVersion: "1.0.0", name: "net", plugins: [bridge], ...fields }, "a.conflist");
}

Deno.test("parseConfigList: a plugin whose type is a path, that would run /bin/sh as root, is refused wherever it stands", () => {
  for (const type of ["../../bin/sh", "/bin/sh", "..", ".", "", "a/b", "-x", "a\0b", "a b", 7, undefined, null, {}]) {
    for (const plugins of [[{ type }], [bridge, { type }], [{ type: "bridge", delegate: { type: type ?? 0 } }]]) {
      assert.throws(() => list({ plugins }), /Invalid plugin type of .*directory of plugins/, JSON.stringify(plugins));
    }
  }
  assert.throws(() => list({ plugins: [{ type: "bridge", ipam: { type: "../x" } }] }), /ipam of a\.conflist/);
});

Deno.test("parseConfigList: a network's name becomes a file's name, so slashes, dots and words with a meaning are refused", () => {
  for (const name of ["../../etc/cron.d/x", "a/b", ".hidden", "", "a b", "a\nb", 3, null, "x".repeat(129)]) {
    assert.throws(() => list({ name }), /Invalid network name/, JSON.stringify(name));
  }
  for (const name of ["host", "none", "bridge", "default", "container"]) {
    assert.throws(() => list({ name }), /means something else/);
  }
});

Deno.test("parseConfigList: versions from 0.3.0 to 1.1.0; of several the newest; others are refused with those that are spoken", () => {
  assert.equal(list({ cniVersion: "0.3.0" }).cniVersion, "0.3.0");
  assert.equal(list({ cniVersion: "0.4.0", cniVersions: ["0.4.0", "1.1.0", "9.0.0"] }).cniVersion, "1.1.0");
  for (const cniVersion of ["0.2.0", "2.0.0", "", undefined, 1]) {
    assert.throws(() => list({ cniVersion }), /cniVersion.*0\.3\.0, 0\.3\.1, 0\.4\.0, 1\.0\.0, 1\.1\.0/);
  }
});

Deno.test("parseConfigList: one plugin's configuration is a list of one; what is no list of plugins is refused", () => {
  const { name, plugins } = parseConfigList({ ...bridge, cniVersion: "0.4.0", name: "one" }, "one.conf");
  assert.deepEqual([name, plugins.map((p) => p.type)], ["one", ["bridge"]]);
  for (const plugins of [[], "bridge", [1], [null], Array.from({ length: 33 }, () => bridge)]) {
    assert.throws(() => list({ plugins }), /a\.conflist/);
  }
  for (const value of [null, [], 1, "text"]) assert.throws(() => parseConfigList(value, "x"), /must be a JSON object/);
  assert.throws(() => list({ disableCheck: "perhaps" }), /disableCheck.*true or false/);
  assert.equal(list({ disableCheck: "true" }).disableCheck, true);
});

Deno.test("offers: a capability counts where a plugin declares it true", () => {
  const with_ = (capabilities: unknown) => list({ plugins: [{ ...bridge, capabilities }] });
  assert.equal(offers(with_({ ips: true }), "ips"), true);
  for (const capabilities of [{ ips: false }, { ips: "true" }, {}, "ips", undefined]) {
    assert.equal(offers(with_(capabilities), "ips"), false);
  }
});

Deno.test("withoutDefaultRoute: default routes of both families go, others stay, and the list itself is not changed", () => {
  const routes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }, { dst: "10.9.0.0/16" }];
  const whole = list({ plugins: [{ ...bridge, isDefaultGateway: true, ipam: { ...bridge.ipam, routes } }] });
  const [plugin] = withoutDefaultRoute(whole).plugins;
  assert.deepEqual(plugin?.ipam, { ...bridge.ipam, routes: [{ dst: "10.9.0.0/16" }] });
  assert.equal(plugin?.isDefaultGateway, false);
  assert.equal(whole.plugins[0]?.isDefaultGateway, true);
});

Deno.test("subnetsOf: host-local's old and new form", () => {
  assert.deepEqual(subnetsOf(list()), [{ subnet: "10.1.0.0/24", gateway: "" }]);
  const ranges = [[{ subnet: "10.1.0.0/24", gateway: "10.1.0.9" }], [{ subnet: "fd00::/64" }, "junk"]];
  const found = subnetsOf(list({ plugins: [{ type: "bridge", ipam: { type: "host-local", ranges } }] }));
  assert.deepEqual(found, [{ subnet: "10.1.0.0/24", gateway: "10.1.0.9" }, { subnet: "fd00::/64", gateway: "" }]);
});
