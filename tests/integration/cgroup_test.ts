/** The parent cgroup of all containers, on the real kernel. */

import assert from "node:assert/strict";
import { linuxFile } from "../../ffi/linux/file.ts";
import { removeCgroupParent } from "../../workers/streams/cgroup.ts";
import { exists } from "../../workers/streams/directories.ts";

const files = linuxFile();

/** A pids cgroup `PARENT/CHILD` with a process in it that lives for some seconds. */
async function occupied(seconds: number) {
  const root = exists("/sys/fs/cgroup/cgroup.controllers") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
  const parent = `/nyx-test-${crypto.randomUUID().slice(0, 8)}`;
  const dir = `${root}${parent}/child`;
  Deno.mkdirSync(dir, { recursive: true });
  const process = new Deno.Command("sh", {
    args: ["-c", `echo $$ >${dir}/cgroup.procs && echo in && exec sleep ${seconds}`],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  await process.stdout.getReader().read();
  return {
    parent,
    path: `${root}${parent}`,
    async [Symbol.asyncDispose]() {
      await process.status;
      await removeCgroupParent(files, parent, false);
    },
  };
}

Deno.test("removeCgroupParent: a process on its way out is waited for, unless containers are alive", async () => {
  await using group = await occupied(0.6);
  const began = performance.now();
  await removeCgroupParent(files, group.parent, true);
  assert.ok(performance.now() - began < 500);
  assert.ok(exists(group.path), "removed under a process");
  await removeCgroupParent(files, group.parent, false);
  assert.ok(!exists(group.path), "left once the process had gone");
});
