/** Requests held against their schemas: the first fault becomes an error that names field, value and fix. */

import { z } from "zod";
import { invalid, NyxError } from "../spec/errors.ts";
import { suggest } from "./suggest.ts";

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];
type JsonSchema = z.core.JSONSchema.BaseSchema;

/** Fields whose values are never repeated. */
const SECRET = /pass(word)?$|token$|secret/i;

/** Known fields by schema; computed at the first mistake. */
const described = new WeakMap<z.ZodType, JsonSchema>();

/**
 * The value that `schema` makes of `input`.
 *
 * @param where what is validated, for a fault of the whole: `request body`, `query`
 * @throws NyxError invalid_argument with context field and value
 */
export function validate<T extends z.ZodType>(schema: T, input: unknown, where: string): z.output<T> {
  const outcome = schema.safeParse(input);
  if (outcome.success) return outcome.data;
  throw toInvalid(schema, outcome.error.issues, input, where);
}

function toInvalid(schema: z.ZodType, issues: readonly Issue[], input: unknown, where: string): NyxError {
  // A misspelt field explains why the right one is missing.
  const found = issues.flatMap((issue) => innermost(issue, [])).sort((a, b) => rank(a.issue) - rank(b.issue));
  const first = found[0];
  if (first === undefined) return invalid(where, "", "it does not match what the route takes");
  const error = first.issue.code === "unrecognized_keys"
    ? unknownField(schema, first.path, first.issue.keys, where)
    : invalid(fieldName(first.path, where), shownValue(input, first.path), fixFor(first.issue));
  const others = found.slice(1, 4).map(({ path, issue }) =>
    issue.code === "unrecognized_keys" ? issue.keys.join(", ") : fieldName(path, where)
  );
  if (others.length === 0) return error;
  return new NyxError(error.code, `${error.message} (also wrong: ${others.join(", ")})`, error.details);
}

function rank(issue: Issue): number {
  return issue.code === "unrecognized_keys" ? 0 : 1;
}

/** Of a union, follows the branch that the value was meant for, when one got further than the value's type. */
function innermost(issue: Issue, prefix: Path): { issue: Issue; path: Path }[] {
  const path = [...prefix, ...issue.path];
  if (issue.code !== "invalid_union") return [{ issue, path }];
  const meant = issue.errors.filter((branch) => {
    const first = branch[0];
    return first !== undefined && !(first.code === "invalid_type" && first.path.length === 0) &&
      !(first.code === "invalid_value" && first.path.length === 0);
  });
  const branch = meant.length === 1 ? meant[0] : undefined;
  return branch === undefined ? [{ issue, path }] : branch.flatMap((inner) => innermost(inner, path));
}

function fieldName(path: Path, where: string): string {
  if (path.length === 0) return where;
  return path.reduce<string>(
    (name, key) => typeof key === "number" ? `${name}[${key}]` : name === "" ? String(key) : `${name}.${String(key)}`,
    "",
  );
}

function valueAt(input: unknown, path: Path): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

function shownValue(input: unknown, path: Path): unknown {
  if (path.some((key) => SECRET.test(String(key)))) return "***";
  const value = valueAt(input, path);
  if (value === undefined) return "";
  // A whole body may hold credentials anywhere.
  return typeof value === "object" ? kindOf(value) : value;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}

const NOUNS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

function fixFor(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return issue.message.endsWith("received undefined")
        ? "it is missing and required"
        : `it must be ${NOUNS[issue.expected] ?? issue.expected}`;
    case "too_small":
      return typeof issue.minimum === "number" && (issue.origin === "string" || issue.origin === "array")
        ? customOr(issue, `it must not be shorter than ${issue.minimum}`)
        : customOr(issue, `it must be at least ${issue.minimum}`);
    case "too_big":
      return issue.origin === "string" || issue.origin === "array"
        ? customOr(issue, `it must not be longer than ${issue.maximum}`)
        : customOr(issue, `it must be at most ${issue.maximum}`);
    case "invalid_value":
      return customOr(issue, `it must be ${issue.values.map(String).join(", ")}`);
    default:
      return issue.message;
  }
}

/** zod's own wording starts in capitals; ours does not. */
function customOr(issue: Issue, text: string): string {
  return /^(Too |Invalid )/.test(issue.message) ? text : issue.message;
}

function unknownField(schema: z.ZodType, path: Path, keys: readonly string[], where: string): NyxError {
  const key = (keys[0] ?? "").slice(0, 100);
  const known = knownFields(schema, path);
  const meant = suggest(key, known);
  const place = path.length === 0 ? where : fieldName(path, where);
  const list = known.length === 0
    ? "it takes no fields"
    : known.length <= 20
    ? `known are ${known.join(", ")}`
    : "see /v1/openapi.json for the known ones";
  const fix = meant === undefined ? list : `did you mean "${meant}"?`;
  return new NyxError("invalid_argument", `Unknown field ${JSON.stringify(key)} in ${place}: ${fix}`, {
    context: {
      field: fieldName([...path, key], where),
      value: key,
      ...(meant === undefined ? {} : { suggestion: meant }),
    },
  });
}

/** Names of the fields that an object at `path` may have. */
function knownFields(schema: z.ZodType, path: Path): string[] {
  let root = described.get(schema);
  if (root === undefined) {
    root = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
    described.set(schema, root);
  }
  let level: JsonSchema[] = [root];
  const open = (nodes: JsonSchema[]): JsonSchema[] =>
    nodes.flatMap((node) => {
      const target = typeof node.$ref === "string" ? resolve(root, node.$ref) : node;
      const inner = [...(target.anyOf ?? []), ...(target.oneOf ?? []), ...(target.allOf ?? [])] as JsonSchema[];
      return [target, ...open(inner)];
    });
  for (const key of path) {
    level = open(level).flatMap((node) => {
      const next = typeof key === "number" ? node.items : node.properties?.[String(key)] ?? node.additionalProperties;
      return typeof next === "object" && !Array.isArray(next) ? [next as JsonSchema] : [];
    });
  }
  return [...new Set(open(level).flatMap((node) => Object.keys(node.properties ?? {})))];
}

function resolve(root: JsonSchema, ref: string): JsonSchema {
  const name = ref.replace(/^#\/\$defs\//, "");
  return (root.$defs?.[name] ?? {}) as JsonSchema;
}
