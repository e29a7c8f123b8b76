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

Deno.test("readHostFacts: answers with the facts at once, and adds the filters when they are there", async () => {
  const asked: unknown[] = [];
  const compiled = Promise.withResolvers<Record<string, string>>();
  const call = (op: string) => {
    asked.push(op);
    return op === "hostFacts" ? Promise.resolve({ ...WHOLE }) : compiled.promise;
  };
  const facts = await readHostFacts({ call: call as never });
  assert.deepEqual(facts, WHOLE);
  compiled.resolve({ key: "program" });
  await compiled.promise;
  assert.deepEqual(facts.seccompFilters, { key: "program" });
  assert.deepEqual(asked, ["hostFacts", "seccompFilters"]);
});

Deno.test("readHostFacts: without libseccomp no filter is asked for; a failing compile is no failure", async () => {
  const { seccompFilters: _none, ...bare } = WHOLE;
  const asked: unknown[] = [];
  await readHostFacts({ call: ((op: string) => (asked.push(op), Promise.resolve(bare))) as never });
  assert.deepEqual(asked, ["hostFacts"]);
  const failing = (op: string) => op === "hostFacts" ? Promise.resolve({ ...WHOLE }) : Promise.reject(new Error("no"));
  const facts = await readHostFacts({ call: failing as never });
  await new Promise((r) => setTimeout(r, 0));
  assert.deepEqual(facts.seccompFilters, {});
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
