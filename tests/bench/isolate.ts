/** Set in the process that runs in namespaces of its own. */
const INSIDE = "NYX_BENCH_INSIDE";
/** crun, and podman with it, refuse hosts with cgroup v1 controllers and a unified hierarchy beside them: here there is none. */
const PREPARE = `
ip link set lo up
if test -d /sys/fs/cgroup/memory; then umount -l /sys/fs/cgroup/unified 2>/dev/null; fi`;

/**
 * Runs a program again in mount, network and pid namespaces of its own, and ends with its code; in there, it returns. The links, rules
 * and mounts that peers leave go with the namespaces, and nothing that goes wrong in one can reach the host's processes. The shell
 * stays as the first process and reaps what peers leave behind.
 *
 * @param program the module's path
 * @param more shell commands that prepare the namespaces further
 */
export async function inOwnNamespaces(program: string, more = ""): Promise<void> {
  if (Deno.env.get(INSIDE) !== undefined) return;
  const self = [Deno.execPath(), "run", "-A", "--no-check", program, ...Deno.args];
  const { code } = await new Deno.Command("unshare", {
    args: [
      ..."--mount --net --pid --fork --mount-proc --kill-child --propagation private".split(" "),
      ...["sh", "-c", `${PREPARE}${more}\n"$@"\nexit $?`, "sh", ...self],
    ],
    env: { [INSIDE]: "1" },
    stdin: "null",
  }).spawn().status;
  Deno.exit(code);
}
