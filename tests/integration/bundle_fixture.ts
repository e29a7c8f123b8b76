/** A busybox root, the bundle worker under its real permissions, and crun as this host needs it, for the bundle's tests. */

import type { ContainerConfig } from "../../daemon/spec/container.ts";
import { bundlePermissions } from "../../workers/bundle/permissions.ts";
import { WorkerHost } from "../../workers/host.ts";
import type { BundleStage, HostFacts } from "../../workers/protocol.ts";
import { linuxFile } from "../../ffi/linux/file.ts";
import { linuxSeccomp } from "../../ffi/linux/seccomp.ts";
import { readyFilters } from "../../workers/bundle/seccomp_filter.ts";
import { readHostFacts } from "../../workers/rootfs/host_facts.ts";

/** Request of generate. */
export type GenerateRequest = BundleStage["ops"]["generate"]["request"];

/** What `crun run` left. */
export interface RunOutcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Everything a bundle test needs; dispose it. */
export class BundleFixture implements Disposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "nyx-bundle-" });
  readonly bundles = `${this.dir}/bundles`;
  readonly rootfs = `${this.dir}/rootfs`;
  readonly host: WorkerHost<BundleStage>;
  readonly facts: HostFacts;
  #count = 0;

  constructor() {
    if (Deno.uid() !== 0) throw new Error("This test runs containers: run it as root");
    Deno.mkdirSync(this.bundles, { mode: 0o700 });
    this.#makeRoot();
    const facts = readHostFacts(linuxFile());
    const filters = readyFilters(linuxSeccomp(), facts.kernel, Deno.build.arch).map((make) => make());
    this.facts = { ...facts, seccompFilters: Object.fromEntries(filters.map((f) => [f.key, f.program])) };
    const permissions = bundlePermissions(this.bundles);
    this.host = new WorkerHost<BundleStage>({
      name: "bundle",
      start: () =>
        new Worker(new URL("../../workers/bundle/main.ts", import.meta.url), {
          type: "module",
          deno: { permissions },
        }),
    });
  }

  #makeRoot(): void {
    for (const d of ["bin", "etc", "tmp", "root", "home/joe", "data"]) {
      Deno.mkdirSync(`${this.rootfs}/${d}`, { recursive: true });
    }
    Deno.copyFileSync("/bin/busybox", `${this.rootfs}/bin/busybox`);
    for (const name of ["sh", "cat", "id", "ls", "stat", "mount", "echo", "env", "grep", "touch", "head", "hostname"]) {
      Deno.symlinkSync("busybox", `${this.rootfs}/bin/${name}`);
    }
    Deno.writeTextFileSync(
      `${this.rootfs}/etc/passwd`,
      "root:x:0:0:root:/root:/bin/sh\njoe:x:1000:1000::/home/joe:/bin/sh\n",
    );
    Deno.writeTextFileSync(`${this.rootfs}/etc/group`, "root:x:0:\njoe:x:1000:\nwheel:x:10:joe\naudio:x:29:\n");
  }

  /** A request with everything at rest; `config` and the rest override. */
  request(config: Partial<ContainerConfig>, rest: Partial<GenerateRequest> = {}): GenerateRequest {
    const id = `nyxt${Deno.pid}-${++this.#count}`;
    return {
      id,
      bundleDir: `${this.bundles}/${id}`,
      config: { image: "test", networkMode: "none", ...config },
      image: {},
      rootfs: this.rootfs,
      passwd: Deno.readFileSync(`${this.rootfs}/etc/passwd`),
      group: Deno.readFileSync(`${this.rootfs}/etc/group`),
      joinPids: {},
      mounts: [],
      hostname: "box",
      hosts: [["10.88.0.9", ["box"]]],
      resolvConf: "nameserver 10.88.0.1\n",
      cgroupsPath: `/nyx-test/${id}`,
      host: this.facts,
      ...rest,
    };
  }

  /** config.json of a generated bundle. */
  spec(request: GenerateRequest): Record<string, unknown> {
    return JSON.parse(Deno.readTextFileSync(`${request.bundleDir}/config.json`));
  }

  /** Generates and runs a bundle to its end. */
  async run(request: GenerateRequest): Promise<RunOutcome> {
    await this.host.call("generate", request);
    return await this.crun(["run", "--bundle", request.bundleDir, request.id]);
  }

  /** Runs a shell script in a container. */
  script(
    text: string,
    config: Partial<ContainerConfig> = {},
    rest: Partial<GenerateRequest> = {},
  ): Promise<RunOutcome> {
    return this.run(this.request({ args: ["/bin/sh", "-c", text], ...config }, rest));
  }

  /** crun with this host's cgroup layout made readable for it. */
  async crun(args: string[]): Promise<RunOutcome> {
    const quoted = ["crun", "--root", `${this.dir}/crun`, ...args].map((a) => `'${a.replaceAll("'", `'\\''`)}'`).join(
      " ",
    );
    const hide = this.facts.cgroup === "hybrid" ? "umount -l /sys/fs/cgroup/unified && " : "";
    // A pipe, not /dev/null: crun exec gives the descriptors it is handed to the container's user, and the host's /dev/null with them.
    const child = new Deno.Command("unshare", {
      args: ["-m", "--propagation", "slave", "sh", "-c", `${hide}exec ${quoted}`],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    await child.stdin.close();
    const output = await child.output();
    const text = new TextDecoder();
    return { code: output.code, stdout: text.decode(output.stdout), stderr: text.decode(output.stderr) };
  }

  [Symbol.dispose](): void {
    this.host.terminate();
    Deno.removeSync(this.dir, { recursive: true });
    removeCgroups();
  }
}

/** Removes cgroups of this process's containers that crun left (on a busy machine its rmdir comes too early), and their parent. */
function removeCgroups(): void {
  const parents = [...Deno.readDirSync("/sys/fs/cgroup")].map(({ name }) => `/sys/fs/cgroup/${name}/nyx-test`);
  for (const parent of [...parents, "/sys/fs/cgroup/nyx-test"]) {
    const left = readNames(parent).filter((name) => name.startsWith(`nyxt${Deno.pid}-`)).map((n) => `${parent}/${n}`);
    for (const dir of [...left, parent]) {
      try {
        Deno.removeSync(dir);
      } catch {
        // In use by a test beside this one, which removes it after itself.
      }
    }
  }
}

function readNames(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].map((e) => e.name);
  } catch {
    return [];
  }
}
