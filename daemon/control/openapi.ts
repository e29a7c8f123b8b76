/** The OpenAPI 3.1 document, made from the table that serves. */

import { z } from "zod";
import { STREAM_TYPE } from "../spec/frames.ts";
import type { Route } from "./route.ts";
import { PARAMETERS } from "./schema/parameters.ts";
import { CONTAINER_FIELDS, RESOURCE_FIELDS } from "./schema/descriptions.ts";
import { errorBody } from "./schema/responses.ts";

type JsonObject = Record<string, unknown>;

const DESCRIPTION =
  `HTTP/1.1 on a unix socket. Bodies are JSON in UTF-8, at most 1 MiB (16 MiB where files are sent) and 32 levels deep; fields that are not
listed are refused. Every answer of 400 and above is an \`ErrorBody\`: \`error.code\` is the class of the failure, \`error.message\`
says what was attempted, the value, and the fix.

**Attached streams** (\`${STREAM_TYPE}\`): request and response bodies are sequences of frames, one byte kind, three zero bytes, four
bytes big-endian length, payload of at most 1 MiB. Kinds: 0 stdin, 1 stdout, 2 stderr, 3 JSON, 4 resize \`{rows, cols}\`, 5 signal
\`{signal}\`, 6 end of stdin, 7 credit. A client may send 1 MiB of stdin, and as much more as credit frames (4 bytes big-endian) from the
daemon allow. The request begins with a JSON frame; both bodies go on at the same time; the response's last frame is
JSON with event \`exit\` or \`error\`. Closing the connection detaches and leaves the process alone.`;

/** Gathers schemas with an id under components. */
class Components {
  readonly schemas: JsonObject = {};

  /** JSON Schema of a zod schema, ids lifted out. */
  of(schema: z.ZodType, io: "input" | "output"): JsonObject {
    const found = z.toJSONSchema(schema, { io, unrepresentable: "any" }) as JsonObject;
    const defs = found["$defs"] as Record<string, JsonObject> | undefined;
    delete found["$schema"];
    delete found["$defs"];
    for (const [name, def] of Object.entries(defs ?? {})) this.schemas[nameOf(name, io)] = this.#clean(def, io);
    const own = found["id"];
    if (typeof own !== "string") return this.#clean(found, io);
    this.schemas[nameOf(own, io)] = this.#clean(found, io);
    return { $ref: `#/components/schemas/${nameOf(own, io)}` };
  }

  /** References point into components; ids are names, not URIs; how numbers and flags are spelt says less than the type. */
  #clean(node: JsonObject, io: "input" | "output"): JsonObject {
    const copy = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(copy);
      if (typeof value !== "object" || value === null) return value;
      const out: JsonObject = {};
      for (const [key, inner] of Object.entries(value)) {
        if (key === "$ref" && typeof inner === "string") {
          out[key] = inner.replace(
            /^#\/\$defs\/(.*)$/,
            (_, name: string) => `#/components/schemas/${nameOf(name, io)}`,
          );
        } else if (key === "id" && typeof inner === "string") continue;
        else out[key] = copy(inner);
      }
      if (out["type"] === "integer") delete out["pattern"];
      if (out["type"] === "boolean") delete out["enum"];
      return out;
    };
    return copy(node) as JsonObject;
  }
}

/** Ids are of answers, but for those that requests share with them. */
function nameOf(name: string, io: "input" | "output"): string {
  return io === "input" ? `${name}Input` : name;
}

function parameters(route: Route, components: Components): JsonObject[] {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => {
    const schema = PARAMETERS[name];
    if (schema === undefined) throw new TypeError(`Path parameter ${name} of ${route.path} has no schema`);
    const { description, ...rest } = components.of(schema, "input");
    return { name, in: "path", required: true, description, schema: rest };
  });
  if (route.query === undefined) return inPath;
  const query = components.of(route.query, "input");
  const required = query["required"] as string[] | undefined ?? [];
  const properties = query["properties"] as Record<string, JsonObject>;
  const inQuery = Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema,
  }));
  return [...inPath, ...inQuery];
}

/** Gives the fields of a container their descriptions; what has one keeps it. */
function described(schema: JsonObject): JsonObject {
  const properties = schema["properties"] as Record<string, JsonObject> | undefined;
  if (properties === undefined || !("image" in properties)) return schema;
  return { ...schema, properties: withDescriptions(properties, CONTAINER_FIELDS) };
}

function withDescriptions(
  properties: Record<string, JsonObject>,
  texts: Readonly<Record<string, string>>,
): Record<string, JsonObject> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => {
      const description = texts[name];
      return [name, description === undefined ? schema : { description, ...schema }];
    }),
  );
}

function requestBody(route: Route, components: Components): JsonObject | undefined {
  if (route.upload !== undefined) return { required: true, content: { [route.upload]: {} } };
  const content: JsonObject = {};
  let required = false;
  if (route.body !== undefined) {
    const schema = described(components.of(route.body, "input"));
    required = !route.body.safeParse({}).success;
    content["application/json"] = route.example === undefined ? { schema } : { schema, example: route.example };
  }
  if (route.frame !== undefined) content[STREAM_TYPE] = { schema: described(components.of(route.frame, "input")) };
  return Object.keys(content).length === 0 ? undefined : { required, content };
}

function operation(route: Route, components: Components): JsonObject {
  const content: JsonObject = {};
  if (route.result !== undefined) content["application/json"] = { schema: components.of(route.result, "output") };
  for (const other of route.others ?? []) {
    content[other.type] = other.schema === undefined ? {} : { schema: components.of(other.schema, "output") };
  }
  const body = requestBody(route, components);
  const forms = (route.others ?? []).map((other) => `${other.type}: ${other.description}`);
  return {
    operationId: route.operationId,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    parameters: parameters(route, components),
    ...(body === undefined ? {} : { requestBody: body }),
    responses: {
      200: { description: ["Success.", ...forms].join(" "), content },
      default: { $ref: "#/components/responses/Error" },
    },
  };
}

/**
 * The document for `routes`. It is made route by route, others being served in between: the whole takes longer than any request
 * should have to wait.
 *
 * @param version version of the daemon
 */
export async function openapiDocument(routes: readonly Route[], version: string): Promise<JsonObject> {
  const components = new Components();
  const paths: Record<string, JsonObject> = {};
  for (const route of routes) {
    const path = paths[route.path] ??= {};
    path[route.method.toLowerCase()] = operation(route, components);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const error = components.of(errorBody, "output");
  const resources = components.schemas["ResourcesInput"] as { properties: Record<string, JsonObject> } | undefined;
  if (resources !== undefined) resources.properties = withDescriptions(resources.properties, RESOURCE_FIELDS);
  return {
    openapi: "3.1.0",
    info: { title: "nyxd Control API", version, description: DESCRIPTION, license: { name: "MIT", identifier: "MIT" } },
    servers: [{ url: "http://nyxd", description: "The unix socket, by default /run/nyxd/nyxd.sock" }],
    tags: ["system", "containers", "images", "volumes", "networks", "compose"].map((name) => ({ name })),
    paths,
    components: {
      schemas: components.schemas,
      responses: { Error: { description: "A failure.", content: { "application/json": { schema: error } } } },
    },
  };
}
