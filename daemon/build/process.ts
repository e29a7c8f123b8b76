/**
 * Runs buildah so that nothing of it can stay behind: in a mount namespace and a process namespace of its own, which end with it, and it
 * with the daemon. What it mounts, and what a RUN leaves running, is gone then.
 */

import { PROGRAM_PATH } from "./place.ts";

/**
 * setpriv has the kernel end all when the daemon dies; unshare's child is the namespace's first process, whose end ends the rest.
 * Hosts with cgroup v1 and a v2 mount beside it are shown plain v1, as crun wants it.
 */
const SCRIPT = `command -v buildah >/dev/null 2>&1 || exit 127
exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child=KILL --mount-proc --propagation slave \\
  /bin/sh -c '[ -d /sys/fs/cgroup/unified ] && umount -l /sys/fs/cgroup/unified 2>/dev/null; exec buildah "$@"' buildah "$@"`;

/** Removes the cgroup of a build that was ended by force. */
const REMOVE_CGROUP = `for d in "/sys/fs/cgroup$1" /sys/fs/cgroup/*"$1"; do
  [ -d "$d" ] && find "$d" -depth -type d -exec rmdir {} \\; 2>/dev/null
done; exit 0`;

/** Bytes of a stream, in order; waits until they are taken. */
export type Sink = (stream: "stdout" | "stderr", bytes: Uint8Array) => Promise<void>;

/** How buildah is run. */
export interface ProcessOptions {
  env: Record<string, string>;
  /** Ends it, by force. */
  signal: AbortSignal;
  sink: Sink;
}

/** Exit code of a host without buildah. */
export const NOT_INSTALLED = 127;

async function pump(stream: ReadableStream<Uint8Array>, take: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  for await (const bytes of stream) await take(bytes);
}

/**
 * Runs `buildah ARGS`.
 *
 * @returns its exit code, {@linkcode NOT_INSTALLED} when there is no buildah
 * @throws the signal's reason when it was ended by it
 */
export async function runBuildah(args: readonly string[], options: ProcessOptions): Promise<number> {
  const { env, signal, sink } = options;
  signal.throwIfAborted();
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", SCRIPT, "buildah", ...args],
    env,
    clearEnv: true,
    cwd: "/",
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const end = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  };
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  try {
    const [status] = await Promise.all([
      child.status,
      pump(child.stdout, (bytes) => sink("stdout", bytes)),
      pump(child.stderr, (bytes) => sink("stderr", bytes)),
    ]);
    signal.throwIfAborted();
    return status.code;
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** Removes an empty cgroup, wherever it is mounted. */
export async function removeCgroup(path: string): Promise<void> {
  await new Deno.Command("/bin/sh", {
    args: ["-c", REMOVE_CGROUP, "sh", path],
    env: { PATH: PROGRAM_PATH },
    clearEnv: true,
    cwd: "/",
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).output();
}
