/** The Control API (D01) on its unix socket. */

import type { Telemetry } from "../telemetry/telemetry.ts";
import { NyxError } from "../spec/errors.ts";
import { makeApp } from "./app.ts";
import { type ControlContext, type ControlLog, LiveStreams } from "./context.ts";
import { ExecMemory } from "./exec_memory.ts";
import { openapiDocument } from "./openapi.ts";
import { errorResponse } from "./respond.ts";
import type { Route } from "./route.ts";
import { ROUTES } from "./routes/table.ts";
import type { Services } from "./services.ts";
import { bindGuarded, clearStaleSocket, removeSocket } from "./socket.ts";

/** Options of {@linkcode serveControl}. */
export interface ControlOptions {
  /** Where to listen; its directory exists. */
  socketPath: string;
  /** Group that may connect beside the owner; missing means the process's own group. */
  socketGid?: number;
  /** The rest of the daemon. */
  services: Services;
  /** The daemon's log. */
  log: ControlLog;
  /** Where it is on: each request is a span. */
  telemetry?: Telemetry;
}

/** A running Control API. */
export interface ControlServer {
  /** Where it listens. */
  readonly socketPath: string;
  /** Requests under way. */
  readonly inFlight: number;
  /**
   * Stops: new requests are refused, streams are ended (their processes go on), short requests finish, for `graceMs` at most
   * (default 5000). Idempotent; resolves when the socket is gone.
   */
  close(options?: { graceMs?: number }): Promise<void>;
}

/**
 * Starts the Control API. Needs permission to net, and to read and write the socket's directory.
 *
 * @throws NyxError failed_precondition when another daemon answers on the socket; permission_denied
 */
export async function serveControl(options: ControlOptions): Promise<ControlServer> {
  const { socketPath, socketGid, services, log } = options;
  await clearStaleSocket(socketPath);
  let document: Promise<string> | undefined;
  const live = new LiveStreams();
  const context: ControlContext = {
    services,
    log,
    live,
    ...(options.telemetry === undefined ? {} : { telemetry: options.telemetry }),
    execs: new ExecMemory(),
    openapi: () =>
      document ??= openapiDocument(ROUTES, services.system.version().version).then((made) =>
        `${JSON.stringify(made)}\n`
      ),
  };
  const app = makeApp(ROUTES, context);
  const inFlight = new Set<Promise<void>>();
  const stop = new AbortController();
  let closing: Promise<void> | undefined;
  let server: Deno.HttpServer | undefined;

  const handler = (request: Request, info: Deno.ServeHandlerInfo): Response | Promise<Response> => {
    if (closing !== undefined) return errorResponse(shuttingDown(), { connection: "close" });
    const completed: Promise<void> = info.completed.catch(() => {}).finally(() => inFlight.delete(completed));
    inFlight.add(completed);
    return app(request);
  };
  const inode = bindGuarded(socketPath, socketGid, (path) => {
    server = Deno.serve({
      path,
      signal: stop.signal,
      onListen: () => {},
      onError: (e) => {
        log.error("control request failed outside its route", { error: e });
        return errorResponse(new NyxError("internal", "The request failed; the daemon's log has the details"));
      },
    }, handler);
  });

  const warming = warmUp(ROUTES);
  const close = async (graceMs: number): Promise<void> => {
    clearInterval(warming);
    live.endAll(shuttingDown());
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, graceMs));
    await Promise.race([drained(inFlight), late]);
    // Aborting would cut off answers that are complete but not yet written out. A client in the middle of its request's
    // head would hold up the other way for ever.
    if (inFlight.size === 0) await Promise.race([server?.shutdown(), late]);
    else {
      log.warn("control requests cut off", { count: inFlight.size, graceMs });
      stop.abort();
      await server?.finished;
    }
    clearTimeout(timer);
    removeSocket(socketPath, inode);
  };
  return {
    socketPath,
    get inFlight() {
      return inFlight.size;
    },
    close: ({ graceMs = 5000 } = {}) => closing ??= close(graceMs),
  };
}

/** Compiles schemas one by one while nobody waits, so that the first container after a start does not pay for it. */
function warmUp(routes: readonly Route[]): ReturnType<typeof setInterval> {
  const left = routes.filter((route) => route.example !== undefined);
  const timer = setInterval(() => {
    const route = left.shift();
    if (route === undefined) return clearInterval(timer);
    route.body?.safeParse(route.example);
  }, 20);
  Deno.unrefTimer(Number(timer));
  return timer;
}

async function drained(inFlight: Set<Promise<void>>): Promise<void> {
  while (inFlight.size > 0) await Promise.all(inFlight);
}

function shuttingDown(): NyxError {
  return new NyxError("unavailable", "nyxd is shutting down; containers it was not told to stop go on", {
    retryable: true,
  });
}
