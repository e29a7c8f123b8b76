/** Schemas of single values: what bodies and query strings are made of. */

import { z } from "zod";
import { OBJECT_NAME } from "../../spec/container.ts";
import { NyxError } from "../../spec/errors.ts";
import { parseDuration } from "../../spec/parse/duration.ts";
import { parseSignal } from "../../spec/parse/signal.ts";

/** What was wrong with a value, from a parser's error: the part after "Invalid field value: ". */
function fixOf(e: NyxError): string {
  const { field, value } = e.details.context ?? {};
  const prefix = `Invalid ${field} ${JSON.stringify(value)}: `;
  return e.message.startsWith(prefix) ? e.message.slice(prefix.length) : e.message;
}

/** Text that `parse` reads; its NyxError becomes an issue at the value's place. */
export function parsed<T>(parse: (text: string) => T): z.ZodPipe<z.ZodString, z.ZodTransform<T, string>> {
  return z.string().transform((text, context): T => {
    try {
      return parse(text);
    } catch (e) {
      if (!(e instanceof NyxError)) throw e;
      context.addIssue({ code: "custom", message: fixOf(e) });
      return z.NEVER;
    }
  });
}

/** Whole number within bounds. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): z.ZodNumber {
  return z.number().int().min(min).max(max);
}

/** Text of one line, without control characters, at most `max` characters. */
export function line(max = 4096): z.ZodString {
  // deno-lint-ignore no-control-regex
  return z.string().max(max).regex(/^[^\x00-\x1f\x7f]*$/, "it holds control characters; give one line of text");
}

/** Id, name, short id or prefix of a container, as it stands in a path. */
export const containerRef = z.string().regex(
  OBJECT_NAME,
  "a container is named by its id, a prefix of it, or its name: letters, digits and _.- only",
).meta({ description: "Id, name, short id or unique prefix of an id." });

/** Name of a volume or network, as it stands in a path. */
export const objectName = z.string().regex(
  OBJECT_NAME,
  "a name is 1 to 128 of [a-zA-Z0-9_.-], starting with a letter or digit",
).meta({ description: "Name of a volume; name, id or unique prefix of the id of a network." });

/** Id of an exec. */
export const execId = z.string().regex(/^[0-9a-zA-Z_.-]{1,128}$/, "an exec's id is what the exec route answered")
  .meta({ description: "Id of an exec." });

/** Image reference or id, as typed; its full grammar is checked where it is resolved. */
export const imageRef = z.string().min(1, "name an image, such as busybox:latest").max(512).regex(
  /^[a-zA-Z0-9[][a-zA-Z0-9_.:\/@+\]\[-]*$/,
  "write [REGISTRY[:PORT]/]REPOSITORY[:TAG][@DIGEST] or an image id",
).refine((ref) => !ref.split("/").includes(".."), "a reference has no .. in it")
  .meta({ description: "Image reference such as busybox:latest, or the id of an image." });

/** Signal by name or number, normalised to its name. */
export const signalName = z.union([z.string(), z.number().int()], { error: "give a name such as SIGTERM, or a number" })
  .transform(String).pipe(parsed((text) => parseSignal(text).name));

/** Duration such as `1m30s`, in milliseconds afterwards. */
export const duration = parsed((text) => parseDuration(text)).meta({ examples: ["1m30s", "500ms"] });

/** Seconds of grace before KILL; -1 waits for ever. */
export const graceSeconds = integer(-1, 86_400 * 365);

/** Sizes of terminals. */
export const terminalCells = integer(0, 65_535);

/** Map of text to text, such as labels. */
export const textMap = z.record(z.string().min(1).max(4096), z.string().max(1024 * 1024));

/** Boolean in a query string: 1, true or nothing; 0 or false. */
export const flag = z.enum(["", "1", "true", "0", "false"], { error: "write 1 or 0" })
  .transform((text) => text !== "0" && text !== "false").meta({ type: "boolean" });

/** Boolean in a query string with its default, which the document tells. */
export function flagOr(value: boolean, description: string): z.ZodType<boolean, string | undefined> {
  return flag.default(value).meta({ description: `${description} Default ${value ? 1 : 0}.` });
}

/** Whole number in a query string. */
export function count(min: number, max: number): z.ZodType<number, string> {
  const error = `give a whole number from ${min} to ${max}`;
  return z.string().regex(/^-?\d{1,15}$/, error).transform(Number).pipe(
    z.number().min(min, error).max(max, error),
  ).meta({ type: "integer" });
}

/** `tail` of a log: a number, or `all`, which is undefined afterwards. */
export const tail = z.union([z.literal("all"), z.literal("-1"), z.string().regex(/^\d{1,12}$/)], {
  error: "give a number of lines, or all",
}).transform((text) => text === "all" || text === "-1" ? undefined : Number(text));

/** A repeatable query parameter. */
export const repeated = z.union([z.string().transform((one) => [one]), z.array(z.string())]);

/** `filter=KEY=VALUE`, repeatable, gathered by key. */
export const filters = repeated.transform((pairs, context): Record<string, string[]> => {
  const found = new Map<string, string[]>();
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    if (equals < 1) {
      context.addIssue({ code: "custom", message: "write KEY=VALUE, such as status=running or label=tier=web" });
      return z.NEVER;
    }
    const key = pair.slice(0, equals);
    found.set(key, [...(found.get(key) ?? []), pair.slice(equals + 1)]);
  }
  return Object.fromEntries(found);
}).meta({ description: "KEY=VALUE; values of one key are alternatives, different keys add up. Repeatable." });

/** A moment in a query string: RFC 3339, or seconds since 1970 with an optional fraction; RFC 3339 afterwards. */
export const moment = z.string().transform((text, context): string => {
  const isSeconds = /^\d{1,11}(\.\d{1,9})?$/.test(text);
  const isDate = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})?)?$/.test(text);
  if (!isSeconds && (!isDate || Number.isNaN(Date.parse(text)))) {
    context.addIssue({ code: "custom", message: "write RFC 3339 such as 2026-01-31T12:00:00Z, or seconds since 1970" });
    return z.NEVER;
  }
  if (isSeconds) {
    const [whole = "0", fraction = ""] = text.split(".");
    return new Date(Number(whole) * 1000).toISOString().replace(".000Z", `.${fraction.padEnd(9, "0")}Z`);
  }
  return text.includes("T") ? /(Z|[+-]\d{2}:\d{2})$/.test(text) ? text : `${text}Z` : `${text}T00:00:00Z`;
}).meta({ description: "RFC 3339, or seconds since 1970." });
