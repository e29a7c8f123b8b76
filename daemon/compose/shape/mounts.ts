/** The `volumes`, `devices`, `configs` and `secrets` of a service: short texts and long mappings to canonical mappings. */

import { isRemoteContext, resolvePath } from "../paths.ts";
import { mapAt, type MapNode, type Node, scalarAt, scalarText, withEntry } from "../node.ts";
import { badValue, bool, fileMode, loose, oneOf, scalar, size, text, ValueError } from "./scalar.ts";
import { byField, list, map, type Shape, type ShapeContext } from "./shape.ts";
import { labels } from "./values.ts";

const PROPAGATIONS = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];
const CONSISTENCIES = ["consistent", "cached", "delegated", "default"];

/** Whether a source names a place on the host instead of a volume. */
function isHostPath(source: string): boolean {
  return /^[./~\\]/.test(source) || /^[a-zA-Z]:\\/.test(source);
}

/** Splits at colons, leaving `C:\` together; `c:/data` is a volume with a short name, since there are no drives here. */
function sections(whole: string): string[] {
  const drive = /^([a-zA-Z]:\\[^:]*)(?::([^]*))?$/.exec(whole);
  if (drive === null) return whole.split(":");
  return [drive[1] ?? "", ...(drive[2] === undefined ? [] : drive[2].split(":"))];
}

/** Container paths without trailing slashes, doubled ones and `.` parts. */
function cleanTarget(path: string): string {
  if (!path.startsWith("/")) return path;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return `/${parts.join("/")}`;
}

const target = scalar("it must be a path in the container", (value) => {
  if (value === "" || value.includes("\0")) throw new ValueError("write a path in the container, such as /data");
  return cleanTarget(value);
});

const long: Shape = map({
  type: oneOf("bind", "volume", "tmpfs", "cluster", "npipe", "image"),
  source: text(),
  target,
  read_only: bool,
  consistency: text(),
  bind: map({
    propagation: oneOf("", ...PROPAGATIONS),
    create_host_path: bool,
    recursive: oneOf("enabled", "disabled", "writable", "readonly"),
    selinux: oneOf("z", "Z"),
  }, { empty: true }),
  volume: map({ labels, nocopy: bool, subpath: text() }, { empty: true }),
  tmpfs: map({ size: size(), mode: fileMode }, { empty: true }),
  image: map({ subpath: text() }, { empty: true }),
}, { required: ["type"], finish: finishMount });

function finishMount(node: MapNode, ctx: ShapeContext, path: string): MapNode | undefined {
  const type = scalarText(node.entries.get("type")?.value);
  const source = node.entries.get("source")?.value;
  const where = scalarText(source);
  if (!node.entries.has("target")) {
    ctx.diagnostics.error(node.origin, {
      code: "missing-key",
      path,
      message: "the mount has no target",
      fix: "add target: /path/in/the/container",
    });
    return undefined;
  }
  if ((type === "bind" || type === "image") && (where === undefined || where === "")) {
    ctx.diagnostics.error(node.origin, { code: "missing-key", path, message: `a ${type} mount needs a source` });
    return undefined;
  }
  if (type !== "bind" || source === undefined || where === undefined || !ctx.resolvePaths) return node;
  return withEntry(node, "source", scalarAt(source.origin, resolvePath(where, ctx.base)));
}

interface ShortOptions {
  read_only?: true;
  nocopy?: true;
  propagation?: string;
  selinux?: string;
  consistency?: string;
}

function shortOptions(words: string, node: Node, ctx: ShapeContext, path: string): ShortOptions {
  const out: ShortOptions = {};
  for (const word of words.split(",")) {
    if (word === "ro") out.read_only = true;
    else if (word === "nocopy") out.nocopy = true;
    else if (word === "z" || word === "Z") out.selinux = word;
    else if (PROPAGATIONS.includes(word)) out.propagation = word;
    else if (CONSISTENCIES.includes(word)) out.consistency = word;
    else if (word !== "rw" && word !== "") {
      ctx.diagnostics.warn(node.origin, {
        code: "unknown-option",
        path,
        message: `the mount option "${word}" is unknown and ignored`,
        rule: `known are ro, rw, nocopy, z, Z and ${PROPAGATIONS.join(", ")}`,
      });
    }
  }
  return out;
}

function parseShort(node: Node, whole: string, ctx: ShapeContext, path: string): MapNode {
  const parts = sections(whole.trim());
  if (parts.some((part) => part === "")) {
    throw new ValueError("a part between the colons is empty; write [SOURCE:]TARGET[:OPTIONS]");
  }
  if (parts.length > 3) {
    throw new ValueError("there are too many colons; write [SOURCE:]TARGET[:OPTIONS], or the long form");
  }
  const [first = "", second, third] = parts;
  if (second === undefined) {
    return mapAt(node.origin, { type: "volume", target: cleanTarget(first), volume: mapAt(node.origin, {}) });
  }
  const options = third === undefined ? {} : shortOptions(third, node, ctx, path);
  const common = {
    target: cleanTarget(second),
    read_only: options.read_only,
    consistency: options.consistency,
  };
  if (isHostPath(first)) {
    const source = ctx.resolvePaths && !/^[a-zA-Z]:\\|^\\/.test(first) ? resolvePath(first, ctx.base) : first;
    const bind = mapAt(node.origin, {
      propagation: options.propagation,
      create_host_path: true,
      selinux: options.selinux,
    });
    return mapAt(node.origin, { type: "bind", source, ...common, bind });
  }
  for (const word of [options.propagation, options.selinux]) {
    if (word === undefined) continue;
    ctx.diagnostics.warn(node.origin, {
      code: "not-honoured",
      path,
      message: `the mount option "${word}" is for host directories; it is ignored for a volume`,
    });
  }
  return mapAt(node.origin, {
    type: "volume",
    source: first,
    ...common,
    volume: mapAt(node.origin, { nocopy: options.nocopy }),
  });
}

const mount: Shape = {
  ...long,
  canon(node, ctx, path) {
    if (node.kind !== "scalar" || node.value === null) return long.canon(node, ctx, path);
    try {
      return parseShort(node, String(node.value), ctx, path);
    } catch (e) {
      return badValue(node, ctx, path, e);
    }
  },
};

/** The `volumes` of a service. */
export const mounts: Shape = list(mount, { key: byField("target"), rule: "it must be a list of mounts" });

const longDevice: Shape = map({ source: text(), target: text(), permissions: text() }, {
  required: ["source"],
  finish: finishDevice,
});

function finishDevice(node: MapNode): MapNode {
  const source = scalarText(node.entries.get("source")?.value) ?? "";
  const entries = new Map(node.entries);
  const defaults = mapAt(node.origin, { target: source, permissions: "rwm" });
  for (const [key, entry] of defaults.entries) if (!entries.has(key)) entries.set(key, entry);
  return { ...node, entries };
}

const device: Shape = {
  ...longDevice,
  canon(node, ctx, path) {
    if (node.kind !== "scalar" || node.value === null) return longDevice.canon(node, ctx, path);
    const [source = "", second, third, ...more] = String(node.value).split(":");
    const words = second !== undefined && third === undefined && /^[rwm]{1,3}$/.test(second);
    if (source === "" || more.length > 0) {
      return badValue(
        node,
        ctx,
        path,
        new ValueError("write SOURCE[:TARGET][:PERMISSIONS], such as /dev/fuse:/dev/fuse:rwm"),
      );
    }
    return mapAt(node.origin, {
      source,
      target: words || second === undefined || second === "" ? source : second,
      permissions: words ? second : third ?? "rwm",
    });
  },
};

/** The `devices` of a service. */
export const devices: Shape = list(device, { key: byField("target"), rule: "it must be a list of devices" });

/** References to configs or secrets; `dir` is where a relative target lies. */
function fileReferences(dir: string): Shape {
  const finish = (node: MapNode): MapNode => {
    const written = scalarText(node.entries.get("target")?.value);
    const name = written ?? scalarText(node.entries.get("source")?.value) ?? "";
    const at = node.entries.get("target")?.value.origin ?? node.origin;
    return withEntry(node, "target", scalarAt(at, name.startsWith("/") ? cleanTarget(name) : `${dir}/${name}`));
  };
  const reference = map({ source: text(), target: text(), uid: loose(), gid: loose(), mode: fileMode }, {
    short: (node) => node.kind === "scalar" ? mapAt(node.origin, { source: String(node.value) }) : node,
    required: ["source"],
    finish,
    rule: "it must be a name or a mapping",
  });
  return list(reference, { key: byField("target") });
}

/** The `secrets` of a service or build. */
export const secretReferences: Shape = fileReferences("/run/secrets");
/** The `configs` of a service. */
export const configReferences: Shape = fileReferences("");

/** A build context: a directory, or what the builder fetches. */
export const buildContext: Shape = scalar("it must be a directory or a URL", (value, ctx) => {
  return ctx.resolvePaths && !isRemoteContext(value) ? resolvePath(value, ctx.base) : value;
});
