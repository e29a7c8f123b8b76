import assert from "node:assert/strict";
import type { HostFacts } from "../../workers/protocol.ts";
import { hostWarnings, readHostFacts } from "./host_facts.ts";

const WHOLE: HostFacts = {
  cgroup: "v2",
  apparmor: false,
  capabilities: ["CAP_SYS_RESOURCE"],
  kernel: "6.1.0",
  controllers: ["memory", "cpu", "pids", "cpuset"],
  rlimits: {},
  swapLimit: true,
  blkioWeight: true,
  seccompFilters: {},
};

Deno.test("readHostFacts: asks the rootfs worker once, with a deadline", async () => {
  const asked: unknown[] = [];
  const call = (...args: unknown[]) => {
    asked.push(args);
    return Promise.resolve(WHOLE);
  };
  assert.equal(await readHostFacts({ call: call as never }), WHOLE);
  assert.deepEqual(asked, [["hostFacts", {}, { deadlineMs: 10_000 }]]);
});

Deno.test("hostWarnings: a whole host has none; each gap is told", () => {
  assert.deepEqual(hostWarnings(WHOLE), []);
  const { seccompFilters: _none, ...bare } = WHOLE;
  const warnings = hostWarnings({ ...bare, controllers: ["cpu"], capabilities: [], swapLimit: false });
  for (const word of ["memory cgroup", "pids cgroup", "cpuset cgroup", "swap", "CAP_SYS_RESOURCE", "libseccomp"]) {
    assert.ok(warnings.some((w) => w.includes(word)), word);
  }
  assert.equal(warnings.length, 6);
});
