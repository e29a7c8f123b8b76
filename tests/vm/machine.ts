/**
 * A guest under QEMU's software emulation: starts it, runs shell scripts in it, restarts it, and cuts its power. Hardware acceleration may
 * be offered by a machine and not work, so it is not used.
 */

import { run } from "../support/random_tree.ts";
import { appImage } from "./app.ts";
import { type Arch, type GuestBase, guestBase } from "./base.ts";
import { Channel } from "./channel.ts";
import { neighbourInitramfs } from "./neighbour.ts";
import { LOG_SECTOR, replay, type Replayed } from "./disk_log.ts";

/** What a guest is made of. */
export interface MachineOptions {
  /** More of the kernel's command line, such as `ipv6.disable=1`. */
  append?: string;
  memoryMiB?: number;
  /** Size of a data disk that survives restarts and cuts; without it /var/lib/nyxd is in memory. */
  dataMiB?: number;
  /**
   * Chance of a write to the data disk to survive a cut although the guest had not flushed it; without it all survive, as if the guest's
   * kernel had crashed and the disk had not.
   */
  survives?: () => boolean;
  /** Changes to the whole root survive a restart, too; needs a data disk. */
  keepRoot?: boolean;
  /** Boot systemd instead of the small init. */
  systemd?: boolean;
  /** Ports of this machine's loopback that lead to ports of the guest. */
  forward?: { host: number; guest: number; protocol?: "tcp" | "udp" }[];
  /** Another network interface, whose frames go from one unix socket to the other: a wire between two guests. */
  wire?: Wire;
  /** Be the small guest at the other end of such a wire (see neighbour.ts), not Debian with nyx. */
  neighbour?: boolean;
  /** More Debian packages in the guest. */
  packages?: readonly string[];
  arch?: Arch;
}

/** One end of a wire between guests. */
export interface Wire {
  /** Path of this end's socket. */
  here: string;
  /** Path of the other end's. */
  there: string;
}

/** What a script did in a guest. */
export interface GuestResult {
  code: number;
  /** Both streams. */
  output: string;
}

const BOOT_LIMIT_MS = 300_000;

/** A guest under way, or one that is off. */
export class Machine implements AsyncDisposable {
  readonly dir: string;
  #process: Deno.ChildProcess | undefined;
  #channel: Channel | undefined;
  #boots = 0;

  private constructor(
    private readonly options: MachineOptions,
    private readonly base: GuestBase,
    /** The disk with nyx; the small guest has none. */
    private readonly app: string | undefined,
  ) {
    this.dir = Deno.makeTempDirSync({ prefix: "nyx-vm-" });
    globalThis.addEventListener("unload", this.#atExit);
  }

  /** Who ends early, by a signal say, leaves no guest behind. */
  readonly #atExit = () => {
    if (this.#process !== undefined) kill(this.#process);
    Deno.removeSync(this.dir, { recursive: true });
  };

  /** Builds what is missing, makes the disks, and boots. */
  static async boot(options: MachineOptions = {}): Promise<Machine> {
    const base = await guestBase(options.arch, options.packages);
    const machine = new Machine(options, base, options.neighbour ? undefined : await appImage(base));
    try {
      if (options.neighbour) Deno.writeFileSync(machine.#initramfs, neighbourInitramfs(base));
      if (options.dataMiB !== undefined) machine.#makeDataDisk(options.dataMiB);
      await machine.start();
      return machine;
    } catch (e) {
      await machine[Symbol.asyncDispose]();
      throw e;
    }
  }

  /** The data disk's image. */
  get disk(): string {
    return `${this.dir}/data.raw`;
  }

  /** What the kernel and the inits said at the last boot. */
  get console(): string {
    try {
      return Deno.readTextFileSync(`${this.dir}/console-${this.#boots}.log`);
    } catch {
      return "";
    }
  }

  #makeDataDisk(sizeMiB: number): void {
    run("mke2fs", ["-q", "-F", "-t", "ext4", "-m", "0", this.disk, `${sizeMiB}M`]);
  }

  /** Turns the machine on and waits for its agent. */
  async start(): Promise<void> {
    if (this.#process !== undefined) throw new Error("Could not start the guest: it runs");
    this.#boots++;
    this.#beginLog();
    const socket = `${this.dir}/agent.sock`;
    await Deno.remove(socket).catch(() => {});
    using listener = Deno.listen({ transport: "unix", path: socket });
    const child = new Deno.Command(this.base.emulator, {
      args: this.#arguments(socket),
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#process = child;
    const errors = new Response(child.stderr).text();
    const ended = child.status.then(async (s) => {
      if (this.#process === child) this.#process = undefined;
      throw new Error(`The guest ended with code ${s.code}: ${await errors}`);
    });
    ended.catch(() => {});
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`The guest did not boot within ${BOOT_LIMIT_MS} ms`)), BOOT_LIMIT_MS);
    });
    try {
      const connection = await Promise.race([listener.accept(), ended, late]);
      this.#channel = new Channel(connection);
      await Promise.race([this.#channel.ready(), ended, late]);
    } catch (e) {
      await this.cut();
      const why = e instanceof Error ? e.message : String(e);
      throw new Error(`${why}\nQEMU says: ${await errors}\nIts console:\n${this.console.slice(-4000)}`);
    } finally {
      clearTimeout(timer);
    }
  }

  get #initramfs(): string {
    return this.options.neighbour ? `${this.dir}/initramfs` : this.base.initramfs;
  }

  #arguments(socket: string): string[] {
    const { memoryMiB = 1536, append = "", systemd, keepRoot, neighbour } = this.options;
    const { kernel, consoleDevice, machine } = this.base;
    const line = [
      `console=${consoleDevice} panic=-1 loglevel=4 net.ifnames=0`,
      systemd ? "nyx.init=/sbin/init systemd.show_status=0" : "",
      keepRoot ? "nyx.keep=1" : "",
      append,
    ];
    return [
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      ...machine,
      ...["-accel", "tcg,thread=multi", "-cpu", "max"],
      ...(neighbour ? ["-smp", "1", "-m", "256"] : ["-smp", "2", "-m", String(memoryMiB)]),
      ...["-kernel", kernel, "-initrd", this.#initramfs, "-append", line.filter((l) => l !== "").join(" ")],
      ...["-serial", `file:${this.dir}/console-${this.#boots}.log`],
      ...this.#disks(),
      ...this.#network(),
      ...["-device", "virtio-rng-pci"],
      ...["-chardev", `socket,id=agent,path=${socket}`],
      ...["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=nyx.agent"],
    ];
  }

  #disks(): string[] {
    if (this.app === undefined) return [];
    const disk = (file: string) => ["-drive", `file=${file},if=virtio,format=raw,readonly=on`];
    return [...disk(this.base.image), ...disk(this.app), ...this.#dataDisk()];
  }

  /** eth0 leads to this machine by QEMU's user mode network, and the next interface is the wire; the small guest has that alone. */
  #network(): string[] {
    const { forward = [], wire, neighbour } = this.options;
    const ports = forward.map((f) => `,hostfwd=${f.protocol ?? "tcp"}:127.0.0.1:${f.host}-:${f.guest}`).join("");
    const out = neighbour ? [] : ["-netdev", `user,id=net${ports}`, "-device", "virtio-net-pci,netdev=net,romfile="];
    if (wire === undefined) return out;
    const { here, there } = wire;
    const mac = `52:54:00:00:00:0${neighbour ? 2 : 1}`;
    return [
      ...out,
      ...["-netdev", `dgram,id=wire,local.type=unix,local.path=${here},remote.type=unix,remote.path=${there}`],
      ...["-device", `virtio-net-pci,netdev=wire,romfile=,mac=${mac}`],
    ];
  }

  #dataDisk(): string[] {
    if (this.options.dataMiB === undefined) return [];
    const logged = this.options.survives === undefined
      ? [`file=${this.disk},format=raw`]
      : [`driver=blklogwrites,log-sector-size=${LOG_SECTOR},file.driver=file,file.filename=${this.disk}`]
        .concat(`log.driver=file,log.filename=${this.#log}`);
    return ["-drive", ["if=virtio,cache=writeback", ...logged].join(",")];
  }

  /** Begins a log of what is written; the disk as it is now is kept beside it. */
  #beginLog(): void {
    if (this.options.survives === undefined) return;
    run("cp", ["--sparse=always", this.disk, `${this.disk}.before`]);
    Deno.writeFileSync(this.#log, new Uint8Array());
  }

  get #log(): string {
    return `${this.dir}/data.log`;
  }

  /**
   * Runs a script with the guest's `sh` and waits for it.
   *
   * @throws Error when the machine goes meanwhile, or does not answer
   */
  async run(script: string, options: { seconds?: number } = {}): Promise<GuestResult> {
    if (this.#channel === undefined) throw new Error("Could not run a script in the guest: it is off");
    return await this.#channel.run(script, options.seconds ?? 400);
  }

  /** Runs a script that has to succeed, and gives its output. */
  async must(script: string, options: { seconds?: number } = {}): Promise<string> {
    const { code, output } = await this.run(script, options);
    if (code !== 0) throw new Error(`In the guest, ${script}\nended with code ${code}:\n${output}`);
    return output;
  }

  /** Restarts by way of the guest's own init, and waits for the agent. */
  async restart(): Promise<void> {
    const child = this.#process;
    if (child === undefined) throw new Error("Could not restart the guest: it is off");
    await this.must(this.options.systemd ? "setsid sh -c 'sleep 1; systemctl reboot' &" : "/usr/lib/nyx-vm/restart");
    const late = setTimeout(() => kill(child), BOOT_LIMIT_MS);
    await child.status;
    clearTimeout(late);
    this.#off();
    await this.start();
  }

  /** Takes the power away, at once. The data disk keeps what was flushed, and of the rest what `survives`. */
  async cut(): Promise<Replayed | undefined> {
    const child = this.#process;
    if (child === undefined) return undefined;
    kill(child);
    await child.status;
    this.#off();
    const { survives } = this.options;
    if (survives === undefined) return undefined;
    Deno.renameSync(`${this.disk}.before`, this.disk);
    return replay(this.#log, this.disk, survives);
  }

  #off(): void {
    this.#process = undefined;
    this.#channel?.close();
    this.#channel = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    globalThis.removeEventListener("unload", this.#atExit);
    await this.cut();
    Deno.removeSync(this.dir, { recursive: true });
  }
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
