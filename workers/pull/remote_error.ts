/** What a registry says when it refuses, made fit for a message: bounded, printable, without secrets. */

import { readBounded } from "./body.ts";
import { Stall } from "./stall.ts";
import type { HttpResponse } from "./transport.ts";

const MAX_DOCUMENT = 64 * 1024;
const MAX_MESSAGE = 300;

/**
 * Reads an error response (distribution spec, "Error Codes") and consumes its body.
 *
 * @param secrets texts that a hostile server may echo and that must not get through
 * @returns one line, empty when it said nothing readable
 * @throws the signal's reason when the request was aborted
 */
export async function remoteMessage(
  response: HttpResponse,
  secrets: readonly string[],
  stallMs: number,
  signal: AbortSignal,
): Promise<string> {
  using stall = new Stall(signal, Math.min(stallMs, 5_000), "the registry");
  let text: string;
  try {
    const url = new URL("http://registry.invalid/");
    text = new TextDecoder().decode(await readBounded(response, MAX_DOCUMENT, { stall, url, what: "an error" }));
  } catch {
    signal.throwIfAborted();
    return "";
  }
  return sanitize(summary(text), secrets);
}

function summary(text: string): string {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return "";
  }
  if (typeof document !== "object" || document === null) return "";
  const { errors, details, error, error_description } = document as Record<string, unknown>;
  const parts: string[] = [];
  for (const item of Array.isArray(errors) ? errors.slice(0, 3) : []) {
    const { code, message } = (typeof item === "object" && item !== null ? item : {}) as Record<string, unknown>;
    parts.push([code, message].filter((t) => typeof t === "string" && t !== "").join(": "));
  }
  for (const extra of [error, error_description, details]) if (typeof extra === "string") parts.push(extra);
  return parts.filter((p) => p !== "").join("; ");
}

/** Removes control characters and secrets, and cuts. */
export function sanitize(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) clean = clean.replaceAll(secret, "***");
  // deno-lint-ignore no-control-regex
  clean = clean.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, " ").trim();
  return clean.length > MAX_MESSAGE ? `${clean.slice(0, MAX_MESSAGE)}…` : clean;
}
