/**
 * Log throughput against podman's conmon (k8s-file): 2,000,000 lines of 100 bytes written, then read back; and how long another
 * container's operation takes meanwhile. By hand, as root: `deno run -A tests/bench/logs.ts [rounds]`.
 */

import { StreamsFixture } from "../support/streams_fixture.ts";
import { ByteReceiver } from "../../workers/channel.ts";

const rounds = Number(Deno.args[0] ?? 3);
const LINES = 2_000_000;
const PROGRAM = `yes ${"x".repeat(99)} | head -n ${LINES}`;
const median = (a: number[]): number => a.sort((x, y) => x - y)[a.length >> 1] ?? NaN;

async function podman(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("podman", { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

async function readBack(t: StreamsFixture, id: string): Promise<{ ms: number; bytes: number }> {
  const start = performance.now();
  const { port1, port2 } = new MessageChannel();
  const receiver = new ByteReceiver(port1);
  let bytes = 0;
  const reading = (async () => {
    for await (const chunk of receiver) bytes += chunk.byteLength;
  })();
  await t.host.call("logs", {
    id,
    port: port2,
    follow: false,
    stdout: true,
    stderr: true,
    timestamps: false,
    format: "text",
  }, { transfer: [port2] });
  await reading;
  return { ms: performance.now() - start, bytes };
}

await using t = await StreamsFixture.create("nyx-bench-");
const hasPodman = await new Deno.Command("podman", { args: ["--version"], stdout: "null" }).output().then(
  (o) => o.success,
  () => false,
);
const write: number[] = [];
const read: number[] = [];
const podmanWrite: number[] = [];
const podmanRead: number[] = [];
const delays: number[] = [];
for (let i = 0; i < rounds; i++) {
  const start = performance.now();
  const { id } = await t.launch(PROGRAM, { log: { maxSizeBytes: 2 ** 31 } });
  let running = true;
  const probe = (async () => {
    while (running) {
      const before = performance.now();
      await t.host.call("closeStdin", { id: "nobody" }).catch(() => {});
      delays.push(performance.now() - before);
      await new Promise((r) => setTimeout(r, 10));
    }
  })();
  await t.exit(id, 60_000);
  write.push(performance.now() - start);
  running = false;
  await probe;
  const back = await readBack(t, id);
  if (back.bytes !== LINES * 100) throw new Error(`Read back ${back.bytes} bytes`);
  read.push(back.ms);
  await t.host.call("delete", { id });
  await t.host.call("removeLog", { id });
  if (!hasPodman) continue;
  const name = `nyxbench${Deno.pid}`;
  const rootfs = `${t.baseDir}/rootfs`;
  const args = [
    "run",
    "--name",
    name,
    "--network=none",
    "--log-driver=k8s-file",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
    "--rootfs",
    rootfs,
  ];
  // The same cgroup layout as ours: podman's crun refuses the hybrid one too.
  const before = performance.now();
  const ran = await new Deno.Command("unshare", {
    args: [
      "-m",
      "--propagation",
      "slave",
      "sh",
      "-c",
      `umount -l /sys/fs/cgroup/unified 2>/dev/null; exec podman "$@"`,
      "sh",
      ...args.slice(0, 1),
      "-d",
      ...args.slice(1),
      "/bin/sh",
      "-c",
      PROGRAM,
    ],
    stdout: "null",
    stderr: "inherit",
  }).output();
  if (!ran.success) continue;
  await podman("wait", name);
  podmanWrite.push(performance.now() - before);
  const beforeRead = performance.now();
  await new Deno.Command("sh", { args: ["-c", `podman logs ${name} | wc -c`], stdout: "null" }).output();
  podmanRead.push(performance.now() - beforeRead);
  await podman("rm", "-f", name);
}
const line = (what: string, a: number[], b: number[], budget: number) =>
  console.log(
    `${what.padEnd(12)} nyx ${median(a).toFixed(0)} ms, podman ${median(b).toFixed(0)} ms, ratio ${
      (median(a) / median(b)).toFixed(2)
    } (budget ${budget})`,
  );
line("write 200 MB", write, podmanWrite, 1);
line("read back", read, podmanRead, 0.25);
console.log(
  `another call meanwhile: p50 ${median(delays).toFixed(1)} ms, max ${Math.max(...delays).toFixed(1)} ms (budget 20)`,
);
