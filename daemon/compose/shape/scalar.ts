/** Shapes of single values: texts, numbers, truth values, sizes, durations, paths, modes. */

import { NyxError } from "../../spec/errors.ts";
import { formatDuration, parseDuration } from "../../spec/parse/duration.ts";
import { parseSize } from "../../spec/parse/size.ts";
import { describe, type Node, scalarAt, type ScalarNode } from "../node.ts";
import { resolvePath } from "../paths.ts";
import { list, type ListOptions, replace, reportBadNode, type Shape, type ShapeContext, wrongType } from "./shape.ts";

/** A scalar's value as text. */
type Convert = (text: string, ctx: ShapeContext, node: ScalarNode, path: string) => ScalarNode["value"];

/** Thrown by a conversion: what is wrong, and the fix. */
export class ValueError extends Error {
  override readonly name = "ValueError";
}

/** The part of a parser's message that says what to write. */
export function fixOf(e: unknown): string {
  if (e instanceof ValueError) return e.message;
  if (e instanceof NyxError) {
    const value = /^Invalid [^"]*"(?:[^"\\]|\\.)*": ([^]*)$/.exec(e.message);
    return value?.[1] ?? e.message;
  }
  throw e;
}

/** Reports a value that its parser refused. */
export function badValue(node: Node, ctx: ShapeContext, path: string, e: unknown): undefined {
  reportBadNode(node, ctx, { code: "bad-value", path, message: `${describe(node)} is not accepted`, fix: fixOf(e) });
  return undefined;
}

/** A scalar read by a conversion; null is nothing written. */
export function scalar(rule: string, convert: Convert): Shape {
  return {
    canon(node, ctx, path) {
      if (node.kind !== "scalar") return wrongType(node, ctx, path, rule);
      if (node.value === null) return undefined;
      try {
        return scalarAt(node.origin, convert(String(node.value), ctx, node, path));
      } catch (e) {
        return badValue(node, ctx, path, e);
      }
    },
    merge: replace,
  };
}

/** Any text. Numbers and truth values become text, with a warning, because YAML may have changed their spelling. */
export function text(check?: (text: string) => string | void): Shape {
  return scalar("it must be a text", (value, ctx, node, path) => {
    if (typeof node.value !== "string") {
      ctx.diagnostics.warn(node.origin, {
        code: "unquoted-text",
        path,
        message: `${describe(node)} is read as text`,
        rule: "it must be a text",
        fix: `write it in quotes: "${value}"`,
      });
    }
    return check?.(value) ?? value;
  });
}

/** A text for which numbers are as good. */
export function loose(check?: (text: string) => string | void): Shape {
  return scalar("it must be a text or a number", (value) => check?.(value) ?? value);
}

/** One of a few words. */
export function oneOf(...words: string[]): Shape {
  return scalar(`it must be one of ${words.join(", ")}`, (value) => {
    if (!words.includes(value)) throw new ValueError(`write one of ${words.join(", ")}`);
    return value;
  });
}

/** true or false, also as text. */
export const bool: Shape = scalar("it must be true or false", (value) => {
  const word = value.toLowerCase();
  if (["true", "yes", "y", "on", "1"].includes(word)) return true;
  if (["false", "no", "n", "off", "0"].includes(word)) return false;
  throw new ValueError("write true or false");
});

/** A whole number within bounds, also as text. */
export function int(min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER): Shape {
  return scalar("it must be a whole number", (value) => {
    const number = /^[-+]?\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
    if (Number.isNaN(number)) throw new ValueError("write a whole number");
    if (number < min || number > max) {
      throw new ValueError(
        max === Number.MAX_SAFE_INTEGER
          ? `write a whole number from ${min} on`
          : `write a whole number from ${min} to ${max}`,
      );
    }
    return number;
  });
}

/** A number, also as text. */
export const number: Shape = scalar("it must be a number", (value) => {
  if (!/^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$/.test(value)) throw new ValueError("write a number such as 0.5");
  return Number(value);
});

/** Bytes with an optional suffix; canonical form is the decimal number of bytes as text. */
export function size(options: { unlimited?: boolean } = {}): Shape {
  return scalar("it must be a size", (value) => {
    if (options.unlimited === true && value.trim() === "-1") return "-1";
    return String(parseSize(value.replace(/[eE]\+?(\d+)$/, (_, exponent) => "0".repeat(Number(exponent) % 20))));
  });
}

const DAY_MS = 86_400_000;

/** Milliseconds of a duration of the specification: Go's notation, with d and w before it. */
export function composeDuration(value: string): number {
  let rest = value.trim();
  let total = 0;
  for (const [unit, ms] of [["w", 7 * DAY_MS], ["d", DAY_MS]] as const) {
    const match = new RegExp(`^(\\d+(?:\\.\\d+)?)${unit}`).exec(rest);
    if (match === null) continue;
    total += Number(match[1]) * ms;
    rest = rest.slice(match[0].length);
  }
  return rest === "" && total > 0 ? total : total + parseDuration(rest);
}

/** A duration; canonical form is Go's. */
export const duration: Shape = scalar("it must be a duration such as 1m30s", (value, ctx, node, path) => {
  if (typeof node.value === "number") {
    ctx.diagnostics.warn(node.origin, {
      code: "unitless-duration",
      path,
      message: `${value} has no unit and is read as seconds`,
      rule: "durations have a unit: us, ms, s, m, h, d, w",
      fix: `write ${value}s`,
    });
  }
  return formatDuration(composeDuration(value));
});

/** Microseconds as a number, or a duration. */
export const microseconds: Shape = scalar("it must be microseconds or a duration", (value) => {
  return /^-?\d+$/.test(value) ? Number(value) : Math.round(composeDuration(value) * 1000);
});

/** A path on the caller's machine; canonical form is absolute. */
export const hostPath: Shape = scalar("it must be a path", (value, ctx) => {
  if (value.includes("\0")) throw new ValueError("a path cannot hold a NUL byte");
  return ctx.resolvePaths && value !== "" ? resolvePath(value, ctx.base) : value;
});

/** A file mode: a number as YAML read it (0440 is octal there), or octal text; canonical form is octal text. */
export const fileMode: Shape = scalar("it must be a file mode such as 0440", (value, _ctx, node) => {
  const mode = typeof node.value === "number"
    ? node.value
    : /^(0o?)?[0-7]{1,5}$/.test(value)
    ? Number.parseInt(value.replace(/^0o/, ""), 8)
    : -1;
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777) {
    throw new ValueError('write an octal mode in quotes, such as "0440"');
  }
  return `0${mode.toString(8)}`;
});

/** A list of texts without repeats. */
export function texts(options: ListOptions = {}, item: Shape = text()): Shape {
  return list(item, { key: (node) => node.kind === "scalar" ? String(node.value) : undefined, ...options });
}

/** Anything at all, kept as it is. */
export const anything: Shape = { canon: (node) => node, merge: replace };
