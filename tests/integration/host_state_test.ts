import assert from "node:assert/strict";
import { type HostState, hostState, leftovers } from "../support/host_state.ts";

async function sh(command: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("sh", { args: ["-c", command] }).output();
  assert.ok(success, `${command}: ${new TextDecoder().decode(stderr)}`);
}

/** A cgroup file system that a directory can be made in. */
function cgroupRoot(): string {
  try {
    return Deno.statSync("/sys/fs/cgroup/pids").isDirectory ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup";
  } catch {
    return "/sys/fs/cgroup";
  }
}

/** Whether a line of a kind with a text in it is among the leftovers. */
function sees(before: HostState, after: HostState, kind: string, text: string): boolean {
  return leftovers(before, after).some((line) => line.startsWith(`${kind}: `) && line.includes(text));
}

Deno.test("hostState: one leftover of each kind is seen while it is there, and none after it has gone", async () => {
  if (Deno.uid() !== 0) throw new Error("This test needs root: it leaves things behind on purpose");
  const tag = crypto.randomUUID().slice(0, 6);
  const dir = `/tmp/nyx-left-${tag}`;
  const cgroup = `${cgroupRoot()}/nyx-left-${tag}`;
  const inner = `${cgroup}/${"ab".repeat(32)}`;
  const before = await hostState();
  const kinds: [kind: string, text: string][] = [
    ["temporary", dir],
    ["mounts", dir],
    ["netns", `nyx-${tag}`],
    ["links", `nyxl${tag}`],
    ["addresses", "198.51.100.77/32"],
    ["routes", "198.51.100.78"],
    ["tables", `nyx-left-${tag}`],
    ["cgroups", `nyx-left-${tag}`],
    ["cgroups", "ab".repeat(32)],
    ["processes", `nyx-left-${tag}`],
  ];
  let child: Deno.ChildProcess | undefined;
  try {
    await sh(`mkdir ${dir} && mount -t tmpfs nyx-left ${dir}`);
    await sh(`ip netns add nyx-${tag}`);
    await sh(`ip link add nyxl${tag} type bridge && ip link set nyxl${tag} up`);
    await sh(`ip addr add 198.51.100.77/32 dev nyxl${tag} && ip route add 198.51.100.78/32 dev nyxl${tag}`);
    await sh(`nft add table inet nyx-left-${tag}`);
    await sh(`mkdir -p ${inner}`);
    child = new Deno.Command("sh", { args: ["-c", "read -r line", `nyx-left-${tag}`], stdin: "piped" }).spawn();
    const during = await hostState();
    for (const [kind, text] of kinds) assert.ok(sees(before, during, kind, text), `${kind} ${text}`);
  } finally {
    await child?.stdin.close().catch(() => {});
    await child?.status;
    for (
      const undo of [
        `umount ${dir}`,
        `rmdir ${dir}`,
        `ip netns del nyx-${tag}`,
        `ip link del nyxl${tag}`,
        `nft delete table inet nyx-left-${tag}`,
        `rmdir ${inner} ${cgroup}`,
      ]
    ) await sh(undo).catch(() => {});
  }
  const after = await hostState();
  for (const [kind, text] of kinds) assert.ok(!sees(before, after, kind, text), `${kind} ${text} is gone`);
});

Deno.test("leftovers: counts what occurs more often than before, and does not mind what has gone", () => {
  const before = { mounts: ["/a", "/b", "/b"], links: ["lo"] };
  assert.deepEqual(leftovers(before, { mounts: ["/b", "/b"], links: ["lo"] }), []);
  assert.deepEqual(leftovers(before, { mounts: ["/a", "/b", "/b", "/b"], links: ["lo", "x"] }), [
    "mounts: /b",
    "links: x",
  ]);
  assert.deepEqual(leftovers({}, { tables: ["table ip nyx"] }), ["tables: table ip nyx"]);
});
