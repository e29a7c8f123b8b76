/** The host's own uplink where its IPv6 comes from a router's advertisements: networks with IPv6 must not cost it that. */

import assert from "node:assert/strict";
import { eventually } from "../support/eventually.ts";
import { DUAL, place, startNetwork } from "../support/net_fixture.ts";
import { inNetns, mustInNetns, TestHosts } from "../support/net_hosts.ts";

/** Address of the router on the link, and of something behind it. */
const ROUTER = "fe80::77";
const BEYOND = "2001:db8:b::1";
const PREFIX = [0x20, 0x01, 0x0d, 0xb8, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

const word32 = (n: number) => [n >>> 24, n >>> 16 & 255, n >>> 8 & 255, n & 255];

/**
 * Sends a router advertisement (RFC 4861 section 4.2) with an on-link prefix for addresses; the kernel fills in the checksum.
 *
 * @param router its network namespace, with an interface eth0
 * @param lifetimeS how long the router is a default router
 */
function advertise(router: string, lifetimeS: number): void {
  const prefix = [3, 4, 64, 0xc0, ...word32(7200), ...word32(3600), ...word32(0), ...PREFIX];
  const message = [134, 0, 0, 0, 64, 0, lifetimeS >> 8, lifetimeS & 255, ...word32(0), ...word32(0), ...prefix];
  const octal = message.map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  // IPV6_MULTICAST_HOPS 255: a router's word counts only when it has passed no other router.
  const to = `IP6-SENDTO:[ff02::1%eth0]:58,bind=[${ROUTER}%eth0],setsockopt-int=41:18:255`;
  mustInNetns(router, ["sh", "-c", `printf '${octal}' | socat -u - '${to}'`]);
}

/** Seconds that the default route of the host has left; undefined without one from an advertisement. */
function routeLeft(hosts: TestHosts): number | undefined {
  const text = mustInNetns(hosts.host, ["ip", "-6", "route", "show", "default", "proto", "ra"]);
  if (!text.includes(`via ${ROUTER} dev up0`)) return undefined;
  return Number(/expires (\d+)sec/.exec(text)?.[1]);
}

const lasts = (hosts: TestHosts, from: number) => () => (routeLeft(hosts) ?? 0) > from;

Deno.test("a host whose default route and address come from router advertisements keeps both, and hears later ones, with IPv6 networks", async () => {
  await using hosts = new TestHosts();
  const { host, lan } = hosts;
  const sysctl = (key: string) => mustInNetns(host, ["sysctl", "-n", `net.ipv6.conf.${key}`]).trim();
  mustInNetns(lan, ["ip", "addr", "add", `${ROUTER}/64`, "dev", "eth0", "nodad"]);
  mustInNetns(lan, ["ip", "addr", "add", `${BEYOND}/128`, "dev", "lo"]);
  mustInNetns(lan, ["ip", "route", "add", "2001:db8:a::/64", "dev", "eth0"]);
  mustInNetns(lan, ["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]);
  mustInNetns(host, ["sysctl", "-qw", "net.ipv6.conf.up0.accept_dad=0"]);
  assert.deepEqual([sysctl("up0.accept_ra"), sysctl("all.forwarding")], ["1", "0"]);
  advertise(lan, 300);
  await eventually("a default route by advertisement", lasts(hosts, 0), 10_000);
  const own = () => /2001:db8:a:[0-9a-f:]+/.exec(mustInNetns(host, ["ip", "-6", "addr", "show", "dev", "up0"]))?.[0];
  const address = own();
  assert.ok(address !== undefined, "no address from the advertised prefix");

  const { worker, warnings } = await startNetwork(hosts, [DUAL]);
  assert.deepEqual(warnings, []);
  assert.deepEqual([sysctl("all.forwarding"), sysctl("up0.accept_ra"), sysctl("nyxbr0.accept_ra")], ["1", "2", "0"]);
  assert.ok((routeLeft(hosts) ?? 0) > 0, "the route that was there is gone");
  assert.equal(own(), address);
  const web = await place(worker, "web");
  const out = () => inNetns(web.netnsPath, ["ping", "-c1", "-W1", "-q", BEYOND]).code === 0;
  await eventually("a way out for containers", out, 10_000);
  advertise(lan, 1800);
  await eventually("a longer route by a later advertisement", lasts(hosts, 600), 10_000);
  // A container that plays the router is not heard.
  mustInNetns(web.netnsPath, ["ip", "addr", "add", `${ROUTER}/64`, "dev", "eth0", "nodad"]);
  advertise(web.netnsPath, 9000);
  assert.doesNotMatch(mustInNetns(host, ["ip", "-6", "route", "show", "default"]), /nyxbr0/);

  // Forwarding that somebody turns off, and nyx on again, costs nothing either.
  mustInNetns(host, ["sysctl", "-qw", "net.ipv6.conf.all.forwarding=0"]);
  await eventually("forwarding again", () => sysctl("all.forwarding") === "1", 10_000);
  assert.ok(lasts(hosts, 600)(), "the route did not survive the repair");
  await worker.call("teardown", { id: web.id });
  await worker.call("release", { id: web.id });
  await worker.call("shutdown", { keepNetworks: false });
  advertise(lan, 5000);
  await eventually("the uplink hears its router after nyxd's end", lasts(hosts, 2000), 10_000);
  // What nyx does is needed: a host that forwards does not hear its router while accept_ra is 1.
  mustInNetns(host, ["sysctl", "-qw", "net.ipv6.conf.up0.accept_ra=1"]);
  advertise(lan, 9000);
  await new Promise((r) => setTimeout(r, 100));
  assert.ok(!lasts(hosts, 5000)(), "it heard one all the same");
  mustInNetns(host, ["sysctl", "-qw", "net.ipv6.conf.up0.accept_ra=2"]);
  advertise(lan, 9000);
  await eventually("the same advertisement with accept_ra 2", lasts(hosts, 5000), 10_000);
});
