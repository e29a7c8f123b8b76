/**
 * What other people's firewalls do to containers. An accept in nyx's own chain does not overrule a drop in another chain of
 * the same hook, and nyx changes no table but its own; so it says what stands in the way, and the command that lets its
 * bridges through.
 */

import { isErrno } from "../../ffi/errno.ts";
import type { NamespaceKernel } from "../../ffi/namespace.ts";
import type { Session } from "./session.ts";

interface Chain {
  family: string;
  table: string;
  name: string;
  hook?: string;
  policy?: string;
}

interface Rule {
  family: string;
  table: string;
  chain: string;
  expr: Record<string, unknown>[];
}

/** A base chain that stops packets of the hook unless a rule lets them through. */
interface Obstacle {
  chain: Chain;
  why: string;
}

const FAMILIES = ["ip", "ip6", "inet"];

function pick<T>(objects: Record<string, unknown>[], key: string): T[] {
  return objects.flatMap((o) => key in o ? [o[key] as T] : []);
}

function sameChain(rule: Rule, chain: Chain): boolean {
  return rule.family === chain.family && rule.table === chain.table && rule.chain === chain.name;
}

/** Whether a rule drops or rejects whatever reaches it. */
function stopsAll(rule: Rule): boolean {
  const words = rule.expr.filter((e) => !("counter" in e) && !("log" in e) && !("limit" in e));
  return words.length === 1 && ("drop" in (words[0] ?? {}) || "reject" in (words[0] ?? {}));
}

/** Interface that a rule matches by name in one direction, when it accepts. */
function accepts(rule: Rule, key: "iifname" | "oifname", bridge: string): boolean {
  if (!rule.expr.some((e) => "accept" in e)) return false;
  const matches = rule.expr.flatMap((e) =>
    "match" in e ? [e.match as { op: string; left: unknown; right: unknown }] : []
  );
  return matches.length === 1 && matches[0]?.op === "==" &&
    JSON.stringify(matches[0].left) === JSON.stringify({ meta: { key } }) && matches[0].right === bridge;
}

/** Chains that are reached from a base chain by jumps, itself included. */
function reachable(rules: readonly Rule[], chain: Chain): Rule[] {
  const seen = new Set<string>();
  const found: Rule[] = [];
  const visit = (name: string) => {
    if (seen.has(name)) return;
    seen.add(name);
    for (const rule of rules.filter((r) => sameChain(r, { ...chain, name }))) {
      found.push(rule);
      for (const e of rule.expr) {
        const target = (e.jump ?? e.goto) as { target?: string } | undefined;
        if (target?.target !== undefined) visit(target.target);
      }
    }
  };
  visit(chain.name);
  return found;
}

function obstacles(chains: readonly Chain[], rules: readonly Rule[], hook: string, own: string): Obstacle[] {
  return chains.flatMap((chain) => {
    if (chain.hook !== hook || !FAMILIES.includes(chain.family) || chain.table === own) return [];
    if (chain.policy === "drop") return [{ chain, why: "has policy drop" }];
    const stop = rules.find((r) => sameChain(r, chain) && stopsAll(r));
    return stop === undefined ? [] : [{ chain, why: "ends in a rule that drops or rejects" }];
  });
}

/** Commands that let a bridge through a chain, in the words of the tool that made it. */
function forwardFix({ family, table, name }: Chain, bridge: string, chains: readonly Chain[]): string {
  if (table === "firewalld") {
    return `firewall-cmd --permanent --zone=trusted --add-interface=${bridge} && firewall-cmd --reload`;
  }
  const has = (chain: string) => chains.some((c) => c.family === family && c.table === table && c.name === chain);
  if (table === "filter" && name === "FORWARD" && family !== "inet") {
    if (has("ufw-user-forward")) return `ufw route allow in on ${bridge} && ufw route allow out on ${bridge}`;
    const tool = family === "ip6" ? "ip6tables" : "iptables";
    const chain = has("DOCKER-USER") ? "DOCKER-USER" : "FORWARD";
    return `${tool} -I ${chain} -i ${bridge} -j ACCEPT && ${tool} -I ${chain} -o ${bridge} -j ACCEPT`;
  }
  const rule = (direction: string) => `nft insert rule ${family} ${table} ${name} ${direction} "${bridge}" accept`;
  return `${rule("iifname")} && ${rule("oifname")}`;
}

function inputFix({ family, table, name }: Chain, bridge: string, chains: readonly Chain[]): string {
  if (table === "firewalld") return forwardFix({ family, table, name }, bridge, chains);
  if (table === "filter" && name === "INPUT" && family !== "inet") {
    const ufw = chains.some((c) => c.family === family && c.table === table && c.name === "ufw-user-input");
    if (ufw) return `ufw allow in on ${bridge} to any port 53`;
    return `${family === "ip6" ? "ip6tables" : "iptables"} -I INPUT -i ${bridge} -j ACCEPT`;
  }
  return `nft insert rule ${family} ${table} ${name} iifname "${bridge}" accept`;
}

function describe({ family, table, name }: Chain): string {
  return `chain ${name} of nftables table ${family} ${table}`;
}

/** Findings about one bridge from the objects of `nft -j list ruleset`. Pure. */
export function judgeRuleset(objects: Record<string, unknown>[], options: { own: string; bridge: string }): string[] {
  const { own, bridge } = options;
  const chains = pick<Chain>(objects, "chain");
  const rules = pick<Rule>(objects, "rule");
  const findings: string[] = [];
  for (const { chain, why } of obstacles(chains, rules, "forward", own)) {
    const all = reachable(rules, chain);
    const open = (["iifname", "oifname"] as const).every((k) => all.some((r) => accepts(r, k, bridge)));
    if (open) continue;
    findings.push(
      `${describe(chain)} ${why}: containers on ${bridge} may reach nothing outside and their published ports may be ` +
        `unreachable; let them through with: ${forwardFix(chain, bridge, chains)} ` +
        "(nyx's own table still keeps out what is not published)",
    );
  }
  for (const { chain, why } of obstacles(chains, rules, "input", own)) {
    if (reachable(rules, chain).some((r) => accepts(r, "iifname", bridge))) continue;
    findings.push(
      `${
        describe(chain)
      } ${why}: containers on ${bridge} may not reach this host, so names may not resolve (DNS on the ` +
        `gateway, port 53); let them in with: ${inputFix(chain, bridge, chains)}`,
    );
  }
  return findings;
}

function legacyTables(ns: NamespaceKernel): string[] {
  return ["ip", "ip6"].filter((family) => {
    try {
      return ns.readKernelFile(`/proc/net/${family}_tables_names`).split("\n").includes("filter");
    } catch (e) {
      if (isErrno(e, "ENOENT")) return false;
      throw e;
    }
  });
}

/** Whether nyx's table is there as it was made. */
function tableMissing(objects: Record<string, unknown>[], own: string): boolean {
  const chains = pick<Chain>(objects, "chain").filter((c) => c.table === own && c.family === "inet");
  return ["early", "prerouting", "output", "forward", "postrouting", "publish"].some((name) =>
    !chains.some((c) => c.name === name)
  );
}

/** What stands in the way of containers and their published ports, as sentences with the fix. */
export function diagnose(s: Session): string[] {
  const objects = s.nft.list("list ruleset");
  const findings: string[] = [];
  if (s.kernel.ns.readKernelFile("/proc/sys/net/ipv4/ip_forward").trim() !== "1") {
    findings.push(
      "net.ipv4.ip_forward is 0: no packet gets to or from a container; run: sysctl -w net.ipv4.ip_forward=1",
    );
  }
  if (tableMissing(objects, s.table)) {
    findings.push(
      `nftables table inet ${s.table} is missing or damaged: no port is published; restart nyxd to make it anew`,
    );
  }
  for (const { network } of s.networks.values()) {
    if (s.rt.link(network.bridge) === undefined) {
      findings.push(`bridge ${network.bridge} of network ${network.name} is gone; restart nyxd to make it anew`);
    }
    findings.push(...judgeRuleset(objects, { own: s.table, bridge: network.bridge }));
  }
  for (const family of legacyTables(s.kernel.ns)) {
    const tool = family === "ip6" ? "ip6tables-legacy" : "iptables-legacy";
    findings.push(
      `${tool} has a filter table, which nftables cannot show; if "${tool} -S FORWARD" says "-P FORWARD DROP", run: ` +
        [...s.networks.values()].map(({ network: { bridge } }) =>
          `${tool} -I FORWARD -i ${bridge} -j ACCEPT && ${tool} -I FORWARD -o ${bridge} -j ACCEPT`
        ).join(" && "),
    );
  }
  return findings;
}
