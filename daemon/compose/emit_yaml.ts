/** Writes plain data as YAML that every YAML reader takes for the same data: block style, quotes wherever a plain text could be misread. */

import type { Plain } from "./node.ts";
import { resolvePlain } from "./yaml.ts";

const SAFE = /^[A-Za-z0-9_./@$%^*()+=;<>~-][A-Za-z0-9_./@$%^()+=;<>~ ,:*&!?'"{}[\]|#\\-]*$/;

/** Words that readers of YAML 1.1 take for truth values or merge keys. */
const WORDS = /^(y|n|yes|no|on|off|true|false|null|~|<<|=)$/i;

/** Whether a text can stand without quotes. */
function isPlain(text: string): boolean {
  if (!SAFE.test(text) || WORDS.test(text) || text.endsWith(" ") || text.endsWith(":")) return false;
  if (/^[-?:,[\]{}#&*!|>'"%@`]/.test(text) || /: | #/.test(text) || text.startsWith("---") || text.startsWith("...")) {
    return false;
  }
  // Numbers, sexagesimal numbers and dates of YAML 1.1.
  return resolvePlain(text) === text && !/^[-+.]?[0-9][0-9_,.:eExXabcdefABCDEFoO+-]*$/.test(text);
}

function scalarText(value: string | number | boolean | null): string {
  if (typeof value !== "string") return String(value);
  // JSON's quoting is a part of YAML's double quotes.
  return isPlain(value)
    ? value
    : JSON.stringify(value).replace(/\u007f|[\u0080-\u009f\u2028\u2029\ufeff]/g, (c) =>
      `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A block literal, for texts of several lines that have one. */
function literal(value: Plain, indent: string): string | undefined {
  if (
    typeof value !== "string" || !value.includes("\n") ||
    /[^\n\t\x20-\x7e\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe]/.test(value)
  ) return undefined;
  if (/^[ \n]/.test(value) || /[ \t](\n|$)/.test(value) || value.endsWith("\n\n")) return undefined;
  const lines = value.replace(/\n$/, "").split("\n").map((line) => line === "" ? "" : `${indent}${line}`);
  return `${value.endsWith("\n") ? "|" : "|-"}\n${lines.join("\n")}`;
}

function emit(value: Plain, indent: string, out: string[]): void {
  if (Array.isArray(value)) {
    for (const item of value) emitEntry(`${indent}-`, item, `${indent}  `, out, true);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      emitEntry(`${indent}${scalarText(key)}:`, item, `${indent}  `, out, false);
    }
  }
}

function emitEntry(head: string, value: Plain, inner: string, out: string[], item: boolean): void {
  if (typeof value !== "object" || value === null) {
    out.push(`${head} ${literal(value, inner) ?? scalarText(value)}`);
    return;
  }
  const size = Array.isArray(value) ? value.length : Object.keys(value).length;
  if (size === 0) {
    out.push(`${head} ${Array.isArray(value) ? "[]" : "{}"}`);
    return;
  }
  const lines: string[] = [];
  emit(value, inner, lines);
  // The first line of a list's item stands beside its dash.
  if (item) out.push(`${head} ${(lines.shift() ?? "").slice(inner.length)}`, ...lines);
  else out.push(head, ...lines);
}

/** The YAML text of a mapping. */
export function emitYaml(value: { [key: string]: Plain }): string {
  const out: string[] = [];
  emit(value, "", out);
  return out.length === 0 ? "{}\n" : `${out.join("\n")}\n`;
}
