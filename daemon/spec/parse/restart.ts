/** `--restart no|always|unless-stopped|on-failure[:MAX]`. */

import type { RestartPolicy } from "../container.ts";
import { invalid } from "../errors.ts";

/** One restart policy; the empty text means `no`. */
export function parseRestart(text: string, field = "restart"): RestartPolicy {
  const match = /^(no|always|unless-stopped|on-failure)?(?::(\d{1,9}))?$/.exec(text);
  const name = match?.[1] ?? "no";
  if (match === null || (text !== "" && match[1] === undefined)) {
    throw invalid(field, text, "use no, always, unless-stopped, on-failure or on-failure:MAX-RETRIES");
  }
  if (name !== "no" && name !== "always" && name !== "unless-stopped" && name !== "on-failure") {
    throw invalid(field, text, "use no, always, unless-stopped or on-failure");
  }
  if (match[2] === undefined) return { name };
  if (name !== "on-failure") throw invalid(field, text, "a number of retries goes with on-failure only");
  return { name, maxRetries: Number(match[2]) };
}

/** The policy as the flag writes it. */
export function formatRestart(policy: RestartPolicy): string {
  return policy.maxRetries === undefined || policy.maxRetries === 0
    ? policy.name
    : `${policy.name}:${policy.maxRetries}`;
}
