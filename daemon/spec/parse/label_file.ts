/** Labels and annotations: `KEY[=VALUE]` flags and files of such lines. */

import { invalid } from "../errors.ts";
import { parseKeyValueFile } from "./key_values.ts";

/** Pairs of a label file; a key alone has the empty value. */
export function parseLabelFile(bytes: Uint8Array, path: string): [string, string][] {
  return parseKeyValueFile(bytes, "label file", path).map(({ key, value }) => [key, value ?? ""]);
}

/** One `-l KEY[=VALUE]` value. */
export function parseLabel(text: string, field = "label"): [string, string] {
  const equals = text.indexOf("=");
  const key = equals < 0 ? text : text.slice(0, equals);
  if (key.trim() === "") throw invalid(field, text, "write KEY or KEY=VALUE");
  return [key, equals < 0 ? "" : text.slice(equals + 1)];
}

/** One `--annotation KEY=VALUE` value. */
export function parseAnnotation(text: string, field = "annotation"): [string, string] {
  if (text.indexOf("=") < 1) throw invalid(field, text, "write KEY=VALUE");
  return parseLabel(text, field);
}
