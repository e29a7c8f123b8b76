/** {@linkcode SeccompCompiler} over libseccomp.so.2. */

import { SyscallError } from "../errno.ts";
import {
  SECCOMP_OPERATORS,
  type SeccompActionSpec,
  type SeccompCompiler,
  type SeccompFilterSpec,
  type SeccompRuleSpec,
} from "../seccomp.ts";
import { check, cstr, openLibc, openLibrary } from "./libc.ts";

/** Candidate absolute paths of the library. */
export const LIBSECCOMP_PATHS: readonly string[] = Deno.build.arch === "aarch64"
  ? ["/usr/lib/aarch64-linux-gnu/libseccomp.so.2", "/usr/lib64/libseccomp.so.2"]
  : ["/usr/lib/x86_64-linux-gnu/libseccomp.so.2", "/usr/lib64/libseccomp.so.2"];

const ACT_ALLOW = 0x7fff0000;
const ACT_ERRNO = 0x00050000;
/** SCMP_FLTATR_CTL_OPTIMIZE, and its value for a binary tree. */
const ATTR_OPTIMIZE = 8;
const OPTIMIZE_TREE = 2;
const NR_ERROR = -1;
const EEXIST = 17;
const EINVAL = 22;
const ENOMEM = 12;
const ARG_CMP_SIZE = 24;
const MFD_CLOEXEC = 1;
/** BPF_MAXINSNS instructions of 8 bytes. */
const MAX_BYTES = 4096 * 8;

function open() {
  return openLibrary(LIBSECCOMP_PATHS, {
    seccomp_init: { parameters: ["u32"], result: "pointer" },
    seccomp_release: { parameters: ["pointer"], result: "void" },
    seccomp_arch_resolve_name: { parameters: ["buffer"], result: "u32" },
    seccomp_arch_add: { parameters: ["pointer", "u32"], result: "i32" },
    seccomp_attr_set: { parameters: ["pointer", "i32", "u32"], result: "i32" },
    seccomp_syscall_resolve_name: { parameters: ["buffer"], result: "i32" },
    seccomp_rule_add_array: { parameters: ["pointer", "u32", "i32", "u32", "buffer"], result: "i32" },
    seccomp_export_bpf: { parameters: ["pointer", "i32"], result: "i32" },
  }).symbols;
}

function openFiles() {
  return openLibc({
    memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
    pread64: { parameters: ["i32", "buffer", "usize", "i64"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
  }).symbols;
}

type Library = ReturnType<typeof open>;

/** The library returns errno negated. */
function succeed(ret: number, what: string, subject: string): void {
  if (ret < 0) throw new SyscallError(what, -ret, subject);
}

function actionValue(action: SeccompActionSpec): number {
  return action.kind === "allow" ? ACT_ALLOW : ACT_ERRNO | (action.errno & 0xffff);
}

/** struct scmp_arg_cmp: unsigned arg, int op, two 64-bit data. */
function encodeArgument({ argument }: SeccompRuleSpec): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(ARG_CMP_SIZE);
  if (argument === undefined) return bytes;
  const view = new DataView(bytes.buffer);
  view.setUint32(0, argument.index, true);
  view.setUint32(4, SECCOMP_OPERATORS[argument.op], true);
  view.setBigUint64(8, argument.value, true);
  view.setBigUint64(16, argument.valueTwo, true);
  return bytes;
}

function addArchitectures(lib: Library, filter: Deno.PointerValue, names: readonly string[]): void {
  for (const name of names) {
    const token = lib.seccomp_arch_resolve_name(cstr(name));
    if (token === 0) throw new SyscallError("seccomp_arch_resolve_name", EINVAL, name);
    const ret = lib.seccomp_arch_add(filter, token);
    if (ret !== -EEXIST) succeed(ret, "seccomp_arch_add", name);
  }
}

function addRule(lib: Library, filter: Deno.PointerValue, rule: SeccompRuleSpec, defaultValue: number): void {
  const action = actionValue(rule.action);
  if (action === defaultValue) return;
  const argument = encodeArgument(rule);
  const count = rule.argument === undefined ? 0 : 1;
  for (const name of rule.names) {
    const number = lib.seccomp_syscall_resolve_name(cstr(name));
    if (number === NR_ERROR) continue;
    succeed(lib.seccomp_rule_add_array(filter, action, number, count, argument), "seccomp_rule_add_array", name);
  }
}

function exportProgram(lib: Library, filter: Deno.PointerValue): Uint8Array<ArrayBuffer> {
  const libc = openFiles();
  const fd = check(libc.memfd_create(cstr("nyx-seccomp"), MFD_CLOEXEC), "memfd_create");
  try {
    succeed(lib.seccomp_export_bpf(filter, fd), "seccomp_export_bpf", "filter");
    const buffer = new Uint8Array(MAX_BYTES);
    const length = check(libc.pread64(fd, buffer, BigInt(MAX_BYTES), 0n), "pread64");
    return buffer.slice(0, length);
  } finally {
    libc.close(fd);
  }
}

/**
 * The compiler of this thread.
 *
 * @throws Error when the library cannot be loaded
 */
export function linuxSeccomp(): SeccompCompiler {
  const lib = open();
  return {
    compile(spec: SeccompFilterSpec, options: { linear?: boolean } = {}): Uint8Array<ArrayBuffer> {
      const defaultValue = actionValue(spec.defaultAction);
      const filter = lib.seccomp_init(defaultValue);
      if (filter === null) throw new SyscallError("seccomp_init", ENOMEM);
      try {
        addArchitectures(lib, filter, spec.architectures);
        // Libraries before 2.5 have no tree: the list is right, too.
        if (options.linear !== true) lib.seccomp_attr_set(filter, ATTR_OPTIMIZE, OPTIMIZE_TREE);
        for (const rule of spec.rules) addRule(lib, filter, rule, defaultValue);
        return exportProgram(lib, filter);
      } finally {
        lib.seccomp_release(filter);
      }
    },
  };
}
