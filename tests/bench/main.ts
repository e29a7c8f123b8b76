/**
 * The table of ratios: nyx against bare crun, docker and podman on this machine, in alternation. By hand, as root:
 *
 *     deno run -A tests/bench/main.ts [rounds] [row …]
 *
 * Rows: run exec ps many compose build pull memory version, and many100 and logs by name alone; `disk` puts all state on the disk. Ratios count;
 * absolute times are the machine's.
 */

import { install } from "../../cli/packaging/install.ts";
import { debianRoot } from "../support/debian_root.ts";
import { busyboxImage, pushLayout } from "../support/oci.ts";
import { splitTar } from "../support/split_tar.ts";
import { startRegistry } from "../support/registry.ts";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { rowBuild, rowCompose } from "./compose_rows.ts";
import { inOwnNamespaces } from "./isolate.ts";
import { alternate, judge, print, timed } from "./measure.ts";
import { cpuMs, installed, ownCpuMs, type Peer, pssMiB, sh, startDocker, startPodman } from "./peers.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const rounds = Number(Deno.args[0] ?? "15");
const wanted = new Set(Deno.args.slice(1));
/** All state on the disk below /tmp instead of a tmpfs. */
const onDisk = wanted.delete("disk");
const wants = (row: string) => wanted.size === 0 || wanted.has(row);

interface Bench {
  nyxd: Nyxd;
  image: string;
  peers: Partial<Record<"docker" | "podman", Peer>>;
  crun: (args: string[]) => Promise<string>;
  bundle: string;
  /** The installed command line, as `deno task install` makes it. */
  nyx: (...args: string[]) => Promise<string>;
}

async function bareBundle(dir: string): Promise<string> {
  await sh("umoci", ["unpack", "--image", `${dir}/layout:latest`, `${dir}/bundle`]);
  const path = `${dir}/bundle/config.json`;
  const config = JSON.parse(await Deno.readTextFile(path));
  config.process.terminal = false;
  config.process.args = ["true"];
  config.linux.cgroupsPath = `/nyx-bench-${Deno.pid}/bare`;
  await Deno.writeTextFile(path, JSON.stringify(config));
  return `${dir}/bundle`;
}

async function installedCli(dir: string, socket: string): Promise<Bench["nyx"]> {
  const [nyx = ""] = await install({ root: ROOT.replace(/\/$/, ""), binDir: `${dir}/bin` });
  return (...args) => sh(nyx, ["--socket", socket, ...args]);
}

async function attachedRun({ nyxd, image }: Bench): Promise<void> {
  const attach = { stdin: false, stdout: true, stderr: true };
  const stream = await nyxd.client.containers.attachRun({ image, args: ["true"], autoRemove: true, attach });
  let code: number | undefined;
  for await (const item of stream) {
    if (item.kind === "event" && item.event.event === "exit") code = item.event.exitCode;
  }
  if (code !== 0) throw new Error(`The container ended with exit code ${code}`);
}

async function rowRun(b: Bench): Promise<void> {
  let n = 0;
  const results = await alternate({
    "bare crun": () => timed(() => b.crun(["run", "-b", b.bundle, `b${n++}`])),
    "nyx API": () => timed(() => attachedRun(b)),
  }, rounds);
  print(
    judge("run `true` through the API until exit, ms", results, { of: "nyx API", against: ["bare crun"], atMost: 1.8 }),
  );
  const peer = (p: Peer | undefined) => p && (() => timed(() => p.run("run", "--rm", b.image, "true")));
  const cli = await alternate({
    "nyx run --rm": () => timed(() => b.nyx("run", "--rm", b.image, "true")),
    docker: peer(b.peers.docker),
    podman: peer(b.peers.podman),
  }, Math.min(rounds, 10));
  print(judge("run --rm as typed, ms", cli, { of: "nyx run --rm", against: ["docker", "podman"], atMost: 0.15 }));
}

async function rowExec(b: Bench): Promise<void> {
  const { id } = await b.nyxd.client.containers.run({ image: b.image, args: ["sleep", "1000"] });
  const peers = Object.values(b.peers);
  for (const p of peers) await p.run("run", "-d", "--name", "xx", b.image, "sleep", "1000");
  const peer = (p: Peer | undefined) => p && (() => timed(() => p.run("exec", "xx", "true")));
  const exec = await alternate({
    "nyx exec": () => timed(() => b.nyx("exec", id, "true")),
    docker: peer(b.peers.docker),
    podman: peer(b.peers.podman),
  }, rounds);
  print(judge("exec as typed, ms", exec, { of: "nyx exec", against: ["docker", "podman"], atMost: 0.5 }));
  const list = (p: Peer | undefined) => p && (() => timed(() => p.run("ps")));
  const ps = await alternate({
    "nyx ps": () => timed(() => b.nyx("ps")),
    docker: list(b.peers.docker),
    podman: list(b.peers.podman),
  }, rounds);
  print(judge("ps as typed, ms", ps, { of: "nyx ps", against: ["docker"], atMost: 1.5 }));
  await b.nyxd.client.containers.remove(id, { force: true });
  for (const p of peers) await p.run("rm", "-f", "xx");
}

/** 200 MB of lines of 100 bytes, from the start until the container has ended and all is in the log. */
async function rowLogs(b: Bench, times: number): Promise<void> {
  const program = `yes ${"x".repeat(99)} | head -n 2000000`;
  const job = async (run: (...args: string[]) => Promise<string>, ...options: string[]) => {
    await run("run", "-d", "--name", "chatty", ...options, b.image, "sh", "-c", program);
    await run("wait", "chatty");
  };
  const subject = (run: (...args: string[]) => Promise<string>, ...options: string[]) => async () => {
    const ms = await timed(() => job(run, ...options));
    await run("rm", "-f", "chatty");
    return ms;
  };
  const { docker, podman } = b.peers;
  const logs = await alternate({
    nyx: subject(b.nyx, "--log-opt", "max-size=500m"),
    docker: docker && subject((...a) => docker.run(...a), "--log-driver", "json-file"),
    podman: podman && subject((...a) => podman.run(...a), "--log-driver", "k8s-file"),
  }, times);
  print(judge("200 MB of log, ms", logs, { of: "nyx", against: ["podman"], atMost: 1 }));
  print(judge("200 MB of log, ms", logs, { of: "nyx", against: ["docker"], atMost: 1 / 3 }));
}

async function rowMany(b: Bench, count: number, repeats: number): Promise<void> {
  const names = Array.from({ length: count }, (_, i) => `many${i}`);
  const start = (run: (...args: string[]) => Promise<string>) => (n: string) =>
    run("run", "-d", "--name", n, b.image, "sleep", "1000");
  const subjects = (job: (run: (...args: string[]) => Promise<string>) => Promise<unknown>) => {
    const of = (p: Peer | undefined) => p && (() => timed(() => job((...a) => p.run(...a))));
    return { nyx: () => timed(() => job(b.nyx)), docker: of(b.peers.docker), podman: of(b.peers.podman) };
  };
  const inRow: Record<string, number[]> = {};
  const atOnce: Record<string, number[]> = {};
  const removed: Record<string, number[]> = {};
  const note = (to: Record<string, number[]>, from: Record<string, number[]>) => {
    for (const [k, v] of Object.entries(from)) (to[k] ??= []).push(...v);
  };
  const once = async (to: Record<string, number[]>, job: Parameters<typeof subjects>[0]) => {
    for (const [name, subject] of Object.entries(subjects(job))) if (subject) note(to, { [name]: [await subject()] });
  };
  const removeAll = async () => {
    note(removed, { nyx: [await timed(() => b.nyx("rm", "-f", ...names))] });
    for (const p of Object.values(b.peers)) {
      // Without it podman waits for the containers to heed TERM.
      const noGrace = p.name === "podman" ? ["-t", "0"] : [];
      note(removed, { [p.name]: [await timed(() => p.run("rm", "-f", ...noGrace, ...names))] });
    }
  };
  for (let round = 0; round < repeats; round++) {
    await once(inRow, async (run) => {
      for (const n of names) await start(run)(n);
    });
    await removeAll();
    await once(atOnce, (run) => Promise.all(names.map(start(run))));
    await removeAll();
  }
  const against = ["docker", "podman"];
  print(judge(`${count} x run -d in a row, ms`, inRow, { of: "nyx", against, atMost: 0.25 }));
  print(judge(`${count} x run -d at once, ms`, atOnce, { of: "nyx", against, atMost: 0.25 }));
  print(judge(`rm -f of ${count}, ms`, removed, { of: "nyx", against, atMost: 0.25 }));
}

async function rowMemory(b: Bench): Promise<void> {
  const idle = await pssMiB([b.nyxd.pid]);
  const dockerPids = await b.peers.docker?.daemonPids();
  const docker = dockerPids === undefined ? undefined : await pssMiB(dockerPids);
  print(
    judge("PSS of the idle daemon, MiB", { nyxd: [idle], ...(docker === undefined ? {} : { docker: [docker] }) }, {
      of: "nyxd",
      against: [],
      atMost: 100,
    }),
  );
  const ids = await Promise.all(
    Array.from({ length: 20 }, () => b.nyxd.client.containers.run({ image: b.image, args: ["sleep", "1000"] })),
  );
  await new Promise((r) => setTimeout(r, 1000));
  const monitors = (await sh("pgrep", ["-f", "nyx-monitor"])).trim().split("\n").map(Number);
  const each = (await pssMiB([b.nyxd.pid]) - idle + await pssMiB(monitors)) / ids.length;
  print(judge("PSS for each running container, MiB", { nyxd: [each] }, { of: "nyxd", against: [], atMost: 1 }));
  await Promise.all(ids.map((r) => b.nyxd.client.containers.remove(r.id, { force: true })));
}

async function rowVersion(dir: string): Promise<void> {
  await Deno.writeTextFile(`${dir}/empty.js`, "");
  const empty = () => sh(Deno.execPath(), ["run", "--quiet", "--no-check", "--no-config", `${dir}/empty.js`]);
  const results = await alternate({
    "empty script": () => timed(empty),
    "nyx --version": () => timed(() => sh(`${dir}/bin/nyx`, ["--version"])),
  }, rounds * 2);
  print(judge("nyx --version, ms", results, { of: "nyx --version", against: ["empty script"], atMost: 1.6 }));
}

async function rowPull(b: Bench, ref: string, row: string, atMost: number): Promise<void> {
  const cpu: Record<string, number[]> = {};
  const measured = async (name: string, daemon: number[], job: () => Promise<unknown>) => {
    const before = await cpuMs([Deno.pid, ...daemon]) - await ownCpuMs();
    const ms = await timed(job);
    (cpu[name] ??= []).push(await cpuMs([Deno.pid, ...daemon]) - await ownCpuMs() - before);
    return ms;
  };
  const subjects = {
    nyx: async () => {
      const ms = await measured("nyx", [b.nyxd.pid], () => b.nyxd.client.images.pull({ ref }));
      await b.nyxd.client.images.remove(ref, { force: true });
      return ms;
    },
    ...Object.fromEntries(
      Object.values(b.peers).map((p) => [p.name, async () => {
        const insecure = p.name === "podman" ? ["--tls-verify=false"] : [];
        const ms = await measured(p.name, await p.daemonPids(), () => p.run("pull", "-q", ...insecure, ref));
        await p.run("rmi", "-f", ref);
        return ms;
      }]),
    ),
  };
  const against = ["docker", "podman"];
  print(judge(`${row}, ms`, await alternate(subjects, 3), { of: "nyx", against, atMost }));
  print(judge(`${row}, CPU ms`, cpu, { of: "nyx", against, atMost: 0.5 }));
}

async function pulls(b: Bench, dir: string, port: number): Promise<void> {
  const small = Array.from({ length: 60 }, (_, i) => [{ path: `f${i}`, data: `layer ${i}\n` }]);
  busyboxImage({ layers: small, dir: `${dir}/sixty` });
  await pushLayout(`${dir}/sixty`, "latest", `127.0.0.1:${port}/sixty:latest`);
  await rowPull(b, `127.0.0.1:${port}/sixty:latest`, "pull of 60 small layers", 0.35);
  const content = await Deno.readFile((await debianRoot()).tar);
  const where = onDisk ? "on disk" : "on tmpfs";
  for (const [name, count] of [["one layer", 1], ["10 layers", 10]] as const) {
    const layers = count === 1 ? [content] : splitTar(content, count);
    busyboxImage({ layers, dir: `${dir}/debian${count}` });
    const ref = `127.0.0.1:${port}/debian${count}:latest`;
    await pushLayout(`${dir}/debian${count}`, "latest", ref);
    await rowPull(b, ref, `pull + unpack of a Debian root of ${name}, ${where}`, onDisk ? 0.6 : 0.35);
  }
}

async function main(): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-bench-" });
  if (!onDisk) await sh("mount", ["-t", "tmpfs", "-o", "size=12g", "tmpfs", dir]);
  try {
    await using registry = await startRegistry();
    const image = `127.0.0.1:${registry.port}/busybox:latest`;
    busyboxImage({ dir: `${dir}/layout` });
    await pushLayout(`${dir}/layout`, "latest", image);
    await using nyxd = await startNyxd({ logLevel: "warn", parentDir: dir });
    await nyxd.client.images.pull({ ref: image });
    await using docker = await startDocker(dir) ?? { [Symbol.asyncDispose]: () => Promise.resolve() };
    await using podman = await startPodman(dir) ?? { [Symbol.asyncDispose]: () => Promise.resolve() };
    const peers: Bench["peers"] = {};
    for (const p of [docker, podman]) if ("run" in p) peers[p.name] = p;
    for (const p of Object.values(peers)) {
      await sh("skopeo", [
        "copy",
        "--src-tls-verify=false",
        `docker://${image}`,
        `docker-archive:${dir}/${p.name}.tar:${image}`,
      ]);
      await p.run("load", "-i", `${dir}/${p.name}.tar`);
    }
    const bench: Bench = {
      nyxd,
      image,
      peers,
      crun: (args) => sh("crun", ["--root", `${dir}/crun`, "--cgroup-manager=cgroupfs", ...args]),
      bundle: await bareBundle(dir),
      nyx: await installedCli(dir, nyxd.socket),
    };
    console.log("| row | medians | ratio | budget | |\n| --- | --- | --- | --- | --- |");
    if (wants("version")) await rowVersion(dir);
    if (wants("run")) await rowRun(bench);
    if (wants("exec")) await rowExec(bench);
    if (wants("many")) await rowMany(bench, 20, 2);
    if (wanted.has("logs")) await rowLogs(bench, Math.min(rounds, 3));
    if (wanted.has("many100")) await rowMany(bench, 100, 1);
    if (wants("compose")) await rowCompose(bench, dir, Math.min(rounds, 7));
    if (wants("build")) await rowBuild(bench, dir, Math.min(rounds, 7));
    if (wants("pull")) await pulls(bench, dir, registry.port);
    if (wants("memory")) {
      // Workers for pulls end after a minute without one.
      await new Promise((r) => setTimeout(r, 65_000));
      await rowMemory(bench);
    }
    const info = await nyxd.client.system.info();
    console.log(
      `\nEvent loop delay of nyxd's main thread over the last minute: ${JSON.stringify(info.eventLoopDelayMs)}`,
    );
  } finally {
    await sh("umount", ["-R", "-l", dir]).catch(() => {});
    // crun makes the parent of a container's cgroup and leaves it.
    const mine = ["/sys/fs/cgroup", "-depth", "-type", "d", "-path", `*/nyx-bench-${Deno.pid}*`];
    await sh("find", [...mine, "-exec", "rmdir", "{}", "+"]).catch(() => {});
    Deno.removeSync(dir, { recursive: true });
  }
}

await inOwnNamespaces(import.meta.filename ?? "");
if (!await installed("crun")) throw new Error("crun is missing: run `deno task setup`");
await main();
