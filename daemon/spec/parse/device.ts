/** `--device SOURCE[:TARGET][:PERMISSIONS]` and `--device-cgroup-rule`, as Docker writes them. */

import type { DeviceSpec } from "../container.ts";
import { invalid } from "../errors.ts";
import { cleanAbsolute } from "./paths.ts";

function isPermissions(text: string): boolean {
  return /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length;
}

/** One `--device` value. Permissions default to rwm, the target to the source. */
export function parseDevice(text: string, field = "device"): DeviceSpec {
  if (text.includes("=") && !text.startsWith("/")) {
    throw invalid(field, text, "CDI device names are not supported; give a path below /dev");
  }
  const parts = text.split(":");
  const [source = "", second, third] = parts;
  const fix = "write /dev/SOURCE[:/dev/TARGET][:rwm]";
  if (parts.length > 3 || !source.startsWith("/")) throw invalid(field, text, fix);
  const secondIsPath = second?.startsWith("/") ?? false;
  const permissions = third ?? (second === undefined || secondIsPath ? "rwm" : second);
  if (!isPermissions(permissions)) throw invalid(field, text, `${fix}; permissions are some of r, w and m`);
  if (third !== undefined && !secondIsPath) throw invalid(field, text, fix);
  const clean = cleanAbsolute(source);
  return { source: clean, target: secondIsPath ? cleanAbsolute(second ?? "") : clean, permissions };
}

/** One `--device-cgroup-rule`: TYPE MAJOR:MINOR PERMISSIONS, such as `c 42:* rmw`. */
export function parseDeviceCgroupRule(text: string, field = "device-cgroup-rule"): string {
  const match = /^([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text);
  if (match === null || !isPermissions(match[4] ?? "")) {
    throw invalid(field, text, "write TYPE MAJOR:MINOR PERMISSIONS, such as 'c 42:* rmw'");
  }
  return text;
}
