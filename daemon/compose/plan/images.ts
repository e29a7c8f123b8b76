/** Which images are pulled or built before containers are made. */

import type { ComposeService, PlanStep } from "../../spec/compose.ts";
import { composeDuration } from "../shape/scalar.ts";
import type { ObservedImage } from "./world.ts";

/** What up was asked to do about images. */
export interface ImageOptions {
  /** `--pull`: overrides the services' own policy. */
  pull?: "always" | "missing" | "never";
  /** `--build`. */
  build?: boolean;
  /** Services whose images were just built. */
  built?: readonly string[];
  /** Milliseconds since the epoch; for policies such as daily. */
  nowMs?: number;
}

/** Age after which a policy pulls again, in milliseconds. */
function maxAge(policy: string): number | undefined {
  if (policy === "daily") return 86_400_000;
  if (policy === "weekly") return 7 * 86_400_000;
  if (policy.startsWith("every_")) return composeDuration(policy.slice("every_".length));
  return undefined;
}

/** What is to be done about the image of one service: a step, a reason why it cannot be had, or nothing. */
export function imageStep(
  name: string,
  service: ComposeService,
  ref: string,
  present: ObservedImage | undefined,
  options: ImageOptions,
): { step?: PlanStep; problem?: string } {
  const step = (action: "pull" | "build", reason: string) => ({
    step: { id: `${action}:${ref}`, action, target: ref, service: name, reason, after: [] },
  });
  const policy = options.pull ?? service.pull_policy ?? "missing";
  if (service.build !== undefined) {
    if (options.built?.includes(name) === true && present !== undefined) return {};
    if (options.build === true) return step("build", "--build was given");
    if (service.pull_policy === "build") return step("build", "pull_policy is build");
    if (present === undefined) return step("build", "the image does not exist");
    return {};
  }
  if (policy === "always") {
    return step(
      "pull",
      present === undefined
        ? "the image does not exist"
        : options.pull === "always"
        ? "--pull always was given"
        : "pull_policy is always",
    );
  }
  if (present === undefined) {
    return policy === "never" || policy === "build"
      ? { problem: `image ${ref} does not exist here, and its pull policy is ${policy}` }
      : step("pull", "the image does not exist");
  }
  const age = maxAge(policy);
  const pulled = present.pulledAtMs;
  if (age !== undefined && options.nowMs !== undefined && (pulled === undefined || options.nowMs - pulled > age)) {
    return step("pull", `the image was pulled longer ago than ${policy} allows`);
  }
  return {};
}
