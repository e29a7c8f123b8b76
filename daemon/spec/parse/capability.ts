/** Capability names of `--cap-add` and `--cap-drop` (capabilities(7)). */

import { invalid } from "../errors.ts";

/** Capabilities of Linux, in the kernel's order, without CAP_. */
export const CAPABILITIES: readonly string[] =
  ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST " +
    "NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE " +
    "SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND " +
    "AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE").split(" ");

/** One capability as CAP_NAME, or ALL; any case, CAP_ optional. */
export function parseCapability(text: string, field = "cap-add"): string {
  const name = text.trim().toUpperCase().replace(/^CAP_/, "");
  if (name === "ALL") return "ALL";
  if (!CAPABILITIES.includes(name)) {
    throw invalid(field, text, "it is no capability of Linux; give a name such as NET_ADMIN, or ALL");
  }
  return `CAP_${name}`;
}
