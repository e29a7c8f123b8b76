/** What the host offers containers, read once at start through the rootfs worker: Deno opens /proc and /sys to FFI alone. */

import type { WorkerHost } from "../../workers/host.ts";
import type { HostFacts, RootfsStage } from "../../workers/protocol.ts";

/** Deadline for reading a few kernel files. */
const DEADLINE_MS = 10_000;

/**
 * Reads the facts. The seccomp filters are added to the same object when they are ready, a moment later; containers that start before
 * have theirs compiled by crun.
 *
 * @param rootfs the rootfs worker
 * @throws NyxError unavailable or deadline_exceeded when the worker does not answer
 */
export async function readHostFacts(rootfs: Pick<WorkerHost<RootfsStage>, "call">): Promise<HostFacts> {
  const facts = await rootfs.call("hostFacts", {}, { deadlineMs: DEADLINE_MS });
  if (facts.seccompFilters !== undefined) {
    rootfs.call("seccompFilters", {}).then((filters) => facts.seccompFilters = filters, () => {
      // Without them containers start all the same, if later by some milliseconds.
    });
  }
  return facts;
}

/** Sentences about what this host cannot do, for the daemon's log at start. */
export function hostWarnings(facts: HostFacts): string[] {
  const warnings: string[] = [];
  for (const controller of ["memory", "cpu", "pids", "cpuset"]) {
    if (!facts.controllers.includes(controller)) {
      warnings.push(`The ${controller} cgroup controller is missing: limits that need it are refused`);
    }
  }
  if (!facts.swapLimit) warnings.push("The kernel does not account swap: memory limits do not cover it");
  if (!facts.capabilities.includes("CAP_SYS_RESOURCE")) {
    warnings.push("nyxd lacks CAP_SYS_RESOURCE: ulimits are lowered to its own hard limits");
  }
  if (facts.seccompFilters === undefined) {
    warnings.push(
      "libseccomp.so.2 cannot be loaded: crun compiles the seccomp filter at each start, which takes longer",
    );
  }
  return warnings;
}
