/** Device nodes and device cgroup rules (cgroup v1 devices.allow; crun turns them into BPF on v2). */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { HostDevice } from "../protocol.ts";
import type { OciDevice, OciDeviceRule } from "./runtime_spec.ts";

/** What the device part of a container is made of. */
export interface DeviceInput {
  privileged: boolean;
  /** Nodes of `--device` and, when privileged, of the whole host. */
  nodes: readonly HostDevice[];
  /** `--device-cgroup-rule`, such as `c 13:* rwm`. */
  rules: readonly string[];
}

function character(major: number, minor: number | undefined, access = "rwm"): OciDeviceRule {
  return { allow: true, type: "c", major, ...(minor === undefined ? {} : { minor }), access };
}

/** What every container may reach: mknod of anything, and use of the harmless memory and terminal devices. */
const DEFAULT_RULES: readonly OciDeviceRule[] = [
  { allow: false, access: "rwm" },
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  character(1, 3), // null
  character(1, 5), // zero
  character(1, 7), // full
  character(1, 8), // random
  character(1, 9), // urandom
  character(5, 0), // tty
  character(5, 1), // console
  character(5, 2), // ptmx
  character(136, undefined), // pts
];

/**
 * Reads one device cgroup rule.
 *
 * @param text type, major:minor with `*` for any, access: `c 1:3 rwm`
 * @throws NyxError invalid_argument for another form
 */
export function parseDeviceRule(text: string): OciDeviceRule {
  const match = /^([abc]) ([0-9]{1,7}|\*):([0-9]{1,7}|\*) ([rwm]{1,3})$/.exec(text.trim());
  if (match === null) {
    throw invalid("deviceCgroupRules", text, "write type, major:minor and access, such as c 13:* rwm");
  }
  const [, type, major, minor, access] = match;
  const rule: OciDeviceRule = { allow: true, type: type as "a" | "b" | "c", access: access ?? "rwm" };
  if (major !== "*") rule.major = Number(major);
  if (minor !== "*") rule.minor = Number(minor);
  return rule;
}

/**
 * linux.devices and linux.resources.devices of a container.
 *
 * @throws NyxError invalid_argument for a malformed rule, a path outside the root or bad permissions
 */
export function resolveDevices(input: DeviceInput): { devices: OciDevice[]; rules: OciDeviceRule[] } {
  const devices: OciDevice[] = [];
  const rules: OciDeviceRule[] = input.privileged ? [{ allow: true, access: "rwm" }] : [...DEFAULT_RULES];
  const seen = new Set<string>();
  for (const node of input.nodes) {
    if (!node.path.startsWith("/") || node.path.split("/").includes("..")) {
      throw invalid("devices", node.path, "the path inside the container is absolute and without ..");
    }
    if (!/^[rwm]{1,3}$/.test(node.permissions)) {
      throw invalid("devices", node.permissions, "permissions are letters of rwm");
    }
    if (seen.has(node.path)) continue;
    seen.add(node.path);
    const { path, type, major, minor, uid, gid } = node;
    devices.push({ path, type, major, minor, fileMode: node.mode & 0o777, uid, gid });
    if (!input.privileged) rules.push({ allow: true, type, major, minor, access: node.permissions });
  }
  for (const text of input.rules) rules.push(parseDeviceRule(text));
  return { devices, rules };
}

/** Fails when devices were asked for and the request brings no nodes for them: the caller forgot to look them up. */
export function requireNodes(asked: number, nodes: readonly HostDevice[] | undefined): readonly HostDevice[] {
  if (asked > 0 && nodes === undefined) {
    throw new NyxError(
      "internal",
      `Could not generate the bundle: ${asked} devices were asked for, none was looked up`,
    );
  }
  return nodes ?? [];
}
