/**
 * What other people's firewalls do to containers. An accept in nyx's own chain does not overrule a drop in another chain of
 * the same hook, and nyx changes no table but its own; so it says what stands in the way, and the command that lets its
 * bridges through.
 */

import { isErrno } from "../../ffi/errno.ts";
import type { NamespaceKernel } from "../../ffi/namespace.ts";
import { type Nft, NftError } from "../../ffi/nftables/nft.ts";
import type { Session } from "./session.ts";

/** What stands in the way of something. */
export interface Finding {
  /** Bridge that it concerns; missing means all. */
  bridge?: string;
  /** A sentence with the fix. */
  text: string;
}

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

/** Chain that a statement leads to. */
function jumpTarget(statement: Record<string, unknown>): string | undefined {
  return ((statement.jump ?? statement.goto) as { target?: string } | undefined)?.target;
}

/** Rules that are reached from a base chain by jumps, its own included. */
function reachable(rules: readonly Rule[], chain: Chain): Rule[] {
  const seen = new Set<string>();
  const found: Rule[] = [];
  const visit = (name: string) => {
    if (seen.has(name)) return;
    seen.add(name);
    for (const rule of rules.filter((r) => sameChain(r, { ...chain, name }))) {
      found.push(rule);
      for (const target of rule.expr.map(jumpTarget)) if (target !== undefined) visit(target);
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

/** Findings about one bridge from objects as `nft -j list ruleset` gives them. Pure. */
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

/** Most chains whose rules are read: strangers' rule sets can be very large. */
const MOST_CHAINS = 64;

/**
 * What judging needs of the host's rule set: all chains, and the rules of strangers' chains that forwarded and incoming packets
 * meet, jumps followed.
 */
function relevantObjects(nft: Nft, own: string): Record<string, unknown>[] {
  const objects = nft.list("list chains");
  const chains = pick<Chain>(objects, "chain");
  const queue = chains.filter((c) =>
    c.table !== own && FAMILIES.includes(c.family) && (c.hook === "forward" || c.hook === "input")
  );
  const seen = new Set<string>();
  const key = ({ family, table, name }: Chain) => `${family} ${table} ${name}`;
  for (let chain = queue.shift(); chain !== undefined && seen.size < MOST_CHAINS; chain = queue.shift()) {
    if (seen.has(key(chain))) continue;
    seen.add(key(chain));
    let rules: Record<string, unknown>[];
    try {
      rules = nft.list(`list chain ${key(chain)}`).filter((o) => "rule" in o);
    } catch (e) {
      if (e instanceof NftError) continue;
      throw e;
    }
    objects.push(...rules);
    const targets = new Set(pick<Rule>(rules, "rule").flatMap((r) => r.expr).map(jumpTarget));
    const { family, table } = chain;
    queue.push(...chains.filter((c) => c.family === family && c.table === table && targets.has(c.name)));
  }
  return objects;
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

/** What of other people's rules stands in the way of packets of these bridges. */
export function obstaclesOf(s: Session, bridges: readonly string[]): string[] {
  const objects = relevantObjects(s.nft, s.table);
  return [
    ...bridges.flatMap((bridge) => judgeRuleset(objects, { own: s.table, bridge })),
    ...legacyFindings(s, bridges),
  ];
}

/** Whether this daemon's table is there, with all its chains. */
export function tableWhole(s: Session): boolean {
  return !tableMissing(s.nft.list("list chains"), s.table);
}

function legacyFindings(s: Session, bridges: readonly string[]): string[] {
  return legacyTables(s.kernel.ns).map((family) => {
    const tool = family === "ip6" ? "ip6tables-legacy" : "iptables-legacy";
    return `${tool} has a filter table, which nftables cannot show; if "${tool} -S FORWARD" says "-P FORWARD DROP", run: ` +
      bridges.map((bridge) => `${tool} -I FORWARD -i ${bridge} -j ACCEPT && ${tool} -I FORWARD -o ${bridge} -j ACCEPT`)
        .join(" && ");
  });
}

/** What stands in the way of containers and their published ports. */
export function diagnose(s: Session): Finding[] {
  const objects = relevantObjects(s.nft, s.table);
  const findings: Finding[] = [];
  if (s.kernel.ns.readKernelFile("/proc/sys/net/ipv4/ip_forward").trim() !== "1") {
    findings.push({
      text: "net.ipv4.ip_forward is 0: no packet gets to or from a container; run: sysctl -w net.ipv4.ip_forward=1",
    });
  }
  if (tableMissing(objects, s.table)) {
    findings.push({
      text: `nftables table inet ${s.table} is missing or damaged: no port is published; restart nyxd to make it anew`,
    });
  }
  for (const { network: { name, bridge } } of s.networks.values()) {
    if (bridge === "") continue;
    const texts = judgeRuleset(objects, { own: s.table, bridge });
    if (s.rt.link(bridge) === undefined) {
      texts.unshift(`bridge ${bridge} of network ${name} is gone; restart nyxd to make it anew`);
    }
    findings.push(...texts.map((text) => ({ bridge, text })));
  }
  const bridges = [...s.networks.values()].map((n) => n.network.bridge).filter((b) => b !== "");
  findings.push(...legacyFindings(s, bridges).map((text) => ({ text })));
  return findings;
}
