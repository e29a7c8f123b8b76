/** One health probe: a command inside, or a connection made from within the container's network namespace. */

import { FRAME, FrameDecoder } from "../spec/frames.ts";
import type { HealthResult } from "../spec/api.ts";
import { toNyxError } from "../spec/errors.ts";
import type { Container } from "../supervisor/container.ts";
import type { SupervisorDeps } from "../supervisor/deps.ts";
import { runExec } from "../supervisor/exec.ts";
import type { FullHealthcheck } from "./schedule.ts";

/** Output of a probe that is kept, bytes. */
const OUTPUT_LIMIT = 4096;

/** What a probe found; `exitCode` 0 is healthy, -1 means that it could not be carried out. */
export type ProbeOutcome = Omit<HealthResult, "start" | "end">;

/**
 * Probes once. Never rejects: whatever goes wrong is an unhealthy outcome that says what it was.
 *
 * @param signal ends the probe early
 */
export async function probe(
  container: Container,
  check: FullHealthcheck,
  deps: SupervisorDeps,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  try {
    if (check.type === "exec") return await probeExec(container, check, deps, signal);
    return await probeNetwork(container, check, deps, signal);
  } catch (e) {
    return { exitCode: -1, output: toNyxError(e).message.slice(0, OUTPUT_LIMIT) };
  }
}

async function probeExec(
  container: Container,
  check: FullHealthcheck,
  deps: SupervisorDeps,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const command = check.command ?? [];
  const argv = check.shell === true ? ["/bin/sh", "-c", command.join(" ")] : command;
  const { attachment } = await runExec(container, { argv }, deps);
  if (attachment === undefined) return { exitCode: -1, output: "The probe did not start" };
  let late = false;
  const end = () => void attachment.input?.({ kind: "signal", signal: "KILL" }).catch(() => {});
  const timer = setTimeout(() => {
    late = true;
    end();
  }, check.timeoutMs);
  signal.addEventListener("abort", end, { once: true });
  try {
    const output = await collect(attachment.output);
    const exit = await attachment.exit;
    if (late) return { exitCode: -1, output: `The probe did not finish within ${check.timeoutMs} ms\n${output}` };
    return { exitCode: exit?.code ?? -1, output };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}

async function collect(output: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new FrameDecoder();
  const text = new TextDecoder();
  let kept = "";
  for await (const chunk of output) {
    for (const frame of decoder.push(chunk)) {
      if (frame.kind !== FRAME.stdout && frame.kind !== FRAME.stderr) continue;
      if (kept.length < OUTPUT_LIMIT) kept += text.decode(frame.payload, { stream: true });
    }
  }
  return kept.slice(0, OUTPUT_LIMIT);
}

async function probeNetwork(
  container: Container,
  check: FullHealthcheck,
  deps: SupervisorDeps,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const target = check.type === "http" ? check.url : check.address;
  return await deps.stages.network.call("probe", {
    netnsPath: container.record.netNS ?? `/proc/${container.record.state.pid}/ns/net`,
    type: check.type === "http" ? "http" : check.type === "grpc" ? "grpc" : "tcp",
    target: target ?? "",
    timeoutMs: check.timeoutMs,
  }, { signal });
}
