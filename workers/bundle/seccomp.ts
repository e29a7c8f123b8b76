/** Turns a seccomp profile, in Docker's or in the OCI format, into config.json's linux.seccomp for one container. */

import { invalid } from "../../daemon/spec/errors.ts";
import type { OciSeccomp, OciSyscallRule } from "./runtime_spec.ts";
import { DEFAULT_PROFILE } from "./seccomp_default.ts";

/** Condition of a rule in Docker's format. */
export interface SeccompCondition {
  caps?: string[];
  arches?: string[];
  /** Lowest kernel, such as 4.8. */
  minKernel?: string;
}

/** One rule in Docker's format. */
export interface SeccompRule {
  name?: string;
  names?: string[];
  action: string;
  errnoRet?: number;
  args?: { index: number; value: number; valueTwo?: number; op: string }[] | null;
  includes?: SeccompCondition;
  excludes?: SeccompCondition;
}

/** A profile in Docker's format; the OCI format is the same without archMap and conditions. */
export interface SeccompProfile {
  defaultAction: string;
  defaultErrnoRet?: number;
  archMap?: { architecture: string; subArchitectures?: string[] | null }[];
  architectures?: string[];
  flags?: string[];
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls?: SeccompRule[] | null;
}

/** What a profile's conditions are judged by. */
export interface SeccompContext {
  capabilities: readonly string[];
  /** Kernel release such as 6.1.0-18-amd64. */
  kernel: string;
  /** As Deno.build.arch names it. */
  arch: string;
}

/** Names of a machine in Go (Docker's profiles) and in libseccomp. */
const ARCHES: Readonly<Record<string, { go: string; scmp: string }>> = {
  x86_64: { go: "amd64", scmp: "SCMP_ARCH_X86_64" },
  aarch64: { go: "arm64", scmp: "SCMP_ARCH_AARCH64" },
};

const ACTIONS = new Set([
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
]);

const OPERATORS = new Set([
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
]);

/** Whether kernel release `have` is at least `want`; only major and minor count. */
export function kernelAtLeast(have: string, want: string): boolean {
  const [hMajor = 0, hMinor = 0] = have.split(/[.-]/).map((n) => parseInt(n, 10) || 0);
  const [wMajor = 0, wMinor = 0] = want.split(".").map((n) => parseInt(n, 10) || 0);
  return hMajor > wMajor || (hMajor === wMajor && hMinor >= wMinor);
}

function applies(rule: SeccompRule, ctx: SeccompContext, goArch: string): boolean {
  const { includes, excludes } = rule;
  if (excludes?.arches?.includes(goArch) === true) return false;
  if (excludes?.caps?.some((c) => ctx.capabilities.includes(c)) === true) return false;
  if (excludes?.minKernel !== undefined && kernelAtLeast(ctx.kernel, excludes.minKernel)) return false;
  if (includes?.arches !== undefined && includes.arches.length > 0 && !includes.arches.includes(goArch)) return false;
  if (includes?.caps?.every((c) => ctx.capabilities.includes(c)) === false) return false;
  return includes?.minKernel === undefined || kernelAtLeast(ctx.kernel, includes.minKernel);
}

function toOciRule(rule: SeccompRule): OciSyscallRule {
  const oci: OciSyscallRule = {
    names: rule.names ?? (rule.name === undefined ? [] : [rule.name]),
    action: rule.action,
  };
  if (rule.errnoRet !== undefined) oci.errnoRet = rule.errnoRet;
  if (rule.args !== undefined && rule.args !== null && rule.args.length > 0) {
    oci.args = rule.args.map(({ index, value, valueTwo, op }) => ({
      index,
      value,
      ...(valueTwo === undefined ? {} : { valueTwo }),
      op,
    }));
  }
  return oci;
}

/**
 * Evaluates a profile's conditions for one container.
 *
 * @throws NyxError invalid_argument when the profile names no rule set for this machine's architecture
 */
export function resolveProfile(profile: SeccompProfile, ctx: SeccompContext): OciSeccomp {
  const arch = ARCHES[ctx.arch];
  if (arch === undefined) throw invalid("architecture", ctx.arch, "nyx knows x86_64 and aarch64");
  const mapped = profile.archMap?.find((m) => m.architecture === arch.scmp);
  const architectures = mapped === undefined
    ? profile.architectures ?? [arch.scmp]
    : [mapped.architecture, ...(mapped.subArchitectures ?? [])];
  const rules: OciSyscallRule[] = [];
  const allowed = new Set<string>();
  for (const rule of profile.syscalls ?? []) {
    if (!applies(rule, ctx, arch.go)) continue;
    const oci = toOciRule(rule);
    if (oci.action === "SCMP_ACT_ALLOW" && oci.args === undefined) { for (const n of oci.names) allowed.add(n); }
    else rules.push(oci);
  }
  const seccomp: OciSeccomp = { defaultAction: profile.defaultAction, architectures, syscalls: [] };
  if (profile.defaultErrnoRet !== undefined) seccomp.defaultErrnoRet = profile.defaultErrnoRet;
  if (profile.flags !== undefined && profile.flags.length > 0) seccomp.flags = profile.flags;
  if (profile.listenerPath !== undefined) seccomp.listenerPath = profile.listenerPath;
  if (profile.listenerMetadata !== undefined) seccomp.listenerMetadata = profile.listenerMetadata;
  if (allowed.size > 0) rules.unshift({ names: [...allowed], action: "SCMP_ACT_ALLOW" });
  seccomp.syscalls = rules;
  return seccomp;
}

function fail(what: string, value: unknown, fix: string): never {
  throw invalid(`seccomp ${what}`, value, fix);
}

/** Checks a parsed user profile's shape, so that a mistake is told here and not by crun in mid-start. */
function checkProfile(value: unknown): SeccompProfile {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    fail("profile", value, "a profile is a JSON object with defaultAction and syscalls");
  }
  const profile = value as Partial<SeccompProfile>;
  if (typeof profile.defaultAction !== "string" || !ACTIONS.has(profile.defaultAction)) {
    fail("defaultAction", profile.defaultAction, `use one of ${[...ACTIONS].join(", ")}`);
  }
  if (profile.syscalls !== undefined && profile.syscalls !== null && !Array.isArray(profile.syscalls)) {
    fail("syscalls", profile.syscalls, "it is a list of rules");
  }
  for (const rule of profile.syscalls ?? []) checkRule(rule);
  for (const map of profile.archMap ?? []) {
    if (typeof map?.architecture !== "string") fail("archMap", map, "each element names an architecture");
  }
  if (profile.architectures !== undefined && (profile.archMap?.length ?? 0) > 0) {
    fail("architectures", profile.architectures, "give either architectures or archMap");
  }
  return profile as SeccompProfile;
}

function checkRule(rule: Partial<SeccompRule> | null): void {
  if (typeof rule !== "object" || rule === null) fail("rule", rule, "a rule is an object with names and action");
  const names = rule.names ?? (rule.name === undefined ? undefined : [rule.name]);
  if (rule.names !== undefined && rule.name !== undefined) fail("rule", rule, "give either name or names");
  if (!Array.isArray(names) || names.length === 0 || names.some((n) => typeof n !== "string" || n === "")) {
    fail("rule", rule, "it names at least one system call");
  }
  if (typeof rule.action !== "string" || !ACTIONS.has(rule.action)) {
    fail("action", rule.action, `use one of ${[...ACTIONS].join(", ")}`);
  }
  if (rule.args !== undefined && rule.args !== null && !Array.isArray(rule.args)) {
    fail("args", rule.args, "it is a list of conditions");
  }
  for (const arg of rule.args ?? []) {
    if (!Number.isInteger(arg.index) || arg.index < 0 || arg.index > 5) fail("arg index", arg.index, "it is 0 to 5");
    if (!OPERATORS.has(arg.op)) fail("arg op", arg.op, `use one of ${[...OPERATORS].join(", ")}`);
  }
}

/**
 * linux.seccomp for what the user asked for.
 *
 * @param setting `unconfined`, a profile's JSON text, or undefined for the default allow-list
 * @param ctx capabilities, kernel and architecture
 * @returns undefined when nothing is filtered
 * @throws NyxError invalid_argument for a malformed profile
 */
export function resolveSeccomp(setting: string | undefined, ctx: SeccompContext): OciSeccomp | undefined {
  if (setting === "unconfined") return undefined;
  if (setting === undefined || setting === "" || setting === "builtin" || setting === "default") {
    return resolveProfile(DEFAULT_PROFILE, ctx);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(setting);
  } catch (e) {
    throw invalid("seccomp profile", setting, `it is not JSON (${e instanceof Error ? e.message : String(e)})`);
  }
  return resolveProfile(checkProfile(parsed), ctx);
}
