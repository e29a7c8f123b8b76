/** The dependency graph of services. */

import type { ComposeModel } from "../spec/compose.ts";
import { own, sortedKeys } from "./dictionary.ts";

/** Names of the services that one depends on, among those that are there. */
export function dependenciesOf(model: ComposeModel, name: string): string[] {
  return sortedKeys(own(model.services, name)?.depends_on).filter((other) => Object.hasOwn(model.services, other));
}

/** Circles of dependencies that share no service, first and last name of each equal. */
export function findCircles(model: ComposeModel): string[][] {
  const circles: string[][] = [];
  const circled = new Set<string>();
  const done = new Set<string>();
  for (const start of sortedKeys(model.services)) {
    // Depth first without recursion: a chain of services may be longer than the stack.
    const path: { name: string; next: string[] }[] = [];
    const open = new Set<string>();
    const enter = (name: string) => {
      path.push({ name, next: dependenciesOf(model, name) });
      open.add(name);
    };
    if (!done.has(start)) enter(start);
    while (path.length > 0) {
      const top = path[path.length - 1];
      const next = top?.next.shift();
      if (next === undefined) {
        const left = path.pop();
        if (left !== undefined) {
          open.delete(left.name);
          done.add(left.name);
        }
      } else if (open.has(next)) {
        const names = path.map((step) => step.name);
        const circle = names.slice(names.indexOf(next));
        if (circle.some((name) => circled.has(name))) continue;
        for (const name of circle) circled.add(name);
        circles.push([...circle, next]);
      } else if (!done.has(next)) enter(next);
    }
  }
  return circles;
}

/** The first of {@linkcode findCircles}; undefined when there is none. */
export function findCircle(model: ComposeModel): string[] | undefined {
  return findCircles(model)[0];
}

/**
 * Services in levels: each depends on earlier levels only, names sorted within a level. Services in a circle are left out;
 * {@linkcode findCircles} names them.
 */
export function dependencyLevels(model: ComposeModel): string[][] {
  const waiting = new Map(sortedKeys(model.services).map((name) => [name, new Set(dependenciesOf(model, name))]));
  const levels: string[][] = [];
  while (true) {
    const level = [...waiting].filter(([, needs]) => needs.size === 0).map(([name]) => name);
    if (level.length === 0) return levels;
    levels.push(level);
    for (const name of level) waiting.delete(name);
    for (const needs of waiting.values()) for (const name of level) needs.delete(name);
  }
}

/** Services and everything that they depend on, directly or not. */
export function withDependencies(model: ComposeModel, names: Iterable<string>): Set<string> {
  const found = new Set<string>();
  const queue = [...names];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (found.has(name) || !Object.hasOwn(model.services, name)) continue;
    found.add(name);
    queue.push(...dependenciesOf(model, name));
  }
  return found;
}

/** Services that depend on any of these, directly or not, and these themselves. */
export function withDependents(model: ComposeModel, names: Iterable<string>): Set<string> {
  const found = new Set(names);
  for (let grown = true; grown;) {
    grown = false;
    for (const name of Object.keys(model.services)) {
      if (found.has(name) || !dependenciesOf(model, name).some((other) => found.has(other))) continue;
      found.add(name);
      grown = true;
    }
  }
  return found;
}
