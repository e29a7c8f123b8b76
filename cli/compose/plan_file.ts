/** Plans as files, between `plan --output` and `apply`. They hold steps and reasons, and neither the files' contents nor secrets. */

import { type ComposePlan, type ComposePlanRequest, NyxError } from "../../mod.ts";

const VERSION = 1;

/** What a plan file holds. */
export interface PlanFile {
  /** Options that the plan was made with. */
  options: Omit<ComposePlanRequest, "files">;
  plan: ComposePlan;
}

/** Writes a plan. */
export function writePlanFile(path: string, file: PlanFile): void {
  Deno.writeTextFileSync(path, `${JSON.stringify({ nyxPlan: VERSION, ...file }, undefined, 2)}\n`, { mode: 0o600 });
}

/** Reads a plan. @throws NyxError invalid_argument when it is none */
export function readPlanFile(path: string): PlanFile {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (e) {
    const reason = e instanceof Deno.errors.NotFound ? "there is no such file" : (e as Error).message;
    throw new NyxError("invalid_argument", `Could not read plan ${path}: ${reason}`, { cause: e });
  }
  try {
    const { nyxPlan, options, plan } = JSON.parse(text) as Partial<PlanFile> & { nyxPlan?: number };
    if (nyxPlan === VERSION && options !== undefined && plan !== undefined) return { options, plan };
  } catch {
    // Told below.
  }
  throw new NyxError(
    "invalid_argument",
    `Could not read plan ${path}: it is not what nyx compose plan --output writes`,
  );
}
