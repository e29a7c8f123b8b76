/** `--security-opt`: seccomp, apparmor, no-new-privileges, systempaths, label. */

import { invalid } from "../errors.ts";
import { parseBool } from "./csv.ts";

/** All `--security-opt` values of one command line. */
export interface SecurityOptions {
  /** `unconfined`, or the profile's JSON text. Missing: the default allow-list. */
  seccomp?: string;
  apparmor?: string;
  noNewPrivileges?: boolean;
  maskedPaths?: string[];
  readonlyPaths?: string[];
}

function parseSeccomp(
  value: string,
  text: string,
  readFile: (path: string) => string,
  field: string,
): string | undefined {
  if (value === "unconfined") return value;
  if (value === "builtin") return undefined;
  const profile = readFile(value);
  try {
    const parsed: unknown = JSON.parse(profile);
    if (typeof parsed === "object" && parsed !== null && "defaultAction" in parsed) return profile;
  } catch {
    // Reported below: whatever it is, it is no profile.
  }
  throw invalid(field, text, `"${value}" is not a seccomp profile (JSON with a defaultAction)`);
}

/**
 * Reads all values; the last of a kind wins. Both `key=value` and the old `key:value` are understood.
 *
 * @param readFile gives the text of a seccomp profile; throws with its own message
 * @throws NyxError invalid_argument for what nyx cannot honour
 */
export function parseSecurityOpts(
  values: readonly string[],
  readFile: (path: string) => string,
  field = "security-opt",
): SecurityOptions {
  const out: SecurityOptions = {};
  for (const text of values) {
    const match = /^([a-z-]+)(?:[=:](.*))?$/s.exec(text);
    const key = match?.[1] ?? "";
    const value = match?.[2];
    if (key === "no-new-privileges") out.noNewPrivileges = value === undefined || parseBool(value, field);
    else if (key === "seccomp" && value) {
      const profile = parseSeccomp(value, text, readFile, field);
      if (profile === undefined) delete out.seccomp;
      else out.seccomp = profile;
    } else if (key === "apparmor" && value) out.apparmor = value;
    else if (key === "systempaths" && value === "unconfined") [out.maskedPaths, out.readonlyPaths] = [[], []];
    else if (key === "label" && value === "disable") continue; // SELinux labelling is never applied, so off is what holds.
    else if (key === "label") {
      throw invalid(field, text, "SELinux labels are not supported; only label=disable is accepted");
    } else {
      throw invalid(
        field,
        text,
        "use seccomp=unconfined|FILE, apparmor=PROFILE, no-new-privileges or systempaths=unconfined",
      );
    }
  }
  return out;
}
