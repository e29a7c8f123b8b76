/** A container that runs with a volume while it is filled for another one from a hostile image. */

import assert from "node:assert/strict";
import { linuxFile } from "../../ffi/linux/file.ts";
import { linuxMount } from "../../ffi/linux/mount.ts";
import { populateVolume } from "../../workers/rootfs/copy_up.ts";
import { bindSource } from "../../workers/rootfs/volume_mounts.ts";
import { sh } from "./rootfs_fixture.ts";

Deno.test("populateVolume: a neighbour swaps the FIFO that was just made for a link to a file of the host, to have its mode changed; it stays", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-race-" });
  try {
    sh(
      `mkdir -p ${dir}/root/data ${dir}/volume/_data && mkfifo ${dir}/root/data/pipe && chmod 4777 ${dir}/root/data/pipe`,
    );
    Deno.writeTextFileSync(`${dir}/secret`, "host", { mode: 0o600 });
    const real = { ...linuxFile(), ...linuxMount() };
    const raced: typeof real = {
      ...real,
      mknodat: (...args) => {
        real.mknodat(...args);
        sh(`rm ${dir}/volume/_data/pipe && ln -s ${dir}/secret ${dir}/volume/_data/pipe`);
      },
    };
    await assert.rejects(populateVolume(raced, `${dir}/root`, "/data", `${dir}/volume/_data`), /pipe/);
    assert.equal((Deno.statSync(`${dir}/secret`).mode ?? 0) & 0o7777, 0o600);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("populateVolume: FIFOs and devices keep owner and mode", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-race-" });
  try {
    sh(`mkdir -p ${dir}/root/data ${dir}/volume/_data && cd ${dir}/root/data && mkfifo pipe && mknod node c 1 3 &&
      chown 1000:1001 pipe node && chmod 4751 pipe && chmod 640 node`);
    await populateVolume({ ...linuxFile(), ...linuxMount() }, `${dir}/root`, "/data", `${dir}/volume/_data`);
    const listing = sh(`cd ${dir}/volume/_data && stat -c '%n %F %a %u:%g %t,%T' node pipe`);
    assert.equal(listing, "node character special file 640 1000:1001 1,3\npipe fifo 4751 1000:1001 0,0\n");
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("bindSource: a user of the host swaps the directory that -v just made for a link, to have a file's mode changed; it stays", () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-race-" });
  try {
    Deno.writeTextFileSync(`${dir}/secret`, "host", { mode: 0o600 });
    const real = { ...linuxFile(), ...linuxMount() };
    const raced: typeof real = {
      ...real,
      mkdirat: (...args) => {
        real.mkdirat(...args);
        sh(`rmdir ${dir}/new && ln -s ${dir}/secret ${dir}/new`);
      },
    };
    assert.throws(() => bindSource(raced, `${dir}/new`, true));
    assert.equal((Deno.statSync(`${dir}/secret`).mode ?? 0) & 0o7777, 0o600);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
