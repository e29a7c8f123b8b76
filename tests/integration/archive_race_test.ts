/** A running container that swaps what `cp` has just made in it for a link, which nyxd would follow to the host. */

import assert from "node:assert/strict";
import { AT_FDCWD, O } from "../../ffi/file.ts";
import { linuxFile } from "../../ffi/linux/file.ts";
import { LayerWriter } from "../../workers/extract/layer_writer.ts";
import { TarReader } from "../../workers/extract/tar/reader.ts";
import { pathStat, unarchive } from "../../workers/rootfs/archive.ts";
import { tar, type TarEntry } from "../support/tar_writer.ts";
import { sh } from "./rootfs_fixture.ts";

const real = linuxFile();

/** Unpacks into a root whose container swaps `name` for a link to a file of the host right after it was made. */
function unpackRaced(dir: string, entries: TarEntry[], name: string, raced: "mknodat" | "mkdirat"): void {
  const swap = () => sh(`cd ${dir}/root && rm -rf ${name} && ln -s ${dir}/secret ${name}`);
  const kernel: typeof real = {
    ...real,
    mknodat: (...args) => {
      real.mknodat(...args);
      if (raced === "mknodat") swap();
    },
    mkdirat: (...args) => {
      real.mkdirat(...args);
      if (raced === "mkdirat") swap();
    },
  };
  const fd = real.openat(AT_FDCWD, `${dir}/root`, O.RDONLY | O.DIRECTORY | O.CLOEXEC);
  try {
    using writer = new LayerWriter(kernel, fd, { maxBytes: 1e9, maxEntries: 1000, plain: true });
    const reader = new TarReader(writer);
    reader.push(tar(entries));
    reader.finish();
  } finally {
    real.close(fd);
  }
}

for (
  const [what, entries, name, raced] of [
    ["FIFO", [{ path: "pipe", type: "fifo", mode: 0o4777 }], "pipe", "mknodat"],
    ["device", [{ path: "node", type: "char", major: 1, minor: 3, mode: 0o4777 }], "node", "mknodat"],
    ["directory that the archive implies", [{ path: "made/file", data: "x" }], "made", "mkdirat"],
    ["directory of the archive", [{ path: "made/", mode: 0o777 }], "made", "mkdirat"],
  ] as [string, TarEntry[], string, "mknodat" | "mkdirat"][]
) {
  Deno.test(`cp into a running container: it swaps the ${what} that was just made for a link to the host, to have a mode changed; the file stays`, () => {
    const dir = Deno.makeTempDirSync({ prefix: "nyx-race-" });
    try {
      Deno.mkdirSync(`${dir}/root`);
      Deno.writeTextFileSync(`${dir}/secret`, "host", { mode: 0o600 });
      const before = sh(`stat -c '%a %u %g %s %Y' ${dir}/secret`);
      assert.throws(() => unpackRaced(dir, entries, name, raced));
      assert.equal(sh(`stat -c '%a %u %g %s %Y' ${dir}/secret`), before);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  });
}

Deno.test("cp: a container ends and its pid becomes a process of the host, to have the host's files read and written; both are refused", async () => {
  const root = { kind: "process" as const, pid: Deno.pid };
  assert.throws(() => pathStat(real, { root, path: "/etc/passwd" }), { code: "failed_precondition" });
  const { port1, port2 } = new MessageChannel();
  await assert.rejects(unarchive(real, { root, path: "/tmp", port: port1 }), { code: "failed_precondition" });
  port2.close();
});
