/** Applies a plan: images first and side by side, then everything else in the order of its steps. */

import type { ComposePlan, PlanStep } from "../../spec/compose.ts";
import type { ComposeEvent } from "../../spec/compose_api.ts";
import { NyxError } from "../../spec/errors.ts";
import type { ComposeProject } from "../project.ts";
import type { ComposeEngine } from "./engine.ts";
import { type Job, type Outcome, runGraph } from "./graph_run.ts";
import { type StepOptions, Steps } from "./steps.ts";

/** How a plan is applied. */
export interface ApplyOptions extends Omit<StepOptions, "onWarning" | "onWait" | "onPull"> {
  signal: AbortSignal;
  onEvent: (event: ComposeEvent) => void;
  /** What was being done, such as "bring up project shop". */
  action: string;
  /** Only the images, or only the rest; default both. */
  only?: "images" | "rest";
}

/** What was done. */
export interface Applied {
  /** Ids of steps, in the order of the plan. */
  done: string[];
  warnings: string[];
}

/** Steps that need no container to be touched; all of them end before the first that does. */
const FIRST = new Set<PlanStep["action"]>(["pull", "build"]);

/** Services whose failure only means that those who can do without them do so. */
function optionalServices(plan: ComposePlan): Set<string> {
  const waits = plan.steps.flatMap((step) => step.waits ?? []);
  const required = new Set(waits.filter((w) => w.required).map((w) => w.service));
  return new Set(waits.filter((w) => !w.required && !required.has(w.service)).map((w) => w.service));
}

/** Ids that a step comes after: those that the plan names, and whoever must first give up its name. */
function predecessors(step: PlanStep, steps: readonly PlanStep[]): string[] {
  if (step.action !== "create" && step.action !== "recreate" && step.action !== "update") return step.after;
  const holders = steps.filter((s) => s.action === "remove" && s.target === step.target && s.id !== step.id);
  return [...step.after, ...holders.map((s) => s.id)];
}

function toJob(step: PlanStep, plan: ComposePlan, steps: Steps): Job {
  const given = new Set((step.waits ?? []).filter((w) => !w.required).map((w) => w.service));
  // Containers of one service that are replaced in turn: when one may fail, the next follows all the same.
  const turns = plan.steps.filter((s) => s.action === "recreate" && s.service === step.service);
  const optional = plan.steps.filter((s) => s.service !== undefined && given.has(s.service)).concat(turns).map((s) =>
    s.id
  );
  return {
    id: step.id,
    after: predecessors(step, plan.steps),
    optional: new Set(optional),
    run: (signal) => steps.run(step, signal),
  };
}

/** What may fail becomes a warning, and counts no more. */
function forgive(
  outcomes: Map<string, Outcome>,
  mayFail: (id: string) => boolean,
  onWarning: (message: string) => void,
): void {
  for (const [id, outcome] of outcomes) {
    if (outcome.state === "done" || !mayFail(id)) continue;
    onWarning(`${id} ${outcome.state}: ${outcome.state === "failed" ? outcome.error.message : outcome.reason}`);
    outcomes.delete(id);
  }
}

/** The error that tells everything that was not done. */
function failure(action: string, outcomes: ReadonlyMap<string, Outcome>, signal: AbortSignal): NyxError | undefined {
  const failed = [...outcomes].flatMap(([id, o]) => o.state === "failed" ? [{ id, error: o.error }] : []);
  const skipped = [...outcomes].filter(([, o]) => o.state === "skipped").map(([id]) => id);
  const [first] = failed;
  if (first === undefined && skipped.length === 0) return undefined;
  if (first === undefined || signal.aborted) {
    return new NyxError("canceled", `Could not ${action}: it was canceled; not done: ${skipped.join(", ")}`);
  }
  const lines = failed.map(({ id, error }) => `${id}: ${error.message}`);
  const rest = skipped.length === 0 ? "" : `; not done: ${skipped.join(", ")}`;
  const { cause: _, ...details } = first.error.details;
  return new NyxError(first.error.code, `Could not ${action}: ${lines.join("; ")}${rest}`, {
    ...details,
    context: { ...details.context, step: first.id },
    cause: first.error,
  });
}

/**
 * Applies a plan.
 *
 * @throws NyxError failed_precondition for a plan that is blocked, before anything is done; the first failure's class with all
 * that failed and all that was not done; what ran before and was not to change runs on
 */
export async function applyPlan(
  plan: ComposePlan,
  project: ComposeProject,
  engine: ComposeEngine,
  options: ApplyOptions,
): Promise<Applied> {
  if (plan.blocked.length > 0) {
    const lines = plan.blocked.map((b) => `  ${b.service === undefined ? "" : `${b.service}: `}${b.message}`);
    throw new NyxError("failed_precondition", `Could not ${options.action}:\n${lines.join("\n")}`);
  }
  const warnings: string[] = [];
  const byId = new Map(plan.steps.map((step) => [step.id, step]));
  const onWarning = (message: string) => {
    warnings.push(message);
    options.onEvent({ event: "warning", message });
  };
  if (options.only !== "images") plan.warnings.forEach(onWarning);
  const tell = (id: string, state: "waiting" | "working" | Outcome, message?: string) => {
    const step = byId.get(id);
    if (step !== undefined && step.action !== "keep") options.onEvent(stepEvent(step, state, message));
  };
  const steps = new Steps(engine, project, plan.steps, {
    ...options,
    onWarning,
    onWait: (step, message) => tell(step.id, "waiting", message),
    onPull: (ref, progress) => options.onEvent({ event: "pull", ref, progress }),
  });
  const optional = optionalServices(plan);
  const mayFail = (id: string) => optional.has(byId.get(id)?.service ?? "") || steps.rollouts.tolerates(id);
  const run = (chosen: readonly PlanStep[]) =>
    runGraph(chosen.map((step) => toJob(step, plan, steps)), {
      signal: options.signal,
      tolerated: mayFail,
      onState: tell,
    });
  const outcomes = await run(options.only === "rest" ? [] : plan.steps.filter((s) => FIRST.has(s.action)));
  forgive(outcomes, mayFail, onWarning);
  const images = failure(options.action, outcomes, options.signal);
  if (images !== undefined) {
    images.message += "; no container was touched";
    throw images;
  }
  const rest = options.only === "images" ? [] : plan.steps.filter((s) => !FIRST.has(s.action));
  for (const [id, outcome] of await run(rest)) outcomes.set(id, outcome);
  const settled = await steps.rollouts.settle();
  forgive(outcomes, mayFail, onWarning);
  const problem = failure(options.action, outcomes, options.signal);
  if (problem !== undefined) {
    settled.push(...await steps.startAgain());
    if (settled.length > 0) problem.message += `; ${settled.join("; ")}`;
    throw problem;
  }
  const done = plan.steps.filter((s) => s.action !== "keep" && outcomes.get(s.id)?.state === "done").map((s) => s.id);
  return { done, warnings };
}

function stepEvent(step: PlanStep, state: "waiting" | "working" | Outcome, message?: string): ComposeEvent {
  const { id, action, target, service } = step;
  const said = typeof state === "string"
    ? message
    : state.state === "failed"
    ? state.error.message
    : state.state === "skipped"
    ? state.reason
    : undefined;
  return {
    event: "step",
    id,
    action,
    target,
    ...(service === undefined ? {} : { service }),
    state: typeof state === "string" ? state : state.state,
    ...(said === undefined ? {} : { message: said }),
  };
}
