/** Rules of `develop.watch`: which of them a changed file concerns, and where it goes in the container. Pure. */

import type { ComposeModel, ComposeWatch } from "../../daemon/spec/compose.ts";
import { IgnoreRules } from "../build/ignore.ts";

/** What nobody wants to see synchronised: version control, and files that editors make for a moment. */
const NEVER = ["**/.git", "**/.*.sw?", "**/.*.sw??", "**/4913", "**/*~", "**/.#*", "**/#*#", "**/.DS_Store"];

/** One rule of a service. */
export interface WatchRule {
  service: string;
  action: ComposeWatch["action"];
  /** Absolute path on this machine, a directory or a file. */
  path: string;
  /** Absolute path in the container. */
  target?: string;
  exec?: ComposeWatch["exec"];
  initialSync: boolean;
  /** Whether a path below `path`, relative to it, counts. */
  covers(relative: string): boolean;
}

/** Reads a text file; undefined when there is none. */
export type ReadText = (path: string) => string | undefined;

/**
 * Rules of the services of a model, or of some of them.
 *
 * @param read for the .dockerignore of build contexts
 */
export function watchRules(model: ComposeModel, services: readonly string[], read: ReadText): WatchRule[] {
  return Object.entries(model.services).flatMap(([service, { develop, build }]) => {
    if (services.length > 0 && !services.includes(service)) return [];
    const context = build?.context;
    const dockerignore = context?.startsWith("/") ? read(`${context}/.dockerignore`) : undefined;
    return (develop?.watch ?? []).map((rule): WatchRule => ({
      service,
      action: rule.action,
      path: rule.path.replace(/\/+$/, "") || "/",
      ...(rule.target === undefined ? {} : { target: rule.target.replace(/\/+$/, "") || "/" }),
      ...(rule.exec === undefined ? {} : { exec: rule.exec }),
      initialSync: rule.initial_sync === true,
      covers: coverage(rule, context === undefined ? undefined : { path: context, ignore: dockerignore ?? "" }),
    }));
  });
}

function coverage(
  rule: ComposeWatch,
  context: { path: string; ignore: string } | undefined,
): (relative: string) => boolean {
  const ignored = new IgnoreRules([...NEVER, ...rule.ignore ?? []].join("\n"));
  const included = rule.include === undefined ? undefined : new IgnoreRules(rule.include.join("\n"));
  const docker = new IgnoreRules(context?.ignore ?? "");
  return (relative) => {
    if (relative !== "" && ignored.excludes(relative)) return false;
    // The same patterns, read the other way: what they match is in.
    if (included !== undefined && !included.excludes(relative)) return false;
    const whole = relative === "" ? rule.path : `${rule.path}/${relative}`;
    const below = context === undefined ? undefined : relativeTo(context.path, whole);
    return below === undefined || below === "" || !docker.excludes(below);
  };
}

/** A path below a root without the root, "" for the root itself; undefined for others. */
export function relativeTo(root: string, path: string): string | undefined {
  if (path === root) return "";
  const prefix = root === "/" ? "/" : `${root}/`;
  return path.startsWith(prefix) ? path.slice(prefix.length) : undefined;
}

/** What is to be done about some changes, services by name. */
export interface WatchWork {
  service: string;
  rebuild: boolean;
  restart: boolean;
  /** Changed paths, by the rule that they concern. */
  sync: { rule: WatchRule; relative: string[] }[];
  exec: NonNullable<ComposeWatch["exec"]>[];
}

/** Sorts changed paths by what they ask for. A service that is rebuilt needs nothing else. */
export function workOf(rules: readonly WatchRule[], changed: Iterable<string>): WatchWork[] {
  const work = new Map<string, WatchWork>();
  for (const path of new Set(changed)) {
    for (const rule of rules) {
      const relative = relativeTo(rule.path, path);
      if (relative === undefined || !rule.covers(relative)) continue;
      const mine = work.get(rule.service) ??
        { service: rule.service, rebuild: false, restart: false, sync: [], exec: [] };
      work.set(rule.service, mine);
      mine.rebuild ||= rule.action === "rebuild";
      mine.restart ||= rule.action === "restart" || rule.action === "sync+restart";
      if (rule.action === "sync+exec" && rule.exec !== undefined && !mine.exec.includes(rule.exec)) {
        mine.exec.push(rule.exec);
      }
      if (!rule.action.startsWith("sync")) continue;
      const there = mine.sync.find((s) => s.rule === rule);
      if (there === undefined) mine.sync.push({ rule, relative: [relative] });
      else there.relative.push(relative);
    }
  }
  return [...work.values()].map((one) => one.rebuild ? { ...one, restart: false, sync: [], exec: [] } : one).sort((
    a,
    b,
  ) => (a.service < b.service ? -1 : 1));
}
