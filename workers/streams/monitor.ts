/**
 * The monitor: a few lines of POSIX sh around foreground `crun run`, one for each container, that outlives nyxd.
 *
 * Its directory <baseDir>/run/monitor/<id>/ (0700) holds:
 * - `out`, `err`: FIFOs that are the container's stdout and stderr; `in`: its stdin when it has one.
 * - `out.stage`, `err.stage`: FIFOs through which nyxd moves output on its way to the log. Bytes are in one of these FIFOs
 *   until their record is in the log, and the monitor holds all of them open, so a kill -9 of nyxd loses nothing.
 * - `intent`: what nyxd was about to append (stage.ts), for exactly-once logging.
 * - `pid`: written by crun; `crun.log`: crun's own messages; `exit`: `exit <code>` and a line feed, written by one write over
 *   blanks that were there before, so it needs no space on a full disk, and anything else is "not yet".
 * - `ack`: the monitor reads a line from it before it goes. Whoever can open it for writing knows that the monitor lives.
 * - `inctl`: a line into it ends the process that keeps `in` open, which is how the container gets end of file.
 * - `hold`, `holder`: for a terminal (terminal.ts). `cmd`, `began`: of a monitor that was started ahead of need (warm.ts).
 *
 * The only commands are builtins and crun. setsid(1) in front keeps signals of nyxd's terminal away; it costs 0.5 ms where
 * Deno.Command's `detached` costs 4, because that forks the whole daemon.
 */

import { AT, AT_FDCWD, type FileKernel, O, S } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";

/** Ids that may become a directory name and an argument: no separators, no leading dot or dash. */
export const SAFE_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

/** Which parts a container's monitor has. */
export interface MonitorShape {
  tty: boolean;
  stdin: boolean;
  /** Output is logged, so it is staged. */
  staged: boolean;
}

const EXIT_BLANKS = new TextEncoder().encode(" ".repeat(31) + "\n");

/** The monitor's program; its arguments are crun's command line. */
export function monitorScript({ tty, stdin, staged }: MonitorShape): string {
  const lines = ["exec 7<>ack"];
  if (tty) lines.push("exec 1>/dev/null 2>&1");
  else lines.push("exec 3<>out 4<>err", "exec 1>out 2>err");
  if (staged) lines.push(tty ? "exec 5<>out.stage" : "exec 5<>out.stage 6<>err.stage");
  if (stdin && !tty) {
    lines.push(
      "exec 8<>in 9<>inctl",
      "exec 0<in",
      "(exec 1>/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&-; read -r x <&9) &",
      "holder=$!",
      "exec 8>&- 9>&-",
    );
  }
  lines.push('"$@" 3>&- 4>&- 5>&- 6>&- 7>&-', 'echo "exit $?" 1<>exit');
  if (stdin && !tty) lines.push("kill $holder 2>/dev/null");
  lines.push("read -r x <&7");
  return lines.join("\n");
}

/** Shape of the monitors that are started ahead of need: that of most containers. */
export const WARM_SHAPE: MonitorShape = { tty: false, stdin: false, staged: true };

/**
 * Program of a monitor that is started ahead of need and waits for {@linkcode warmCommand} on `cmd`, whose only write end is nyxd's: when
 * nyxd dies before it has sent one, the shell reads end of file and goes. Its arguments are the directory of all monitors and crun's
 * global options. `began` says that the command arrived. The shell is a writer itself (9) for the moment in which it opens its
 * reading end: else one whose nyxd is gone already would wait in open(2) for ever.
 */
export const WARM_SCRIPT = [
  "base=$1",
  "shift",
  "exec 9<>cmd",
  "exec 8<cmd",
  "exec 9>&-",
  "exec 7<>ack",
  "exec 3<>out 4<>err",
  "exec 1>out 2>err",
  "exec 5<>out.stage 6<>err.stage",
  "IFS= read -r bundle <&8",
  "IFS= read -r id <&8",
  "IFS= read -r word <&8",
  '[ "$word" = run ] || exit 0',
  "exec 8<&-",
  ": >began",
  'set -- "$@" "--log=file:$base/$id/crun.log" --log-format=json run "--bundle=$bundle" "--pid-file=$base/$id/pid" "$id"',
  '"$@" 3>&- 4>&- 5>&- 6>&- 7>&-',
  'echo "exit $?" 1<>exit',
  "read -r x <&7",
].join("\n");

/** What makes a waiting monitor run a container; one write, so it arrives whole or not at all. */
export function warmCommand(bundleDir: string, id: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${bundleDir}\n${id}\nrun\n`);
}

/** Names of the FIFOs of a monitor. */
export function fifoNames({ tty, stdin, staged }: MonitorShape): string[] {
  const names = ["ack"];
  if (!tty) names.push("out", "err");
  else names.push("hold");
  if (staged) names.push("out.stage", ...(tty ? [] : ["err.stage"]));
  if (stdin && !tty) names.push("in", "inctl");
  return names;
}

/** Every name that may be in a monitor's directory. */
export const MONITOR_FILES: readonly string[] = [
  "ack",
  "out",
  "err",
  "out.stage",
  "err.stage",
  "in",
  "inctl",
  "hold",
  "holder",
  "pid",
  "exit",
  "crun.log",
  "intent",
  "cmd",
  "began",
];

/** Makes a monitor's directory with its FIFOs and blank exit file. The directory must not be there. */
export function createMonitorDir(kernel: FileKernel, dir: string, shape: MonitorShape): void {
  kernel.mkdirat(AT_FDCWD, dir, 0o700);
  for (const name of fifoNames(shape)) kernel.mknodat(AT_FDCWD, `${dir}/${name}`, S.IFIFO | 0o600, 0, 0);
  const fd = kernel.openat(AT_FDCWD, `${dir}/exit`, O.CREAT | O.EXCL | O.WRONLY | O.CLOEXEC, 0o600);
  try {
    kernel.write(fd, EXIT_BLANKS);
  } finally {
    kernel.close(fd);
  }
}

/** Passes over a directory that a shell at its end still writes into; it writes each file once. */
const REMOVAL_PASSES = MONITOR_FILES.length + 1;

/** Removes a monitor's directory, also while its shell is on its last lines; missing parts are no error. */
export function removeMonitorDir(kernel: FileKernel, dir: string): void {
  for (let pass = 1;; pass++) {
    for (const name of MONITOR_FILES) removeFile(kernel, `${dir}/${name}`);
    try {
      kernel.unlinkat(AT_FDCWD, dir, AT.REMOVEDIR);
      return;
    } catch (e) {
      if (isErrno(e, "ENOENT")) return;
      if (!isErrno(e, "ENOTEMPTY") || pass === REMOVAL_PASSES) throw e;
    }
  }
}

/** Unlinks a file; missing is no error. */
export function removeFile(kernel: FileKernel, path: string): void {
  try {
    kernel.unlinkat(AT_FDCWD, path, 0);
  } catch (e) {
    if (!isErrno(e, "ENOENT")) throw e;
  }
}

/** The code in an exit file's content; undefined while it is not, or not wholly, written. */
export function parseExitFile(content: string): number | undefined {
  const m = /^exit (\d{1,3})\n/.exec(content);
  if (m === null) return undefined;
  const code = Number(m[1]);
  return code <= 255 ? code : undefined;
}
