/**
 * Ready-made filter programs for the seccomp profiles that nearly all containers have. Without one crun compiles the profile at
 * each start, which more than doubles the CPU time of starting a container.
 */

import { createHash } from "node:crypto";
import type { SeccompActionSpec, SeccompCompiler, SeccompOperator, SeccompRuleSpec } from "../../ffi/seccomp.ts";
import { SECCOMP_OPERATORS } from "../../ffi/seccomp.ts";
import { DEFAULT_CAPABILITIES } from "./capabilities.ts";
import type { OciSeccomp, OciSyscallRule } from "./runtime_spec.ts";
import { resolveSeccomp } from "./seccomp.ts";

/** Annotation that hands crun (1.7 and later; others ignore it and compile) a filter program in base64. */
export const FILTER_ANNOTATION = "run.oci.seccomp_bpf_data";

/** Name of a resolved profile among the ready-made filters. */
export function filterKey(seccomp: OciSeccomp): string {
  return createHash("sha256").update(JSON.stringify(seccomp)).digest("hex");
}

function toAction(action: string, errno: number | undefined): SeccompActionSpec {
  if (action === "SCMP_ACT_ALLOW") return { kind: "allow" };
  if (action === "SCMP_ACT_ERRNO") return { kind: "errno", errno: errno ?? 1 };
  throw new TypeError(`The default profile has an action that cannot be compiled here: ${action}`);
}

function toRule(rule: OciSyscallRule): SeccompRuleSpec {
  const action = toAction(rule.action, rule.errnoRet);
  const [arg, ...more] = rule.args ?? [];
  if (arg === undefined) return { names: rule.names, action };
  if (more.length > 0 || !Object.hasOwn(SECCOMP_OPERATORS, arg.op)) {
    throw new TypeError("The default profile has a condition that cannot be compiled here");
  }
  const argument = {
    index: arg.index,
    op: arg.op as SeccompOperator,
    value: BigInt(arg.value),
    valueTwo: BigInt(arg.valueTwo ?? 0),
  };
  return { names: rule.names, action, argument };
}

/**
 * Compiles a resolved profile of allow and errno rules with at most one condition each.
 *
 * @throws TypeError for other rules; SyscallError of the library
 */
export function compileFilter(
  compiler: SeccompCompiler,
  seccomp: OciSeccomp,
  options: { linear?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  return compiler.compile({
    defaultAction: toAction(seccomp.defaultAction, seccomp.defaultErrnoRet),
    architectures: (seccomp.architectures ?? []).map((a) => a.replace(/^SCMP_ARCH_/, "").toLowerCase()),
    rules: seccomp.syscalls.map(toRule),
  }, options);
}

/**
 * Filters of the default profile for the default capabilities and for none, to be made one by one: each takes a while.
 *
 * @param kernel kernel release
 * @param arch as Deno.build.arch
 * @returns functions that compile: {@linkcode filterKey} and program in base64
 */
export function readyFilters(
  compiler: SeccompCompiler,
  kernel: string,
  arch: string,
): (() => { key: string; program: string })[] {
  return [DEFAULT_CAPABILITIES, []].flatMap((capabilities) => {
    const seccomp = resolveSeccomp(undefined, { capabilities, kernel, arch });
    if (seccomp === undefined) return [];
    return [() => ({ key: filterKey(seccomp), program: compileFilter(compiler, seccomp).toBase64() })];
  });
}
