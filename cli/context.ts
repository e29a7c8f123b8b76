/** What every command gets: where the daemon is, where output goes, what the environment says. */

import type { NyxClient } from "../mod.ts";
import { type Paint, paint, wantsColor } from "./render/color.ts";
import { Output, terminalWidth } from "./terminal/output.ts";

/** Surroundings of one command. */
export interface Context {
  /** Socket of the daemon. */
  readonly socket: string;
  /** Errors show their details. */
  readonly debug: boolean;
  readonly out: Output;
  readonly err: Output;
  /** Painter for what goes to standard output, and to standard error. */
  readonly paintOut: Paint;
  readonly paintErr: Paint;
  /** Columns of the terminal. */
  width(): number;
  env(name: string): string | undefined;
  /** The client, made at the first call; nothing is connected before its first request. */
  client(): Promise<NyxClient>;
}

/** Reads an environment variable; one that may not be read is not there. */
export function readEnv(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch {
    return undefined;
  }
}

/** The context of this process. */
export function processContext(options: { socket?: string | undefined; debug: boolean }): Context {
  const out = new Output(Deno.stdout);
  const err = new Output(Deno.stderr);
  const socket = options.socket ?? (readEnv("NYXD_SOCKET") || "/run/nyxd/nyxd.sock");
  let made: Promise<NyxClient> | undefined;
  return {
    socket,
    debug: options.debug,
    out,
    err,
    get paintOut() {
      return paint(wantsColor(out.isTerminal, readEnv));
    },
    get paintErr() {
      return paint(wantsColor(err.isTerminal, readEnv));
    },
    width: () => terminalWidth(readEnv),
    env: readEnv,
    client: () => made ??= import("../mod.ts").then(({ NyxClient }) => new NyxClient({ socketPath: socket })),
  };
}
