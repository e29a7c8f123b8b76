import assert from "node:assert/strict";
import { CONTAINER_FIELDS, RESOURCE_FIELDS } from "./descriptions.ts";

/** Comments of an interface's fields, as written. */
function commentsOf(source: string, name: string): Record<string, string> {
  const from = source.indexOf(`export interface ${name} {`);
  const body = source.slice(from, source.indexOf("\n}", from));
  const found = body.matchAll(/\/\*\* (.*?) \*\/\n {2}(\w+)\??:/g);
  return Object.fromEntries([...found].map(([, text = "", field = ""]) => [field, text]));
}

Deno.test("descriptions of fields are those of the types", () => {
  const source = Deno.readTextFileSync(new URL("../../spec/container.ts", import.meta.url));
  assert.deepEqual(CONTAINER_FIELDS, commentsOf(source, "ContainerConfig"));
  assert.deepEqual(RESOURCE_FIELDS, commentsOf(source, "Resources"));
});
