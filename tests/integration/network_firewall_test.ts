/** Hosts with a firewall of their own: what nyx says about it, that its advice works, and that it touches nothing. */

import assert from "node:assert/strict";
import { place, startNetwork } from "../support/net_fixture.ts";
import { HOST_IP, inNetns, LAN_IP, mustInNetns, type NetworkWorker, TestHosts } from "../support/net_hosts.ts";

/** Rule sets as the usual firewalls leave them, reduced to what stops packets. */
const UFW = `table ip filter {
  chain INPUT { type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ct state established,related accept
    jump ufw-user-input
  }
  chain FORWARD { type filter hook forward priority 0; policy drop;
    ct state established,related counter accept
    jump ufw-user-forward
  }
  chain ufw-user-input { }
  chain ufw-user-forward { }
}`;
const DOCKER = `table ip filter {
  chain FORWARD { type filter hook forward priority 0; policy drop;
    counter jump DOCKER-USER
  }
  chain DOCKER-USER { }
}`;
const FIREWALLD = `table inet firewalld {
  chain filter_FORWARD { type filter hook forward priority 10; policy accept;
    ct state established,related accept
    ct status dnat accept
    iifname "lo" accept
    reject with icmpx admin-prohibited
  }
}`;
const PLAIN = `table inet mine {
  chain fw { type filter hook forward priority 0; policy drop;
  }
}`;

function start(hosts: TestHosts, rules: string): Promise<{ worker: NetworkWorker; warnings: string[] }> {
  mustInNetns(hosts.host, ["nft", "-f", "/dev/stdin"], rules);
  return startNetwork(hosts);
}

async function published(
  hosts: TestHosts,
  worker: NetworkWorker,
): Promise<{ netns: string; id: string; warnings: string[] }> {
  const { id, netnsPath, warnings } = await place(worker, "web", [{ hostPort: 8080, containerPort: 80 }]);
  hosts.serve(netnsPath, ["socat", "TCP4-LISTEN:80,fork,reuseaddr", "SYSTEM:echo alive"]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  return { netns: netnsPath, id, warnings };
}

/** Asserts whether the published port answers the LAN; an answer that is due is asked for again. */
function assertReachable(hosts: TestHosts, expected: boolean): void {
  const target = `TCP4:${HOST_IP}:8080,connect-timeout=0.8`;
  let heard = false;
  for (let i = 0; i < (expected ? 5 : 1) && !heard; i++) {
    heard = inNetns(hosts.lan, ["socat", "-T0.8", "-", target]).stdout.trim() === "alive";
  }
  assert.equal(heard, expected);
}

Deno.test("diagnose: policy drop of a stranger's forward chain is told with a command that, when run, opens the way", async () => {
  await using hosts = new TestHosts();
  const { worker, warnings } = await start(hosts, PLAIN);
  const stranger = mustInNetns(hosts.host, ["nft", "list", "table", "inet", "mine"]);
  assert.equal(warnings.length, 1, warnings.join("\n"));
  assert.match(warnings[0] ?? "", /chain fw of nftables table inet mine has policy drop/);
  const { netns, warnings: told } = await published(hosts, worker);
  assert.deepEqual(told, warnings, "setup tells it too");
  assertReachable(hosts, false);
  assert.notEqual(inNetns(netns, ["ping", "-c3", "-i0.2", "-W1", LAN_IP]).code, 0);
  assert.equal(mustInNetns(hosts.host, ["nft", "list", "table", "inet", "mine"]), stranger);
  const fix = /let them through with: (.*?) \(nyx's/.exec(warnings[0] ?? "")?.[1] ?? "";
  mustInNetns(hosts.host, ["sh", "-c", fix]);
  assertReachable(hosts, true);
  assert.equal(inNetns(netns, ["ping", "-c3", "-i0.2", "-W1", LAN_IP]).code, 0);
  assert.deepEqual((await worker.call("diagnose", {})).findings, []);
});

Deno.test("diagnose: rule sets of ufw, firewalld and docker are told in the words of their own tools", async () => {
  const cases: [string, RegExp[], string, RegExp][] = [
    [
      UFW,
      [
        /FORWARD of nftables table ip filter has policy drop.*ufw route allow in on nyxbr0 && ufw route allow out on nyxbr0/,
        /INPUT of nftables table ip filter has policy drop.*ufw allow in on nyxbr0 to any port 53/,
      ],
      'add rule ip filter ufw-user-forward iifname "nyxbr0" counter accept; add rule ip filter ufw-user-forward oifname "nyxbr0" counter accept',
      /INPUT/,
    ],
    [
      DOCKER,
      [/policy drop.*iptables -I DOCKER-USER -i nyxbr0 -j ACCEPT && iptables -I DOCKER-USER -o nyxbr0 -j ACCEPT/],
      'add rule ip filter DOCKER-USER iifname "nyxbr0" counter accept; add rule ip filter DOCKER-USER oifname "nyxbr0" counter accept',
      /^$/,
    ],
    [
      FIREWALLD,
      [/ends in a rule that drops or rejects.*firewall-cmd --permanent --zone=trusted --add-interface=nyxbr0/],
      'insert rule inet firewalld filter_FORWARD iifname "nyxbr0" accept; insert rule inet firewalld filter_FORWARD oifname "nyxbr0" accept',
      /^$/,
    ],
  ];
  for (const [rules, expected, fix, left] of cases) {
    await using hosts = new TestHosts();
    const { worker, warnings } = await start(hosts, rules);
    assert.equal(warnings.length, expected.length, warnings.join("\n"));
    for (const [i, pattern] of expected.entries()) assert.match(warnings[i] ?? "", pattern);
    const { netns } = await published(hosts, worker);
    assert.notEqual(inNetns(netns, ["ping", "-c3", "-i0.2", "-W1", LAN_IP]).code, 0);
    mustInNetns(hosts.host, ["nft", fix]);
    assertReachable(hosts, true);
    assert.equal(inNetns(netns, ["ping", "-c3", "-i0.2", "-W1", LAN_IP]).code, 0);
    assert.match((await worker.call("diagnose", {})).findings.join("\n"), left);
  }
});

Deno.test("with the way opened in a stranger's chain, unpublished ports stay shut by nyx's own table", async () => {
  await using hosts = new TestHosts();
  const { worker } = await start(hosts, DOCKER);
  const { netns } = await published(hosts, worker);
  mustInNetns(hosts.host, [
    "nft",
    'add rule ip filter DOCKER-USER oifname "nyxbr0" accept; add rule ip filter DOCKER-USER iifname "nyxbr0" accept',
  ]);
  const ip = /10\.88\.\d+\.\d+/.exec(mustInNetns(netns, ["ip", "-br", "addr"]))?.[0];
  mustInNetns(hosts.lan, ["ip", "route", "add", "10.88.0.0/16", "via", HOST_IP]);
  assert.notEqual(
    inNetns(hosts.lan, ["socat", "-T0.5", "-", `TCP4:${ip}:80,connect-timeout=0.5`]).stdout.trim(),
    "alive",
  );
});
