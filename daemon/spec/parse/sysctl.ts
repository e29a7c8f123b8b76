/** `--sysctl KEY=VALUE`: only kernel parameters that belong to a namespace of the container. */

import { invalid } from "../errors.ts";

const IPC_KEYS = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
]);

/** Namespace that a parameter belongs to; undefined when it would change the host. */
export function sysctlNamespace(key: string): "net" | "ipc" | "uts" | undefined {
  if (key.startsWith("net.")) return "net";
  if (IPC_KEYS.has(key) || key.startsWith("fs.mqueue.")) return "ipc";
  return key === "kernel.domainname" ? "uts" : undefined;
}

/**
 * One `--sysctl` value. Slashes separate like dots do in sysctl(8).
 *
 * @throws NyxError invalid_argument: bad syntax, or a parameter of the whole host
 */
export function parseSysctl(text: string, field = "sysctl"): [string, string] {
  const equals = text.indexOf("=");
  const raw = equals < 1 ? "" : text.slice(0, equals);
  // As sysctl(8): the separator that comes first is the one in use, and the other one stands for itself swapped.
  const slashFirst = raw.includes("/") && (!raw.includes(".") || raw.indexOf("/") < raw.indexOf("."));
  const key = slashFirst ? raw.replace(/[./]/g, (c) => c === "/" ? "." : "/") : raw;
  if (!/^[a-z0-9_-]+(\.[a-zA-Z0-9_\/-]+)+$/.test(key) || /(^|\.)\.*(\.|$)/.test(key) || key.split("/").includes("..")) {
    throw invalid(field, text, "write KEY=VALUE, such as net.core.somaxconn=1024");
  }
  if (sysctlNamespace(key) === undefined) {
    throw invalid(
      field,
      text,
      "it is not of a namespace and would change the whole host; allowed are net.*, fs.mqueue.* and kernel.{msg*,sem,shm*,domainname}",
    );
  }
  return [key, text.slice(equals + 1)];
}
