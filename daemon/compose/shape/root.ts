/** The shape of a whole compose file. */

import { mapAt, type MapNode, type Node, scalarAt, scalarText, withEntry } from "../node.ts";
import { resolvePath } from "../paths.ts";
import { anything, bool, hostPath, int, loose, text, texts } from "./scalar.ts";
import { dict, list, map, type Shape, type ShapeContext } from "./shape.ts";
import { driverOptions, labels } from "./values.ts";
import { NAMES, service } from "./service.ts";

/** `external: true`, or the older mapping that also names the object; what it means is settled by {@linkcode named}. */
const external: Shape = {
  ...map({ name: text() }),
  canon: (node, ctx, path) =>
    node.kind === "map" ? map({ name: text() }).canon(node, ctx, path) : bool.canon(node, ctx, path),
  merge: (_base, over) => over,
};

/** Takes the name out of the older form of `external`. */
function named(node: MapNode, ctx: ShapeContext, path: string): MapNode {
  const written = node.entries.get("external")?.value;
  if (written?.kind !== "map") return node;
  const name = written.entries.get("name")?.value;
  let out = withEntry(node, "external", scalarAt(written.origin, true));
  if (name !== undefined && node.entries.has("name")) {
    ctx.diagnostics.error(name.origin, {
      code: "conflict",
      path: `${path}.external.name`,
      message: "the name is given twice",
      fix: "keep name: and write external: true",
    });
  } else if (name !== undefined) out = withEntry(out, "name", name);
  return out;
}

const ipamConfig: Shape = list(map({ subnet: text(), ip_range: text(), gateway: text(), aux_addresses: labels }), {
  key: (node) => node.kind === "map" ? scalarText(node.entries.get("subnet")?.value) : undefined,
});

const network: Shape = map({
  name: text(),
  driver: text(),
  driver_opts: driverOptions,
  ipam: map({ driver: text(), config: ipamConfig, options: driverOptions }),
  external,
  internal: bool,
  enable_ipv4: bool,
  enable_ipv6: bool,
  attachable: bool,
  labels,
}, { empty: true, finish: named });

/** A relative device of a bind volume lies in the project's directory. */
function volumeDevice(node: MapNode, ctx: ShapeContext, path: string): MapNode {
  const options = node.entries.get("driver_opts")?.value;
  const driver = scalarText(node.entries.get("driver")?.value) ?? "local";
  const done = named(node, ctx, path);
  if (options?.kind !== "map" || driver !== "local" || !ctx.resolvePaths) return done;
  const device = options.entries.get("device")?.value;
  const where = scalarText(device);
  const flags = (scalarText(options.entries.get("o")?.value) ?? "").split(",");
  if (device === undefined || where === undefined || !(flags.includes("bind") || flags.includes("rbind"))) return done;
  return withEntry(
    done,
    "driver_opts",
    withEntry(options, "device", scalarAt(device.origin, resolvePath(where, ctx.base))),
  );
}

const volume: Shape = map({ name: text(), driver: text(), driver_opts: driverOptions, external, labels }, {
  empty: true,
  finish: volumeDevice,
});

const fileSource: Shape = map({
  name: text(),
  content: text(),
  environment: text(),
  file: hostPath,
  external,
  labels,
  driver: text(),
  driver_opts: driverOptions,
  template_driver: text(),
}, { empty: true, finish: named });

const secret: Shape = map({
  name: text(),
  environment: text(),
  // Beyond the published schema; Docker Compose has it for secrets made in code.
  content: text(),
  file: hostPath,
  external,
  labels,
  driver: text(),
  driver_opts: driverOptions,
  template_driver: text(),
}, { empty: true, finish: named });

const languageModel: Shape = map({ name: text(), model: text(), context_size: int(0), runtime_flags: texts() }, {
  required: ["model"],
});

/** One `include`: paths that are merged, with their own directory and env files. */
export const includes: Shape = list(
  map({
    path: list(hostPath, { single: true }),
    env_file: list(hostPath, { single: true }),
    project_directory: hostPath,
  }, {
    short: (node, ctx, path) => {
      if (node.kind !== "scalar") return node;
      const file = hostPath.canon(node, ctx, path);
      return file === undefined
        ? undefined
        : mapAt(node.origin, { path: { kind: "list", items: [file], origin: node.origin } });
    },
    required: ["path"],
    rule: "it must be a path or a mapping with path",
  }),
);

/** `extends`: a service of the same file, or of another. */
export const extension: Shape = map({ service: text(), file: hostPath }, {
  short: (node) => node.kind === "scalar" ? mapAt(node.origin, { service: String(node.value) }) : node,
  required: ["service"],
  rule: "it must be a service's name or a mapping with service",
});

const version: Shape = {
  ...loose(),
  canon(node, ctx, path) {
    ctx.diagnostics.note(node.origin, {
      code: "obsolete-key",
      path,
      message: "version is obsolete and ignored; all of the Compose Specification applies",
      fix: "remove it",
    });
    return undefined;
  },
};

/** A whole file. `include` and `extends` are settled by the loader. */
export const root: Shape = map({
  version,
  name: text(),
  include: anything,
  services: dict(service, { keys: NAMES }),
  models: dict(languageModel, { keys: NAMES }),
  networks: dict(network, { keys: NAMES }),
  volumes: dict(volume, { keys: NAMES }),
  configs: dict(fileSource, { keys: NAMES }),
  secrets: dict(secret, { keys: NAMES }),
}, { rule: "a compose file is a mapping with services:", empty: true });

/** The shape of one service, for `extends`. */
export { service };

/** Whether a node is a mapping. */
export function isMap(node: Node | undefined): node is MapNode {
  return node?.kind === "map";
}
