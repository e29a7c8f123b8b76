/** What the files of a monitor's directory say (monitor.ts has the list), and the log that belongs to it. */

import { AT_FDCWD } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import type { StreamsContext } from "./context.ts";
import { exists } from "./directories.ts";
import { lastCrunMessage } from "./crun.ts";
import { LogFile, logPath, type LogPolicy } from "./log_file.ts";
import { parseExitFile } from "./monitor.ts";
import type { LogSink } from "./output.ts";
import { tryReadText } from "./proc.ts";
import { formatTimeNs } from "./record.ts";
import { IntentFile, settleIntent } from "./staging.ts";

const COMMAND_GRACE_MS = 200;

/** Fields of /proc/<pid>/stat after the command, which may itself hold spaces and brackets. */
function statFields(pid: number): string[] | undefined {
  const stat = tryReadText(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** Reads one monitor's directory. */
export class MonitorFiles {
  readonly #context: StreamsContext;
  readonly #id: string;
  readonly #dir: string;

  /** @param dir the monitor's directory */
  constructor(context: StreamsContext, id: string, dir: string) {
    this.#context = context;
    this.#id = id;
    this.#dir = dir;
  }

  /** Pid of the container's init, once crun has written it. */
  pid(): number | undefined {
    const pid = Number(tryReadText(`${this.#dir}/pid`)?.trim() || "NaN");
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  }

  /** What crun ended with, once the monitor has written it. */
  exitCode(): number | undefined {
    return parseExitFile(tryReadText(`${this.#dir}/exit`) ?? "");
  }

  /**
   * Whether the monitor was told to run its container. One that was started ahead of need may have been renamed and never told, when
   * nyxd was killed in between; a command that is already in its FIFO is read within the time that is waited here.
   */
  async hasBegun(): Promise<boolean> {
    if (!exists(`${this.#dir}/cmd`)) return true;
    for (let waited = 0; waited < COMMAND_GRACE_MS; waited += 10) {
      if (exists(`${this.#dir}/began`)) return true;
      await new Promise((r) => setTimeout(r, 10));
    }
    return false;
  }

  /** The last thing that crun had to say. */
  crunMessage(): string | undefined {
    return lastCrunMessage(tryReadText(`${this.#dir}/crun.log`));
  }

  /** When the process was there, RFC 3339. */
  startedAt(): string {
    return this.#modified("pid");
  }

  /** When it ended; now, when nobody wrote it down. */
  finishedAt(): string {
    return this.#modified("exit");
  }

  #isRunning(pid: number): boolean {
    const state = statFields(pid)?.[0];
    return state !== undefined && state !== "Z" && state !== "X";
  }

  /** Whether crun still knows the container and its init is the very process that crun started. */
  initAlive(): boolean {
    const pid = this.pid();
    if (pid === undefined || !this.#isRunning(pid) || !this.#context.crun.knows(this.#id)) return false;
    try {
      const status: unknown = JSON.parse(tryReadText(`${this.#context.crun.root}/${this.#id}/status`) ?? "{}");
      const startTime = Number((status as Record<string, unknown>)["process-start-time"]);
      return Number.isNaN(startTime) || Number(statFields(pid)?.[19]) === startTime;
    } catch {
      return false;
    }
  }

  #modified(name: string): string {
    const { files, process } = this.#context;
    try {
      const { sec, nsec } = files.statx(AT_FDCWD, `${this.#dir}/${name}`, 0).mtime;
      return formatTimeNs(BigInt(sec) * 1_000_000_000n + BigInt(nsec));
    } catch (e) {
      if (!isErrno(e, "ENOENT")) throw e;
      return formatTimeNs(process.realtimeNs());
    }
  }
}

/** Opens a container's log, having settled what an earlier nyxd left unconfirmed. */
export function openSink(context: StreamsContext, id: string, dir: string, policy: LogPolicy): LogSink {
  const { files, process, scratch, baseDir } = context;
  const intent = new IntentFile(files, `${dir}/intent`);
  try {
    const undoTo = settleIntent(files, process, scratch, dir, intent);
    const file = new LogFile(files, logPath(baseDir, id), policy, (e) => context.report(e, id), undoTo);
    intent.clear();
    return { file, intent };
  } catch (e) {
    intent.close();
    throw e;
  }
}
