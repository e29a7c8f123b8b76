/** Capability sets (capabilities(7)): Docker's default set, additions and drops, and the host's bounding set as the ceiling. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { OciCapabilities } from "./runtime_spec.ts";

/** Every capability Linux has, in the order of its number (linux/capability.h). */
export const ALL_CAPABILITIES: readonly string[] = [
  "CHOWN",
  "DAC_OVERRIDE",
  "DAC_READ_SEARCH",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE",
  "NET_BROADCAST",
  "NET_ADMIN",
  "NET_RAW",
  "IPC_LOCK",
  "IPC_OWNER",
  "SYS_MODULE",
  "SYS_RAWIO",
  "SYS_CHROOT",
  "SYS_PTRACE",
  "SYS_PACCT",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_NICE",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "MKNOD",
  "LEASE",
  "AUDIT_WRITE",
  "AUDIT_CONTROL",
  "SETFCAP",
  "MAC_OVERRIDE",
  "MAC_ADMIN",
  "SYSLOG",
  "WAKE_ALARM",
  "BLOCK_SUSPEND",
  "AUDIT_READ",
  "PERFMON",
  "BPF",
  "CHECKPOINT_RESTORE",
].map((name) => `CAP_${name}`);

/** The fourteen capabilities a container gets without being asked. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

/** What the user said about capabilities. */
export interface CapabilityRequest {
  add: readonly string[];
  drop: readonly string[];
  privileged: boolean;
}

function normalize(field: string, name: string): string {
  const upper = name.toUpperCase();
  if (upper === "ALL" || upper === "CAP_ALL") return "ALL";
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (!ALL_CAPABILITIES.includes(full)) {
    throw invalid(field, name, "use a name from capabilities(7), such as NET_ADMIN, or ALL");
  }
  return full;
}

/**
 * The capabilities a container may have, in the kernel's order.
 *
 * As in Docker, `drop: ALL` with additions gives just the additions, `add: ALL` with drops all but those, and a name both
 * added and dropped stays.
 *
 * @param request additions and drops, with or without `CAP_`, in any case
 * @param host the daemon's bounding set
 * @param warnings gets a sentence for each capability of a wholesale set that the host lacks
 * @throws NyxError invalid_argument for an unknown name; failed_precondition when one asked for by name is not the host's to give
 */
export function resolveCapabilities(
  request: CapabilityRequest,
  host: readonly string[],
  warnings: string[],
): string[] {
  const add = request.add.map((c) => normalize("capAdd", c));
  const drop = request.drop.map((c) => normalize("capDrop", c));
  const wanted = new Set<string>(
    request.privileged || add.includes("ALL") ? ALL_CAPABILITIES : drop.includes("ALL") ? [] : DEFAULT_CAPABILITIES,
  );
  if (!request.privileged) {
    for (const c of drop) if (c !== "ALL") wanted.delete(c);
    for (const c of add) if (c !== "ALL") wanted.add(c);
  }
  const missing = [...wanted].filter((c) => !host.includes(c));
  const refused = missing.filter((c) => add.includes(c));
  if (refused.length > 0) {
    throw new NyxError(
      "failed_precondition",
      `Could not add capability ${
        refused.join(", ")
      }: nyxd's own bounding set lacks it; start nyxd with it or leave it out`,
      { context: { field: "capAdd", value: refused.join(",") } },
    );
  }
  if (missing.length > 0) {
    warnings.push(`The container runs without ${missing.join(", ")}: nyxd's own bounding set lacks it`);
  }
  return ALL_CAPABILITIES.filter((c) => wanted.has(c) && !missing.includes(c));
}

/**
 * The five sets of process.capabilities. Nothing is inheritable or ambient; a user other than root gets the bounding set
 * alone, which is what execve(2) would leave it with.
 */
export function capabilitySets(allowed: readonly string[], uid: number): OciCapabilities {
  const held = uid === 0 ? [...allowed] : [];
  return { bounding: [...allowed], effective: held, permitted: [...held], inheritable: [], ambient: [] };
}
