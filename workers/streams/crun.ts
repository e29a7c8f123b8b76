/** crun's command line: global options, short-lived calls, and what its messages mean (crun(1)). */

import { NyxError } from "../../daemon/spec/errors.ts";

/** Environment of every crun: nothing of nyxd's own, such as NOTIFY_SOCKET, gets through. */
export const CRUN_ENV: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
};

/** Longest a short command may take; the slowest is `delete --force` of a container with many processes. */
const COMMAND_TIMEOUT_MS = 30_000;

/** Outcome of a crun call. */
export interface CrunResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** One crun program with its state directory. */
export class Crun {
  /**
   * @param path executable
   * @param root state directory (`crun --root`)
   */
  constructor(readonly path: string, readonly root: string) {}

  /** Whole argv: program, global options, command. */
  argv(command: readonly string[], logPath?: string): string[] {
    const log = logPath === undefined ? [] : [`--log=file:${logPath}`, "--log-format=json"];
    return [this.path, `--root=${this.root}`, "--cgroup-manager=cgroupfs", ...log, ...command];
  }

  /**
   * Runs a short command to its end.
   *
   * @throws NyxError deadline_exceeded when crun hangs; it is then killed
   */
  async run(command: readonly string[]): Promise<CrunResult> {
    const [path, ...args] = this.argv(command) as [string, ...string[]];
    const signal = AbortSignal.timeout(COMMAND_TIMEOUT_MS);
    const { code, stdout, stderr } = await new Deno.Command(path, {
      args,
      clearEnv: true,
      env: CRUN_ENV,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      signal,
    }).output();
    if (signal.aborted) {
      throw new NyxError(
        "deadline_exceeded",
        `crun ${command[0]} did not end within ${COMMAND_TIMEOUT_MS} ms and was killed`,
        {
          retryable: true,
        },
      );
    }
    const text = new TextDecoder();
    return { code, stdout: text.decode(stdout), stderr: text.decode(stderr).trim() };
  }

  /**
   * Runs a command that must succeed.
   *
   * @throws NyxError not_found when crun does not know the container, else failed_precondition with crun's message
   */
  async demand(action: string, id: string, command: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(command);
    if (code === 0) return stdout;
    const missing = /does not exist|No such file or directory|not found/i.test(stderr);
    throw new NyxError(
      missing ? "not_found" : "failed_precondition",
      `Could not ${action} container ${JSON.stringify(id)}: crun says ${JSON.stringify(stderr)}`,
      { context: { id, exitCode: code } },
    );
  }

  /** Whether crun has state of a container. */
  knows(id: string): boolean {
    try {
      Deno.statSync(`${this.root}/${id}`);
      return true;
    } catch (e) {
      if (e instanceof Deno.errors.NotFound) return false;
      throw e;
    }
  }

  /** Version as `crun --version` gives it, such as 1.8.1. */
  async version(): Promise<string> {
    const { code, stdout, stderr } = await this.run(["--version"]);
    const version = /crun version (\S+)/.exec(stdout)?.[1];
    if (code !== 0 || version === undefined) {
      throw new NyxError(
        "failed_precondition",
        `Could not read the version of ${JSON.stringify(this.path)}: ${
          stderr || stdout || `exit code ${code}`
        }; install crun or name it with --crun`,
      );
    }
    return version;
  }
}

/** The last message of a crun log in JSON lines; undefined when it holds none. */
export function lastCrunMessage(log: string | undefined): string | undefined {
  for (const line of (log ?? "").trim().split("\n").reverse()) {
    try {
      const entry: unknown = JSON.parse(line);
      if (typeof entry === "object" && entry !== null && "msg" in entry && typeof entry.msg === "string") {
        return entry.msg;
      }
    } catch {
      if (line !== "") return line;
    }
  }
  return undefined;
}

/**
 * Docker's exit code for a process that crun could not start: 127 when the executable is missing, 126 when it cannot be
 * executed, 125 for all else.
 */
export function launchFailureCode(message: string): 125 | 126 | 127 {
  if (/^(executable file|exec container process|open executable|exec|execve)\b/.test(message)) {
    return /No such file or directory|not found/.test(message) ? 127 : 126;
  }
  return 125;
}

/**
 * What a container ended with, seen that its program may have failed to execute after crun had reported its pid: crun then writes its
 * message, as JSON, to the container's own stderr before anything else.
 *
 * @param stderrHead what stderr began with, when nothing was written to stdout
 */
export function execFailure(code: number, stderrHead: string): { code: number; error?: string } {
  if ((code !== 1 && code !== 255) || !stderrHead.startsWith('{"msg":"exec container process')) return { code };
  const message = lastCrunMessage(stderrHead.split("\n")[0]);
  return message === undefined ? { code } : { code: launchFailureCode(message), error: message };
}
