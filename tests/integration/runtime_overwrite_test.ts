/** CVE-2019-5736: a container that gets hold of the runtime's program while it enters, and overwrites it for the next start on the host. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ociProcess, StreamsFixture } from "../support/streams_fixture.ts";

const hashOf = (path: string) => createHash("sha256").update(Deno.readFileSync(path)).digest("hex");

function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch {
    return 0;
  }
}

/** Keeps open the program of every process that enters the container, and writes to it when it no longer runs. */
const THIEF = `while :; do
  for p in /proc/[0-9]*; do
    [ "$p" = /proc/1 ] && continue
    echo x >>/tmp/tried
    {
      cmp -s /bin/busybox /proc/self/fd/3 && continue
      echo x >>/tmp/held
      i=0
      while [ $i -lt 300 ]; do
        i=$((i+1))
        { echo overwritten; } >/proc/self/fd/3 && break
      done
    } 3<"$p/exe"
  done
done 2>/dev/null`;

Deno.test("streams.exec: a container opens the runtime through /proc/<pid>/exe while it enters, to overwrite it: the host's file stays", async () => {
  await using t = StreamsFixture.bare();
  const crun = `${t.baseDir}/crun-copy`;
  Deno.copyFileSync("/usr/bin/crun", crun);
  Deno.chmodSync(crun, 0o755);
  const before = hashOf(crun);
  await t.init({}, crun);
  Deno.symlinkSync("busybox", `${t.baseDir}/rootfs/bin/cmp`);
  Deno.writeTextFileSync(`${t.baseDir}/rootfs/bin/reexec`, "#!/proc/self/exe\n", { mode: 0o755 });
  const { id } = await t.launch(["/bin/sh", "-c", THIEF]);
  for (let round = 0; round < 15; round++) {
    for (const program of ["/bin/true", "/bin/reexec"]) {
      await t.host.call("exec", {
        id,
        execId: `enter-${round}-${program.slice(5)}`,
        process: ociProcess([program]),
        tty: false,
        stdin: false,
        detach: false,
      });
    }
  }
  assert.ok(sizeOf(`${t.baseDir}/rootfs/tmp/tried`) > 0, "the container saw nobody enter");
  assert.equal(hashOf(crun), before);
});
