/** Mounts and ports of a container. */

import type { ComposeModel, ComposeMount } from "../spec/compose.ts";
import type { MountSpec, PortMapping } from "../spec/container.ts";
import { parseHostPath, parseTarget } from "../spec/parse/paths.ts";
import { parseName } from "../spec/parse/modes.ts";
import { defined, own } from "./dictionary.ts";

/**
 * A mount as the engine takes it; undefined for kinds that do not exist here.
 *
 * @param volumes the model's volumes, for their names
 * @throws NyxError invalid_argument for paths that cannot be
 */
export function mountOf(mount: ComposeMount, volumes: ComposeModel["volumes"]): MountSpec | undefined {
  const target = parseTarget(mount.target, "target");
  const readOnly = mount.read_only === true ? { readOnly: true } : {};
  switch (mount.type) {
    case "bind": {
      const { propagation, recursive, create_host_path } = mount.bind ?? {};
      const bind = defined({
        propagation: propagation === "" ? undefined : propagation as "rprivate" | undefined,
        nonRecursive: recursive === "disabled" ? true : undefined,
        createSource: create_host_path === false ? undefined : true,
      });
      return { type: "bind", source: parseHostPath(mount.source ?? "", "source"), target, ...readOnly, bind };
    }
    case "volume": {
      const source = mount.source === undefined || mount.source === ""
        ? undefined
        : parseName(own(volumes, mount.source)?.name ?? mount.source, "volume name");
      const { nocopy, subpath, labels } = mount.volume ?? {};
      return { type: "volume", target, ...readOnly, ...defined({ source, noCopy: nocopy, subpath, labels }) };
    }
    case "tmpfs": {
      const { size, mode } = mount.tmpfs ?? {};
      const options = defined({
        sizeBytes: size === undefined ? undefined : Number(size),
        mode: mode === undefined ? undefined : Number.parseInt(mode, 8),
      });
      return { type: "tmpfs", target, ...readOnly, ...options };
    }
    default:
      return undefined;
  }
}

/** Neighbouring ports as one range. */
export function joinPorts(mappings: readonly PortMapping[]): PortMapping[] {
  const out: PortMapping[] = [];
  for (const next of mappings) {
    const last = out.at(-1);
    const count = last?.count ?? 1;
    const joins = last !== undefined && last.hostPort !== 0 && last.hostIp === next.hostIp &&
      last.protocol === next.protocol &&
      last.hostPort + count === next.hostPort && last.containerPort + count === next.containerPort;
    if (joins) last.count = count + 1;
    else out.push({ ...next });
  }
  return out;
}
