/** The peers: bare crun, and docker and podman from Debian where they are installed, each with the same image. */

const decoder = new TextDecoder();

/** Runs a command to its end; throws with its error output when it fails. */
export async function sh(command: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (!success) {
    throw new Error(`${command} ${args.slice(0, 4).join(" ")} failed: ${decoder.decode(stderr).slice(-500)}`);
  }
  return decoder.decode(stdout);
}

/** Whether a program is on PATH. */
export async function installed(program: string): Promise<boolean> {
  return await sh("sh", ["-c", `command -v ${program}`]).then(() => true, () => false);
}

/** A docker-like command line with its own state. */
export interface Peer extends AsyncDisposable {
  readonly name: "docker" | "podman";
  /** Runs its CLI. */
  run(...args: string[]): Promise<string>;
  /** Processes that are alive for its sake without any container. */
  daemonPids(): Promise<number[]>;
  /** Where it keeps images. */
  readonly root: string;
}

/** podman with storage of its own below `dir`. */
export async function startPodman(dir: string): Promise<Peer | undefined> {
  if (!await installed("podman")) return undefined;
  const root = `${dir}/podman`;
  const base = [
    "--root",
    `${root}/root`,
    "--runroot",
    `${root}/run`,
    "--storage-driver",
    "overlay",
    "--runtime",
    "crun",
    "--cgroup-manager",
    "cgroupfs",
  ];
  // The default limits of podman's containers may exceed what this machine allows.
  await Deno.mkdir(root, { recursive: true });
  await Deno.writeTextFile(
    `${root}/containers.conf`,
    '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n',
  );
  const env = { CONTAINERS_CONF: `${root}/containers.conf` };
  const run = (...args: string[]) => sh("podman", [...base, ...args], env);
  return {
    name: "podman",
    root,
    run,
    daemonPids: () => Promise.resolve([]),
    [Symbol.asyncDispose]: async () => {
      await run("rm", "-af", "-t", "0").catch(() => {});
      await sh("sh", [
        "-c",
        `awk -v r='${root}' 'index($5,r)==1 {print $5}' /proc/self/mountinfo | sort -r | xargs -r -n1 umount -l; rm -rf '${root}'`,
      ]);
    },
  };
}

/**
 * dockerd with data of its own below `dir`; its bridge goes with it.
 *
 * @param options `firewall` lets it write rules, for a network namespace that is thrown away
 */
export async function startDocker(dir: string, options: { firewall?: boolean } = {}): Promise<Peer | undefined> {
  if (!await installed("dockerd")) return undefined;
  const root = `${dir}/docker`;
  await Deno.mkdir(root, { recursive: true });
  const socket = `unix://${root}/docker.sock`;
  const log = await Deno.open(`${root}/log`, { write: true, create: true });
  const own = ["--data-root", `${root}/data`, "--exec-root", `${root}/exec`, "-H", socket, "-p", `${root}/pid`];
  const network = [
    `--iptables=${options.firewall === true}`,
    "--ip6tables=false",
    "--bip=172.31.99.1/24",
    "--insecure-registry=127.0.0.0/8",
    "--default-ulimit=nofile=1024:1024",
  ];
  const child = new Deno.Command("dockerd", {
    args: [...own, ...network],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  void child.stderr.pipeTo(log.writable).catch(() => {});
  void child.stdout.cancel();
  const run = (...args: string[]) => sh("docker", ["-H", socket, ...args]);
  let ended = false;
  void child.status.then(() => ended = true);
  for (let i = 0; i < 200; i++) {
    if (await run("version").then(() => true, () => false)) break;
    if (ended) throw new Error(`dockerd ended: ${(await Deno.readTextFile(`${root}/log`)).slice(-500)}`);
    await new Promise((r) => setTimeout(r, 100));
  }
  return {
    name: "docker",
    root,
    run,
    daemonPids: async () => (await sh("pgrep", ["-f", root])).trim().split("\n").map(Number),
    [Symbol.asyncDispose]: async () => {
      await sh("sh", ["-c", `docker -H ${socket} ps -aq | xargs -r docker -H ${socket} rm -f`]).catch(() => {});
      child.kill("SIGTERM");
      await child.status;
      await sh("ip", ["link", "del", "docker0"]).catch(() => {});
      await sh("sh", [
        "-c",
        `awk -v r='${root}' 'index($5,r)==1 {print $5}' /proc/self/mountinfo | sort -r | xargs -r -n1 umount -l; rm -rf '${root}'`,
      ]);
    },
  };
}

/** PSS of processes together, MiB. */
export async function pssMiB(pids: number[]): Promise<number> {
  let kib = 0;
  for (const pid of pids) {
    const text = await Deno.readTextFile(`/proc/${pid}/smaps_rollup`).catch(() => "");
    kib += Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0);
  }
  return kib / 1024;
}

/** CPU time of processes and of those they have waited for, milliseconds. */
export async function cpuMs(pids: number[]): Promise<number> {
  return await statMs(pids, [13, 14, 15, 16]);
}

/** CPU time of this process alone. */
export async function ownCpuMs(): Promise<number> {
  return await statMs([Deno.pid], [13, 14]);
}

/** Sum of fields of /proc/pid/stat (proc(5), counted from 0), in clock ticks of 10 ms. */
async function statMs(pids: number[], fields: number[]): Promise<number> {
  let ticks = 0;
  for (const pid of pids) {
    const text = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => "");
    const values = text.slice(text.lastIndexOf(")") + 1).trim().split(" ");
    for (const field of fields) ticks += Number(values[field - 2] ?? "0");
  }
  return ticks * 10;
}
