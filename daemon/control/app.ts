/** The table of routes as a request handler: routing by hono, validation, errors. */

import { Hono } from "hono";
import type { OpenSpan } from "../telemetry/telemetry.ts";
import { NyxError } from "../spec/errors.ts";
import { isFramed, parseJson, readJson } from "./body.ts";
import type { ControlContext } from "./context.ts";
import { BodyFrames } from "./frame_source.ts";
import { asError, errorResponse, json } from "./respond.ts";
import type { Route } from "./route.ts";
import { emptyBody } from "./schema/requests.ts";
import { PARAMETERS } from "./schema/parameters.ts";
import { suggest } from "./suggest.ts";
import { validate } from "./validate.ts";

/** hono's spelling of a path. */
function pattern(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ":$1");
}

/** Query parameters as an object: repeated ones are lists. */
function queryOf(url: string): Record<string, string | string[]> {
  const mark = url.indexOf("?");
  const found: [string, string | string[]][] = [];
  const at = new Map<string, number>();
  if (mark < 0) return {};
  for (const [key, value] of new URLSearchParams(url.slice(mark + 1))) {
    const index = at.get(key);
    const entry = index === undefined ? undefined : found[index];
    if (entry === undefined) {
      at.set(key, found.length);
      found.push([key, value]);
    } else entry[1] = [entry[1], value].flat();
  }
  return Object.fromEntries(found);
}

/** Runs one route for one request. What it throws is the caller's to tell. */
async function serve(
  route: Route,
  request: Request,
  raw: Record<string, string>,
  context: ControlContext,
): Promise<Response> {
  const params: Record<string, string> = {};
  for (const [name, value] of Object.entries(raw)) {
    const schema = PARAMETERS[name];
    if (schema === undefined) throw new NyxError("internal", `Path parameter ${name} has no schema`);
    params[name] = validate(schema, value, name);
  }
  const query = queryOf(request.url);
  if (route.query === undefined) validate(emptyBody, query, "query");
  const call = {
    params,
    query: route.query === undefined ? undefined : validate(route.query, query, "query"),
    body: undefined as unknown,
    request,
    context,
    frames: undefined as BodyFrames | undefined,
  };
  if (route.frame !== undefined && isFramed(request)) {
    call.frames = new BodyFrames(request.body);
    try {
      call.body = validate(route.frame, parseJson(await call.frames.first(), "first frame"), "first frame");
    } catch (e) {
      call.frames.cancel();
      throw e;
    }
  } else if (route.upload === undefined && route.method === "POST") {
    call.body = validate(route.body ?? emptyBody, await readJson(request, route.maxBytes), "request body");
  }
  const outcome = await route.handle(call);
  return outcome instanceof Response ? outcome : json(outcome);
}

function unknownPath(path: string, routes: readonly Route[]): Response {
  const meant = suggest(path, routes.map((route) => route.path));
  const fix = meant === undefined ? "GET /v1/openapi.json lists them" : `did you mean ${meant}?`;
  return errorResponse(
    new NyxError("not_found", `There is no route ${JSON.stringify(path.slice(0, 200))}: ${fix}`, {
      context: { path: path.slice(0, 200) },
    }),
  );
}

function wrongMethod(method: string, path: string, allowed: string): Response {
  const error = new NyxError("unimplemented", `${path} does not take ${method}: use ${allowed}`, {
    context: { method, allowed },
  });
  return json({ error: { code: error.code, message: error.message, context: error.details.context } }, 405, {
    allow: allowed,
  });
}

/**
 * The handler of all requests. It never throws.
 *
 * @param routes what is served
 * @param context what all requests share
 */
export function makeApp(routes: readonly Route[], context: ControlContext): (request: Request) => Promise<Response> {
  const app = new Hono();
  for (const route of routes) {
    const op = `${route.method} ${route.path}`;
    const attributes = { "http.request.method": route.method, "http.route": route.path };
    const answer = async (request: Request, params: Record<string, string>, span?: OpenSpan) => {
      const from = performance.now();
      try {
        const response = await serve(route, request, params, context);
        context.log.debug("request", { op, status: response.status, ms: performance.now() - from });
        span?.end(undefined, { "http.response.status_code": response.status });
        return response;
      } catch (e) {
        const error = asError(e, context.log, op);
        context.log.debug("request refused", { op, code: error.code, message: error.message });
        span?.end(error.code);
        return errorResponse(error);
      }
    };
    app.on(route.method, pattern(route.path), (c) => {
      const { raw } = c.req;
      const params = c.req.param() as Record<string, string>;
      const { telemetry } = context;
      if (telemetry === undefined) return answer(raw, params);
      return telemetry.request(op, attributes, (span) => answer(raw, params, span));
    });
  }
  const methods = new Map<string, string[]>();
  for (const { path, method } of routes) methods.set(path, [...(methods.get(path) ?? []), method]);
  for (const [path, allowed] of methods) {
    app.all(pattern(path), (c) => wrongMethod(c.req.method, path, allowed.join(", ")));
  }
  app.notFound((c) => unknownPath(c.req.path, routes));
  app.onError((e) => errorResponse(asError(e, context.log, "routing")));
  return async (request) => {
    // hono would run the GET route and drop its body, leaving its stream without a reader.
    if (request.method === "HEAD") return new Response(null, { status: 405, headers: { allow: "GET, POST" } });
    return await app.fetch(request);
  };
}
