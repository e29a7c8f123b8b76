/** A plan as people read it. */

import type { ComposePlan, FieldChange, PlanStep } from "../../spec/compose.ts";

const SIGNS: Readonly<Record<PlanStep["action"], string>> = {
  pull: "v",
  build: "v",
  "create-network": "+",
  "recreate-network": "±",
  "create-volume": "+",
  create: "+",
  recreate: "±",
  update: "~",
  restart: "~",
  start: ">",
  stop: "s",
  remove: "-",
  "remove-network": "-",
  "remove-volume": "-",
  keep: "=",
};

function changeText(change: FieldChange): string {
  const from = change.from === undefined ? "(not set)" : JSON.stringify(change.from);
  const to = change.to === undefined ? "(not set)" : JSON.stringify(change.to);
  return `      ${change.field}: ${from} → ${to}`;
}

function kindOf(step: PlanStep): string {
  if (step.action.endsWith("network")) return "network";
  if (step.action.endsWith("volume")) return "volume";
  return step.action === "pull" || step.action === "build" ? "image" : "container";
}

function stepText(step: PlanStep): string[] {
  const verb = step.action.replace(/-(network|volume)$/, "");
  const lines = [`  ${SIGNS[step.action]} ${verb} ${kindOf(step)} ${step.target}: ${step.reason}`];
  if (step.order === "start-first") lines.push("      the new container starts before the old one stops");
  for (const wait of step.waits ?? []) {
    if (step.action === "keep") break;
    lines.push(`      waits for ${wait.service}: ${wait.condition}${wait.required ? "" : " (not required)"}`);
  }
  return [...lines, ...(step.changes ?? []).map(changeText)];
}

/** Text of a plan, one step a line, with what changes below it. `keep` steps are counted unless `all` is set. */
export function printPlan(plan: ComposePlan, options: { all?: boolean } = {}): string {
  const kept = plan.steps.filter((step) => step.action === "keep");
  const acting = plan.steps.filter((step) => step.action !== "keep");
  const shown = options.all === true ? plan.steps : acting;
  const lines = [
    `Project ${plan.project}: ${
      acting.length === 0 ? "nothing to do" : `${acting.length} ${acting.length === 1 ? "step" : "steps"}`
    }`,
  ];
  lines.push(...shown.flatMap(stepText));
  if (kept.length > 0 && options.all !== true) lines.push(`  = ${kept.length} unchanged`);
  lines.push(...plan.warnings.map((warning) => `  ! ${warning}`));
  lines.push(...plan.blocked.map((problem) => `  x ${problem.message}`));
  return `${lines.join("\n")}\n`;
}
