/**
 * The shape of a route. One table of these is what is served, what validates requests, and what the OpenAPI document says.
 */

import type { z } from "zod";
import type { ControlContext } from "./context.ts";

/** Names of path parameters in `Path`, such as `id` in `/v1/containers/{id}`. */
type ParamNames<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}` ? Name | ParamNames<Rest>
  : never;

/** One validated request. */
export interface Call<Params, Query, Body> {
  /** Path parameters. */
  params: Params;
  /** Query parameters. */
  query: Query;
  /** The body; of a framed request, its first frame. */
  body: Body;
  /** The request itself, for its signal and, of framed and binary routes, its body. */
  request: Request;
  /** What all requests share. */
  context: ControlContext;
  /** Further frames of a framed request; undefined otherwise. */
  frames: FrameSource | undefined;
}

/** Frames of a request after its first. */
export interface FrameSource {
  /** The next frame; undefined at the end of the body. Rejects when the client is gone or broke the protocol. */
  next(): Promise<{ kind: number; payload: Uint8Array } | undefined>;
  /** Stops reading. */
  cancel(): void;
}

/** An answer of another type than JSON. */
export interface OtherAnswer {
  /** Media type. */
  type: string;
  /** When it is given, and what it holds. */
  description: string;
  /** Of a line or JSON frame. */
  schema?: z.ZodType;
}

/** A route without its types, as the server uses it. */
export interface Route {
  /** HTTP method. */
  method: "GET" | "POST" | "PUT";
  /** Path with parameters in braces. */
  path: string;
  /** Group in the document. */
  tag: "system" | "containers" | "images" | "volumes" | "networks" | "compose";
  /** Names the operation; client generators make a method of it. */
  operationId: string;
  /** One line. */
  summary: string;
  /** More, in Markdown. */
  description?: string;
  /** Query parameters; missing means none. */
  query?: z.ZodObject;
  /** JSON body; missing means none. */
  body?: z.ZodType;
  /** Longest JSON body, bytes; default {@linkcode MAX_JSON_BYTES}. */
  maxBytes?: number;
  /** A body as a client may send it. */
  example?: unknown;
  /** First frame of the framed form; missing means that there is no such form. */
  frame?: z.ZodType;
  /** Media type of a body that is streamed to the handler as it comes. */
  upload?: string;
  /** JSON answer of status 200; missing means that there is none. */
  result?: z.ZodType;
  /** Other forms of a 200 answer. */
  others?: OtherAnswer[];
  /** Gives a Response, or the document of a JSON answer. */
  handle(call: Call<Record<string, string>, unknown, unknown>): unknown;
}

type Output<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined;

/** A body, a first frame, or either; undefined stands for the plain form of a route that takes no body. */
type Received<Body, Frame> = [Frame] extends [z.ZodType] ? Output<Body> | Output<Frame> : Output<Body>;

/** A route with its types; see {@linkcode Route}. */
export type TypedRoute<
  Path extends string,
  Query extends z.ZodObject | undefined,
  Body extends z.ZodType | undefined,
  Frame extends z.ZodType | undefined,
> = Omit<Route, "path" | "query" | "body" | "frame" | "handle"> & {
  path: Path;
  query?: Query;
  body?: Body;
  frame?: Frame;
  handle: (call: Call<Record<ParamNames<Path>, string>, Output<Query>, Received<Body, Frame>>) => unknown;
};

/** Declares a route; the handler's types follow from the schemas. */
export function route<
  const Path extends string,
  Query extends z.ZodObject | undefined = undefined,
  Body extends z.ZodType | undefined = undefined,
  Frame extends z.ZodType | undefined = undefined,
>(definition: TypedRoute<Path, Query, Body, Frame>): Route {
  return definition as unknown as Route;
}
