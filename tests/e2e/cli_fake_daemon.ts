/** A daemon of canned answers for tests of the CLI: the documented API over a unix socket, nothing behind it. */

import {
  encodeFrame,
  encodeJsonFrame,
  type ErrorData,
  FRAME,
  FrameDecoder,
  HTTP_STATUS,
  STREAM_TYPE,
} from "../../mod.ts";

/** One attached stream as the daemon sees it. */
export class FakeStream {
  /** First frame: the request. */
  readonly request: Record<string, unknown>;
  /** Input frames after it, in order. */
  readonly input: AsyncIterator<{ kind: number; payload: Uint8Array }>;
  readonly #controller: ReadableStreamDefaultController<Uint8Array>;

  constructor(
    request: Record<string, unknown>,
    input: AsyncIterator<{ kind: number; payload: Uint8Array }>,
    controller: ReadableStreamDefaultController<Uint8Array>,
  ) {
    this.request = request;
    this.input = input;
    this.#controller = controller;
  }

  /** Sends output. */
  stdout(text: string | Uint8Array): void {
    this.#controller.enqueue(
      encodeFrame(FRAME.stdout, typeof text === "string" ? new TextEncoder().encode(text) : text),
    );
  }

  /** Sends error output. */
  stderr(text: string): void {
    this.#controller.enqueue(encodeFrame(FRAME.stderr, new TextEncoder().encode(text)));
  }

  /** Sends an event. */
  event(event: unknown): void {
    this.#controller.enqueue(encodeJsonFrame(FRAME.json, event));
  }

  /** Next input frame, decoded; undefined when the client hung up. */
  async next(): Promise<{ kind: keyof typeof FRAME; text: string } | undefined> {
    try {
      const { value, done } = await this.input.next();
      if (done === true) return undefined;
      const kind = (Object.keys(FRAME) as (keyof typeof FRAME)[]).find((name) => FRAME[name] === value.kind) ?? "json";
      return { kind, text: new TextDecoder().decode(value.payload) };
    } catch {
      return undefined;
    }
  }
}

/** Answers one request. */
export type Handler = (request: Request, url: URL) => Response | Promise<Response>;

/** An error answer. */
export function refusal(error: ErrorData): Response {
  return Response.json({ error }, { status: HTTP_STATUS[error.code] });
}

/** JSON lines. */
export function lines(...objects: unknown[]): Response {
  return new Response(objects.map((object) => `${JSON.stringify(object)}\n`).join(""));
}

/** A framed exchange: `script` plays the daemon's part; the response ends with it. */
export async function framed(request: Request, script: (stream: FakeStream) => Promise<void>): Promise<Response> {
  const decoder = new FrameDecoder();
  async function* frames() {
    for await (const piece of request.body ?? []) for (const frame of decoder.push(piece)) yield frame;
  }
  const input = frames();
  const first = await input.next();
  const opening = JSON.parse(new TextDecoder().decode(first.value?.payload)) as Record<string, unknown>;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      script(new FakeStream(opening, input, controller)).then(() => controller.close()).catch(() => {});
    },
  });
  return new Response(body, { headers: { "content-type": STREAM_TYPE } });
}

/** A running fake daemon. */
export interface FakeDaemon extends AsyncDisposable {
  socket: string;
  dir: string;
  /** `METHOD /path?query` of each request so far. */
  requests: string[];
  /** JSON bodies so far, beside `requests`. */
  bodies: unknown[];
}

/** Serves `routes` (`METHOD /path` without query) on a socket in a directory of its own. */
export function fakeDaemon(routes: Record<string, Handler>): FakeDaemon {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-cli-" });
  const socket = `${dir}/nyxd.sock`;
  const requests: string[] = [];
  const bodies: unknown[] = [];
  const server = Deno.serve({ path: socket, onListen() {} }, async (request) => {
    const url = new URL(request.url.replace(/^http\+unix:\/\/[^/]*/, "http://nyxd"));
    const path = decodeURIComponent(url.pathname);
    requests.push(`${request.method} ${path}${decodeURIComponent(url.search)}`);
    const isFramed = request.headers.get("content-type") === STREAM_TYPE;
    bodies.push(isFramed || request.method === "GET" ? undefined : await request.clone().json().catch(() => undefined));
    const handler = routes[`${request.method} ${path}`];
    if (handler === undefined) {
      return refusal({ code: "not_found", message: `No such route: ${request.method} ${path}` });
    }
    return await handler(request, url);
  });
  return {
    socket,
    dir,
    requests,
    bodies,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      Deno.removeSync(dir, { recursive: true });
    },
  };
}

/** What a CLI process did. */
export interface CliResult {
  code: number;
  stdout: string;
  stderr: string;
}

const MAIN = new URL("../../cli/main.ts", import.meta.url).pathname;

/** A `nyx` process that talks to the fake daemon. */
export function spawnCli(
  daemon: FakeDaemon,
  args: readonly string[],
  options: { stdin?: "piped" | "null"; env?: Record<string, string> } = {},
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", MAIN, ...args],
    env: { NYXD_SOCKET: daemon.socket, NO_COLOR: "1", HOME: daemon.dir, DOCKER_CONFIG: daemon.dir, ...options.env },
    stdin: options.stdin ?? "null",
    stdout: "piped",
    stderr: "piped",
    cwd: daemon.dir,
  }).spawn();
}

/** Runs `nyx` to its end. */
export async function cli(
  daemon: FakeDaemon,
  args: readonly string[],
  options: { input?: string; env?: Record<string, string> } = {},
): Promise<CliResult> {
  const { input, env = {} } = options;
  const child = spawnCli(daemon, args, { stdin: input === undefined ? "null" : "piped", env });
  if (input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input)).catch(() => {});
    await writer.close().catch(() => {});
  }
  const { code, stdout, stderr } = await child.output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}
