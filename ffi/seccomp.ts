/**
 * Compiles seccomp rules to the filter program that seccomp(2) takes, by libseccomp (seccomp_init(3), seccomp_rule_add(3),
 * seccomp_export_bpf(3)).
 */

/** One rule; without `argument` for any arguments. */
export interface SeccompRuleSpec {
  /** System call names; those that the library does not know are passed over, as container runtimes do. */
  names: readonly string[];
  action: SeccompActionSpec;
  /** One comparison of one argument. */
  argument?: { index: number; op: SeccompOperator; value: bigint; valueTwo: bigint };
}

/** What happens to a call. */
export type SeccompActionSpec = { kind: "allow" } | { kind: "errno"; errno: number };

/** Comparisons of libseccomp, by their number. */
export const SECCOMP_OPERATORS = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
} as const;

/** Name of a comparison. */
export type SeccompOperator = keyof typeof SECCOMP_OPERATORS;

/** A whole filter. */
export interface SeccompFilterSpec {
  defaultAction: SeccompActionSpec;
  /** Architectures as x86_64, x86, x32, aarch64, arm; the machine's own is always in. */
  architectures: readonly string[];
  rules: readonly SeccompRuleSpec[];
}

/** The compiler. */
export interface SeccompCompiler {
  /**
   * Compiles a filter.
   *
   * @param options `linear` leaves the calls in a list instead of a search tree: slower to run, for comparison
   * @returns struct sock_filter instructions, 8 bytes each
   * @throws SyscallError with the library's function and the errno it returned
   */
  compile(spec: SeccompFilterSpec, options?: { linear?: boolean }): Uint8Array<ArrayBuffer>;
}
