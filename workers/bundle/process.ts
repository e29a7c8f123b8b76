/** argv, environment and working directory of a container's process, with Docker's rules for what overrides what. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { ImageExecConfig } from "../../daemon/spec/image.ts";

/** PATH when neither the image nor the user sets one. */
export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Where the init of `--init` is mounted; Docker's place, so that tools which look for it find it. */
export const INIT_TARGET = "/sbin/docker-init";

/**
 * argv from entrypoint and command: an entrypoint of the user's drops the image's CMD as well; an empty one clears the
 * image's.
 *
 * @throws NyxError invalid_argument when nothing is left to run
 */
export function resolveArgv(
  config: { entrypoint?: string[]; args?: string[]; init?: boolean },
  image: ImageExecConfig,
): string[] {
  const own = config.entrypoint !== undefined;
  const entrypoint = (own ? config.entrypoint : image.Entrypoint) ?? [];
  const asked = config.args ?? [];
  const command = asked.length > 0 || own ? asked : image.Cmd ?? [];
  const argv = [...entrypoint, ...command];
  if (argv.length === 0) {
    throw new NyxError(
      "invalid_argument",
      "Could not start the container: the image has no ENTRYPOINT or CMD and no command was given; name one after the image",
      { context: { field: "args", value: "" } },
    );
  }
  for (const arg of argv) if (arg.includes("\0")) throw invalid("args", arg, "an argument cannot hold a NUL byte");
  return config.init === true ? [INIT_TARGET, "--", ...argv] : argv;
}

/** Input of {@linkcode resolveEnv}. */
export interface EnvInput {
  image: readonly string[];
  /** The user's: KEY=VALUE sets, KEY alone removes. */
  user: readonly string[];
  hostname?: string;
  tty: boolean;
  /** From passwd. */
  home: string;
}

/**
 * The environment: PATH, HOSTNAME, TERM (with a terminal), then the image's, then the user's, each replacing the one before in
 * its place, and HOME from passwd when nobody set it.
 *
 * @throws NyxError invalid_argument for an entry without a name or with a NUL
 */
export function resolveEnv(input: EnvInput): string[] {
  const env = new Map<string, string>([["PATH", DEFAULT_PATH]]);
  if (input.hostname !== undefined && input.hostname !== "") env.set("HOSTNAME", input.hostname);
  if (input.tty) env.set("TERM", "xterm");
  for (const entry of input.image) {
    const at = entry.indexOf("=");
    if (at > 0 && !entry.includes("\0")) env.set(entry.slice(0, at), entry.slice(at + 1));
  }
  for (const entry of input.user) {
    if (entry.includes("\0")) throw invalid("env", entry, "a variable cannot hold a NUL byte");
    const at = entry.indexOf("=");
    if (entry === "" || at === 0) throw invalid("env", entry, "write KEY=VALUE, or KEY to remove the image's variable");
    if (at < 0) env.delete(entry);
    else env.set(entry.slice(0, at), entry.slice(at + 1));
  }
  if (!env.has("HOME")) env.set("HOME", input.home);
  return [...env].map(([key, value]) => `${key}=${value}`);
}

/**
 * The working directory: the user's, else the image's, else `/`.
 *
 * @throws NyxError invalid_argument when it is relative
 */
export function resolveCwd(user: string | undefined, image: string | undefined): string {
  const cwd = user !== undefined && user !== "" ? user : image !== undefined && image !== "" ? image : "/";
  if (!cwd.startsWith("/") || cwd.includes("\0")) {
    throw invalid("workingDir", cwd, "the working directory is an absolute path");
  }
  return cwd;
}

const SIGNALS = [
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU",
  "XFSZ VTALRM PROF WINCH IO PWR SYS",
].join(" ").split(" ");
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/**
 * A signal in its one spelling: a name such as SIGTERM, or the number of a real-time signal.
 *
 * @param text name with or without SIG in any case, RTMIN+n, RTMAX-n, or a number
 * @throws NyxError invalid_argument for anything else
 */
export function parseSignal(field: string, text: string): string {
  const upper = text.trim().toUpperCase().replace(/^SIG/, "");
  const real = /^RT(MIN|MAX)(?:([+-])([0-9]{1,2}))?$/.exec(upper);
  let number = /^[0-9]{1,2}$/.test(upper) ? Number(upper) : undefined;
  if (real !== null) {
    const offset = Number(real[3] ?? 0) * (real[2] === "-" ? -1 : 1);
    number = (real[1] === "MIN" ? SIGRTMIN : SIGRTMAX) + offset;
  }
  if (number !== undefined) {
    const name = SIGNALS[number - 1];
    if (name !== undefined && number >= 1) return `SIG${name}`;
    if (number >= SIGRTMIN && number <= SIGRTMAX) return String(number);
  } else {
    const name = { POLL: "IO", IOT: "ABRT", CLD: "CHLD" }[upper] ?? upper;
    if (SIGNALS.includes(name)) return `SIG${name}`;
  }
  throw invalid(field, text, "use a signal's name, such as TERM, or its number, 1 to 64");
}
