/**
 * A directory as the root of a machine's own: mount, network and pid namespaces of their own, entered by pivot_root, since nyxd refuses
 * a chroot. What runs in it, and what it mounted and linked, ends with it.
 */

import { run } from "./random_tree.ts";

/** What a script in a root did. */
export interface ScriptResult {
  code: number;
  /** Standard output. */
  text: string;
  /** Standard error. */
  errors: string;
}

// Runs with the host's programs: $1 is the root, the rest is run in it.
const ENTER = `
set -e
root=$1; shift
mount --bind "$root" "$root"
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/run" "$root/.host"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in null zero full random urandom tty; do : > "$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"; done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=755 run "$root/run"
ip link set lo up
cd "$root"
pivot_root . .host
exec chroot . /bin/sh -c 'umount -l /.host && exec "$@"' sh "$@"
`;

/**
 * Runs a shell script in a root. It needs `/bin/sh`, and a `umount` on the PATH.
 *
 * @param root directory; what the script writes stays there
 * @param script text for `/bin/sh`, under `set -eu`
 * @param limitMs after which everything in it is killed
 */
export async function inOwnRoot(root: string, script: string, limitMs = 120_000): Promise<ScriptResult> {
  if (Deno.uid() !== 0) throw new Error("This test needs root: it makes namespaces");
  const namespaces = "--mount --net --pid --uts --ipc --fork --kill-child --propagation private".split(" ");
  const child = new Deno.Command("unshare", {
    args: [...namespaces, "sh", "-c", ENTER, "sh", root, "/bin/sh", "-euc", script],
    clearEnv: true,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", NO_COLOR: "1", LC_ALL: "C.UTF-8" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(limitMs),
  }).spawn();
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, text: text(stdout), errors: text(stderr) };
}

/** Removes the empty cgroups of a nyxd that ran in such a root under `--cgroup-parent=/NAME`, and was killed with it. */
export async function removeCgroups(name: string): Promise<void> {
  const args = ["/sys/fs/cgroup", "-maxdepth", "6", "-depth", "-type", "d", "-path", `*/${name}*`];
  // A process that was killed stays in its cgroup until it is reaped.
  for (let i = 0; i < 30; i++) {
    await new Deno.Command("find", { args: [...args, "-exec", "rmdir", "{}", "+"], stderr: "null" }).output();
    if ((await new Deno.Command("find", { args, stderr: "null" }).output()).stdout.length === 0) return;
    await new Promise((r) => setTimeout(r, 100));
  }
}

/** Copies a program or library into a root, at its own path, with the libraries that it needs. */
export function copyWithLibraries(root: string, path: string, target: string = path): void {
  const copy = (from: string, to: string) => {
    Deno.mkdirSync(`${root}${to}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.copyFileSync(from, `${root}${to}`);
  };
  copy(Deno.realPathSync(path), target);
  for (const [, library = ""] of new TextDecoder().decode(run("ldd", [path])).matchAll(/(\/\S+) \(0x/g)) {
    copy(Deno.realPathSync(library), library);
  }
}
