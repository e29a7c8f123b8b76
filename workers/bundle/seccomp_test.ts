import assert from "node:assert/strict";
import { DEFAULT_CAPABILITIES } from "./capabilities.ts";
import type { OciSeccomp } from "./runtime_spec.ts";
import { kernelAtLeast, resolveSeccomp } from "./seccomp.ts";

const context = (capabilities: readonly string[] = DEFAULT_CAPABILITIES, arch = "x86_64", kernel = "6.1.0-18") => ({
  capabilities,
  arch,
  kernel,
});

/** What the filter does with a call made with any arguments. */
function plainlyAllowed(seccomp: OciSeccomp | undefined, name: string): boolean {
  assert.ok(seccomp !== undefined);
  return seccomp.syscalls.some((r) => r.action === "SCMP_ACT_ALLOW" && r.args === undefined && r.names.includes(name));
}

Deno.test("resolveSeccomp: the default refuses by EPERM what Docker's refuses", () => {
  const s = resolveSeccomp(undefined, context());
  assert.equal(s?.defaultAction, "SCMP_ACT_ERRNO");
  assert.equal(s?.defaultErrnoRet, 1);
  const refused =
    ("acct add_key bpf clock_settime clone delete_module fanotify_init finit_module fsopen get_mempolicy " +
      "init_module io_uring_setup io_uring_enter ioperm iopl kcmp kexec_load kexec_file_load keyctl lookup_dcookie mbind " +
      "mount move_mount open_by_handle_at open_tree perf_event_open personality pivot_root quotactl reboot request_key " +
      "set_mempolicy setns settimeofday swapoff swapon sysfs syslog umount2 unshare uselib userfaultfd vhangup vm86")
      .split(" ");
  for (const name of refused) assert.ok(!plainlyAllowed(s, name), name);
  for (const name of ["read", "execve", "openat2", "futex", "statx", "chroot", "ptrace", "arch_prctl", "fchmodat2"]) {
    assert.ok(plainlyAllowed(s, name), name);
  }
});

Deno.test("resolveSeccomp: no rule allows a call twice, and clone makes no namespaces without CAP_SYS_ADMIN", () => {
  const s = resolveSeccomp(undefined, context());
  const clone = s?.syscalls.filter((r) => r.names.includes("clone"));
  assert.deepEqual(clone, [{
    names: ["clone"],
    action: "SCMP_ACT_ALLOW",
    args: [{ index: 0, value: 0x7e020000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
  }]);
  assert.deepEqual(s?.syscalls.filter((r) => r.names.includes("clone3")), [{
    names: ["clone3"],
    action: "SCMP_ACT_ERRNO",
    errnoRet: 38,
  }]);
  const names = s?.syscalls[0]?.names ?? [];
  assert.equal(new Set(names).size, names.length);
});

Deno.test("resolveSeccomp: capabilities open their calls", () => {
  const cases: [string, string][] = [
    ["CAP_SYS_ADMIN", "mount"],
    ["CAP_SYS_ADMIN", "clone3"],
    ["CAP_SYS_TIME", "clock_settime"],
    ["CAP_SYS_MODULE", "init_module"],
    ["CAP_DAC_READ_SEARCH", "open_by_handle_at"],
    ["CAP_BPF", "bpf"],
    ["CAP_PERFMON", "perf_event_open"],
    ["CAP_SYSLOG", "syslog"],
    ["CAP_SYS_NICE", "mbind"],
  ];
  for (const [cap, call] of cases) {
    assert.ok(plainlyAllowed(resolveSeccomp(undefined, context([cap])), call), `${cap} ${call}`);
    assert.ok(!plainlyAllowed(resolveSeccomp(undefined, context([])), call), call);
  }
});

Deno.test("resolveSeccomp: architecture and kernel decide", () => {
  const arm = resolveSeccomp(undefined, context([], "aarch64"));
  assert.deepEqual(arm?.architectures, ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
  assert.ok(plainlyAllowed(arm, "cacheflush"));
  assert.ok(!plainlyAllowed(arm, "arch_prctl"));
  assert.deepEqual(resolveSeccomp(undefined, context())?.architectures, [
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32",
  ]);
  assert.ok(!plainlyAllowed(resolveSeccomp(undefined, context([], "x86_64", "4.4.0")), "ptrace"));
  assert.ok(kernelAtLeast("4.10.0", "4.8"));
  assert.ok(!kernelAtLeast("4.7.9", "4.8"));
  assert.ok(kernelAtLeast("5.0", "4.8"));
});

Deno.test("resolveSeccomp: a profile in Docker's format is judged by caps, arches and kernel", () => {
  const profile = JSON.stringify({
    defaultAction: "SCMP_ACT_ERRNO",
    archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
    syscalls: [
      { names: ["read"], action: "SCMP_ACT_ALLOW" },
      { name: "write", action: "SCMP_ACT_ALLOW", args: [] },
      { names: ["reboot"], action: "SCMP_ACT_ALLOW", includes: { caps: ["CAP_SYS_BOOT"] } },
      { names: ["bpf"], action: "SCMP_ACT_ALLOW", excludes: { caps: ["CAP_KILL"] } },
      { names: ["ptrace"], action: "SCMP_ACT_ALLOW", includes: { minKernel: "7.0" } },
      { names: ["socket"], action: "SCMP_ACT_ALLOW", excludes: { arches: ["amd64"] } },
    ],
  });
  const s = resolveSeccomp(profile, context(["CAP_KILL"]));
  assert.deepEqual(s?.syscalls, [{ names: ["read", "write"], action: "SCMP_ACT_ALLOW" }]);
  assert.deepEqual(s?.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
});

Deno.test("resolveSeccomp: a profile in OCI format, and unconfined", () => {
  const oci = {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86_64"],
    flags: ["SECCOMP_FILTER_FLAG_LOG"],
    syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO", errnoRet: 13 }],
  };
  assert.deepEqual(resolveSeccomp(JSON.stringify(oci), context()), oci);
  assert.equal(resolveSeccomp("unconfined", context()), undefined);
});

Deno.test("resolveSeccomp: malformed profiles say what is wrong", () => {
  const cases: [unknown, RegExp][] = [
    ["{", /not JSON/],
    [[], /a profile is a JSON object/],
    [{}, /defaultAction/],
    [{ defaultAction: "ALLOW" }, /defaultAction/],
    [{ defaultAction: "SCMP_ACT_ALLOW", syscalls: {} }, /list of rules/],
    [{ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ action: "SCMP_ACT_ALLOW" }] }, /at least one/],
    [{ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["a"], action: "x" }] }, /action/],
    [{ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["a"], name: "a", action: "SCMP_ACT_ALLOW" }] }, /either/],
    [
      { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["a"], action: "SCMP_ACT_ALLOW", args: [{ index: 9 }] }] },
      /arg index/,
    ],
  ];
  for (const [profile, error] of cases) {
    const text = typeof profile === "string" ? profile : JSON.stringify(profile);
    assert.throws(() => resolveSeccomp(text, context()), error, text);
  }
});
