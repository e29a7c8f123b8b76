/** Shapes of compound values that several sections share: variables, labels, hosts, commands, limits. */

import { listAt, type Node, pathOf, scalarAt } from "../node.ts";
import { splitWords, WordsError } from "../words.ts";
import { fixOf, int, loose, scalar, text, texts, ValueError } from "./scalar.ts";
import { dict, list, map, replace, type Shape, type ShapeContext, wrongType } from "./shape.ts";

/** `KEY=VALUE`, or KEY alone. */
function pair(whole: string): { key: string; value: string | null } {
  const equals = whole.indexOf("=");
  return equals < 0 ? { key: whole, value: null } : { key: whole.slice(0, equals), value: whole.slice(equals + 1) };
}

/** A variable's value; without one it comes from the environment, and stays null when that has none. */
const variable: Shape = {
  canon(node, ctx, path) {
    if (node.kind !== "scalar") {
      return wrongType(node, ctx, path, "a variable's value is a text, a number or a truth value");
    }
    if (node.value !== null) return scalarAt(node.origin, String(node.value));
    const value = ctx.resolveEnv ? ctx.lookup(path.slice(path.lastIndexOf(".") + 1)) : undefined;
    return scalarAt(node.origin, value ?? null);
  },
  merge: replace,
};

/** Environment variables and build arguments. */
export const variables: Shape = dictOfVariables();

function dictOfVariables(): Shape {
  const base = dict(variable, { fromItem: pair });
  return {
    ...base,
    // The name is taken from the key itself: one that holds a point would be cut out of a path.
    canon(node, ctx, path) {
      const named = (name: string): ShapeContext => ({ ...ctx, lookup: () => ctx.lookup(name) });
      const canon = base.canon(node, { ...ctx, resolveEnv: false }, path);
      if (canon?.kind !== "map" || !ctx.resolveEnv) return canon;
      const entries = new Map(canon.entries);
      for (const [name, entry] of entries) {
        if (entry.value.kind !== "scalar" || entry.value.value !== null || entry.value.tag === "reset") continue;
        entries.set(name, {
          key: entry.key,
          value: variable.canon(entry.value, named(name), pathOf(path, name)) ?? entry.value,
        });
      }
      return { ...canon, entries };
    },
  };
}

/** A text, where nothing written is the empty text. */
const emptyable: Shape = {
  canon(node, ctx, path) {
    if (node.kind === "scalar" && node.value === null) return scalarAt(node.origin, "");
    return loose().canon(node, ctx, path);
  },
  merge: replace,
};

/** Labels, annotations, sysctls and the like: KEY → text. */
export const labels: Shape = dict(emptyable, { fromItem: pair });
/** Driver options: KEY → text, mapping only. */
export const driverOptions: Shape = dict(emptyable);

/** Options of a log driver: null asks for the driver's default. */
export const logOptions: Shape = dict({
  canon: (node, ctx, path) => node.kind === "scalar" && node.value === null ? node : loose().canon(node, ctx, path),
  merge: replace,
});

/** A command: a text is split into words, null is the image's own. */
export const command: Shape = {
  canon(node, ctx, path) {
    if (node.kind === "scalar") {
      if (node.value === null) return node;
      try {
        return listAt(node.origin, splitWords(String(node.value)).map((word) => scalarAt(node.origin, word)));
      } catch (e) {
        if (!(e instanceof WordsError)) throw e;
        ctx.diagnostics.error(node.origin, {
          code: "bad-value",
          path,
          message: `it cannot be split into words: ${e.message}`,
          fix: "close the quote, or write a list of words",
        });
        return undefined;
      }
    }
    return list(text(), { rule: "it must be a text or a list of texts" }).canon(node, ctx, path);
  },
  merge: replace,
};

/** A hook: a command run inside. */
export const hook: Shape = map({
  command,
  user: loose(),
  privileged: boolean(),
  working_dir: text(),
  environment: variables,
}, { required: ["command"] });

function boolean(): Shape {
  return scalar("it must be true or false", (value) => {
    if (/^(true|yes|y|on|1)$/i.test(value)) return true;
    if (/^(false|no|n|off|0)$/i.test(value)) return false;
    throw new ValueError("write true or false");
  });
}

function hostEntry(name: string, address: string): string {
  return `${name}=${address.replace(/^\[(.*)\]$/, "$1")}`;
}

/** Hosts: canonical form is a list of `host=ip`. */
export const extraHosts: Shape = {
  canon(node, ctx, path) {
    if (node.kind === "scalar" && node.value === null) return undefined;
    if (node.kind === "map") {
      const items: Node[] = [];
      for (const [name, { value }] of node.entries) {
        for (const address of value.kind === "list" ? value.items : [value]) {
          if (address.kind === "scalar") {
            items.push(scalarAt(address.origin, hostEntry(name, String(address.value ?? ""))));
          } else wrongType(address, ctx, pathOf(path, name), "an address is a text");
        }
      }
      return listAt(node.origin, items);
    }
    return hostList.canon(node, ctx, path);
  },
  merge: (base, over) => hostList.merge(base, over),
};

const hostList: Shape = texts(
  { rule: "it must be a list of HOST=IP, or a mapping" },
  scalar("it must be HOST=IP", (value) => {
    const match = /^([^=:]+)[=:](.+)$/.exec(value.trim());
    if (match === null) throw new ValueError("write HOST=IP, such as db=10.0.0.2 or host.docker.internal=host-gateway");
    return hostEntry((match[1] ?? "").trim(), (match[2] ?? "").trim());
  }),
);

const limit = scalar("it must be a number, or -1 for unlimited", (value) => {
  if (value === "unlimited") return -1;
  if (!/^-?\d{1,19}$/.test(value)) throw new ValueError("write a number, or -1 for unlimited");
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : -1;
});

const softHard = map({ soft: limit, hard: limit }, { required: ["soft", "hard"] });

const ulimit: Shape = {
  ...softHard,
  canon: (node, ctx, path) => node.kind === "scalar" ? limit.canon(node, ctx, path) : softHard.canon(node, ctx, path),
};

/** Limits by name. */
export const ulimits: Shape = dict(ulimit, {
  keys: { pattern: /^[a-z]+$/, rule: "names of limits are lower-case letters, such as nofile" },
});

/** Devices asked for by capability (deploy.resources.reservations.devices and gpus). */
export const deviceRequests: Shape = list(map({
  capabilities: texts(),
  count: scalar("it must be a number or all", (value) => {
    if (value === "all") return -1;
    if (!/^-?\d+$/.test(value)) throw new ValueError("write a number, or all");
    return Number(value);
  }),
  device_ids: texts({}, loose()),
  driver: text(),
  options: labels,
}));

/** `gpus: all`, or a list of requests. */
export const gpus: Shape = {
  ...deviceRequests,
  canon(node, ctx, path) {
    if (node.kind !== "scalar" || node.value === null) return deviceRequests.canon(node, ctx, path);
    if (node.value !== "all") return wrongType(node, ctx, path, 'it must be "all" or a list');
    const all: Node = {
      kind: "map",
      origin: node.origin,
      entries: new Map([["count", { key: node.origin, value: scalarAt(node.origin, -1) }]]),
    };
    return listAt(node.origin, [all]);
  },
};

/** Reports what a parser of the spec refused, for use where a scalar shape does not fit. */
export function refused(node: Node, ctx: ShapeContext, path: string, e: unknown): void {
  ctx.diagnostics.error(node.origin, { code: "bad-value", path, message: "it is not accepted", fix: fixOf(e) });
}

/** Whole numbers from 0 on. */
export const count: Shape = int(0);
