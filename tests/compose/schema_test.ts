import assert from "node:assert/strict";
import { root } from "../../daemon/compose/shape/root.ts";
import type { Shape } from "../../daemon/compose/shape/shape.ts";

interface Schema {
  $ref?: string;
  properties?: Record<string, Schema>;
  patternProperties?: Record<string, Schema>;
  items?: Schema;
  oneOf?: Schema[];
  definitions?: Record<string, Schema>;
}

const dir = Deno.env.get("NYX_SCHEMAS") ?? new URL("../../../shared/schemas", import.meta.url).pathname;
const path = `${dir}/compose-spec.json`;

function exists(): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Keys of the schema that the shapes lack, each with its path. `extends` and `include` have shapes of their own. */
function missing(schema: Schema, whole: Schema, shape: Shape | undefined, at: string): string[] {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1);
    return missing(whole.definitions?.[name] ?? {}, whole, shape, at);
  }
  const found = (schema.oneOf ?? []).flatMap((one) => missing(one, whole, shape, at));
  if (schema.items !== undefined) {
    found.push(
      ...missing(schema.items, whole, shape?.item ?? (shape?.fields === undefined ? undefined : shape), `${at}[]`),
    );
  }
  for (const [pattern, value] of Object.entries(schema.patternProperties ?? {})) {
    if (pattern !== "^x-") found.push(...missing(value, whole, shape?.item, `${at}.*`));
  }
  for (const [key, value] of Object.entries(schema.properties ?? {})) {
    const field = shape?.fields?.get(key);
    const where = `${at}.${key}`;
    if (/^\.(include|services\.\*\.extends)/.test(where)) continue;
    // `external: {name}` and short forms are no mappings in the canonical form.
    if (field === undefined) found.push(where);
    else found.push(...missing(value, whole, field, where));
  }
  return found;
}

Deno.test({
  name: exists()
    ? "shapes: every key of the official schema is known"
    : `shapes: every key of the official schema is known (not run: ${path} does not exist; set NYX_SCHEMAS to the directory with compose-spec.json)`,
  ignore: !exists(),
  fn() {
    const schema = JSON.parse(Deno.readTextFileSync(path)) as Schema;
    assert.deepEqual([...new Set(missing(schema, schema, root, ""))], []);
  },
});
