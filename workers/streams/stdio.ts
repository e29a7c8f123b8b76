/** Connects a running container's pipes or terminal to its output and input. */

import { AT_FDCWD, F, O } from "../../ffi/file.ts";
import { isErrno } from "../../ffi/errno.ts";
import type { StreamsContext } from "./context.ts";
import { InputPipe } from "./input.ts";
import type { MonitorShape } from "./monitor.ts";
import type { Output } from "./output.ts";

/** Opens the FIFOs of a monitor; gives back the input, unless there is none or it was closed before. */
export function connectPipes(
  { files, loop }: StreamsContext,
  dir: string,
  shape: MonitorShape,
  output: Output,
): InputPipe | undefined {
  const open = (name: string, flags: number) =>
    files.openat(AT_FDCWD, `${dir}/${name}`, flags | O.NONBLOCK | O.CLOEXEC);
  output.addSource(1, open("out", O.RDONLY), `${dir}/out.stage`);
  output.addSource(2, open("err", O.RDONLY), `${dir}/err.stage`);
  if (!shape.stdin) return undefined;
  try {
    // Nobody reads inctl once the input was closed: then it must not be opened again.
    files.close(open("inctl", O.WRONLY));
    return new InputPipe(files, loop, open("in", O.WRONLY));
  } catch (e) {
    if (isErrno(e, "ENXIO")) return undefined;
    throw e;
  }
}

/** Reads and writes duplicates of a terminal's master, which stays with the caller for its size. */
export function connectTerminal(
  { files, loop }: StreamsContext,
  dir: string,
  masterFd: number,
  output: Output,
): InputPipe {
  const duplicate = () => files.fcntl(masterFd, F.DUPFD_CLOEXEC, 3);
  output.addSource(1, duplicate(), `${dir}/out.stage`);
  return new InputPipe(files, loop, duplicate());
}
