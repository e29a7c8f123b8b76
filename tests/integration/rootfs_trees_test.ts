/** Removal, measuring, copying and comparing of trees, against rm, du, cp and find. */

import assert from "node:assert/strict";
import { AT_FDCWD, O, S } from "../../ffi/file.ts";
import { populateVolume } from "../../workers/rootfs/copy_up.ts";
import { removeTree } from "../../workers/rootfs/remove_tree.ts";
import { diskUsage } from "../../workers/rootfs/usage.ts";
import { faultyKernel } from "../support/fake_kernel.ts";
import { RootfsFixture, sh } from "./rootfs_fixture.ts";

const LISTING =
  "find . -printf '%p %y %m %U:%G %l %s %T@ %n\\n' | sed 's/^\\(.* d .*\\) [0-9]* \\([0-9.]* [0-9]*\\)$/\\1 \\2/' | sort";

Deno.test("removeTree: odd names, links, fifos, devices and closed directories go; what links point to stays", async () => {
  await using f = new RootfsFixture();
  const t = `${f.baseDir}/t`;
  sh(
    `mkdir -p ${t}/a/b ${f.baseDir}/out && touch ${f.baseDir}/out/keep && cd ${t} && ln -s ${f.baseDir}/out l && ln -s ../../out a/l
    mkfifo a/f && mknod a/d c 1 3 && printf x >"$(printf 'a/\\377\\nname')" && chmod 000 a/b && ln a/f a/f2`,
  );
  assert.equal(await removeTree(f.kernel, t), true);
  assert.throws(() => Deno.lstatSync(t));
  assert.ok(Deno.statSync(`${f.baseDir}/out/keep`).isFile);
  assert.equal(await removeTree(f.kernel, t), false);
  assert.equal(await removeTree(f.kernel, `${t}/below/nothing`), false);
});

Deno.test("removeTree: a link or a file as the tree itself goes, not what it points to", async () => {
  await using f = new RootfsFixture();
  sh(`cd ${f.baseDir} && mkdir real && touch real/x file && ln -s real link`);
  assert.equal(await removeTree(f.kernel, `${f.baseDir}/link`), true);
  assert.equal(await removeTree(f.kernel, `${f.baseDir}/file`), true);
  assert.ok(Deno.statSync(`${f.baseDir}/real/x`).isFile);
});

Deno.test("removeTree: a mount inside, also a bind of the same disk, stops it and loses nothing", async () => {
  await using f = new RootfsFixture();
  const t = `${f.baseDir}/t`;
  sh(`mkdir -p ${t}/m ${f.baseDir}/out && touch ${f.baseDir}/out/keep && mount --bind ${f.baseDir}/out ${t}/m`);
  try {
    await assert.rejects(removeTree(f.kernel, t), /mounted at "m" below it/);
    await assert.rejects(removeTree(f.kernel, `${t}/m`), /it is a mount point/);
    assert.ok(Deno.statSync(`${f.baseDir}/out/keep`).isFile);
  } finally {
    sh(`umount ${t}/m`);
  }
});

Deno.test("removeTree: 3000 levels deep and past PATH_MAX", async () => {
  await using f = new RootfsFixture();
  const t = `${f.baseDir}/t`;
  Deno.mkdirSync(t);
  let fd = f.kernel.openat(AT_FDCWD, t, O.PATH | O.DIRECTORY);
  for (let i = 0; i < 3000; i++) {
    f.kernel.mkdirat(fd, "dd", 0o700);
    f.kernel.mknodat(fd, "x", S.IFREG | 0o600, 0, 0);
    const below = f.kernel.openat(fd, "dd", O.PATH | O.DIRECTORY);
    f.kernel.close(fd);
    fd = below;
  }
  f.kernel.close(fd);
  assert.equal(await removeTree(f.kernel, t), true);
  assert.throws(() => Deno.lstatSync(t));
});

Deno.test("removeTree: immutable and append-only files of a container do not stay", async () => {
  await using f = new RootfsFixture();
  const t = `${f.baseDir}/t`;
  sh(`mkdir -p ${t}/d && touch ${t}/i ${t}/d/x && chattr +i ${t}/i && chattr +a ${t}/d/x && chattr +i ${t}/d`);
  assert.equal(await removeTree(f.kernel, t), true);
  assert.throws(() => Deno.lstatSync(t));
});

Deno.test("removeTree: a failing unlink is told, and a second run finishes", async () => {
  await using f = new RootfsFixture();
  const t = `${f.baseDir}/t`;
  sh(`mkdir -p ${t}/a && touch ${t}/a/1 ${t}/a/2`);
  const { kernel } = faultyKernel(f.kernel, [{ call: "unlinkat", nth: 2, errno: "EIO" }]);
  await assert.rejects(removeTree(kernel, t), /EIO/);
  assert.equal(await removeTree(f.kernel, t), true);
});

Deno.test("diskUsage: agrees with du on links, holes, directories, and missing paths are 0", async () => {
  await using f = new RootfsFixture();
  const t = `${f.baseDir}/t`;
  sh(
    `mkdir -p ${t}/a/b/c && cd ${t} && dd if=/dev/zero of=big bs=1M count=3 2>/dev/null && ln big a/link && truncate -s 1G hole &&
    for i in $(seq 300); do echo $i >a/b/f$i; done; ln -s big sym; mkfifo ff; mkdir m; mount -t tmpfs nyx-test m && dd if=/dev/zero of=m/x bs=1M count=2 2>/dev/null`,
  );
  try {
    const [bytes, missing, file] = await diskUsage(f.kernel, [t, `${t}/none`, `${t}/big`]);
    assert.equal(bytes, Number(sh(`du -sx -B1 ${t}`).split("\t")[0]));
    assert.equal(missing, 0);
    assert.equal(file, Number(sh(`du -s -B1 ${t}/big`).split("\t")[0]));
  } finally {
    sh(`umount ${t}/m`);
  }
});

Deno.test("diskUsage: can be cancelled", async () => {
  await using f = new RootfsFixture();
  await assert.rejects(diskUsage(f.kernel, ["/usr"], AbortSignal.abort(new Error("stop"))), /stop/);
});

/** An image directory with everything that a copy can lose. */
function fillImage(fs: string): void {
  sh(
    `mkdir -p ${fs}/data/sub ${fs}/etc && cd ${fs}/data && echo hello >f && chmod 4755 f && chown 7:8 f && ln f sub/hard &&
    ln -s /etc/shadow sym && mkfifo -m 620 pipe && mknod -m 640 dev c 1 5 && chown -h 3:4 sym && printf x >"$(printf 'n\\377\\n')" &&
    setfattr -n user.note -v hi f && setfattr -n trusted.x -v y sub && truncate -s 5M hole && setcap cap_net_raw+ep sub/hard 2>/dev/null || setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= sub/hard
    touch -d '2001-02-03 04:05:06.123456789' f sub . && chown 11:12 . && chmod 2770 . && touch -d '2001-02-03 04:05:06.1' .`,
  );
}

Deno.test("populateVolume: the copy equals the image's directory: content, owner, modes, times, links, attributes", async () => {
  await using f = new RootfsFixture();
  const { rootfs } = await f.ops.mount(f.request("c1", [f.layer(fillImage)]));
  const volumeDir = `${f.baseDir}/v/_data`;
  Deno.mkdirSync(volumeDir, { recursive: true });
  const { copied } = await f.ops.populateVolume({ rootfs, target: "/data", volumeDir });
  assert.equal(copied, 8);
  const list = (dir: string) =>
    sh(`cd ${dir} && ${LISTING}; cat f; getfattr -d -m- -e hex -R . 2>/dev/null | grep -v overlay`);
  assert.equal(list(volumeDir), list(`${rootfs}/data`));
  assert.deepEqual([...Deno.readDirSync(`${f.baseDir}/v`)].map((e) => e.name), ["_data"]);
});

Deno.test("populateVolume: a volume with anything in it, and a target that is no directory, are left alone", async () => {
  await using f = new RootfsFixture();
  const { rootfs } = await f.ops.mount(f.request("c1", [f.layer(fillImage)]));
  const volumeDir = `${f.baseDir}/v/_data`;
  Deno.mkdirSync(volumeDir, { recursive: true });
  assert.equal((await f.ops.populateVolume({ rootfs, target: "/none", volumeDir })).copied, 0);
  assert.equal((await f.ops.populateVolume({ rootfs, target: "/data/f", volumeDir })).copied, 0);
  Deno.writeTextFileSync(`${volumeDir}/mine`, "");
  assert.equal((await f.ops.populateVolume({ rootfs, target: "/data", volumeDir })).copied, 0);
  assert.deepEqual([...Deno.readDirSync(volumeDir)].map((e) => e.name), ["mine"]);
});

Deno.test("populateVolume: a copy cut off by a failure is begun again", async () => {
  await using f = new RootfsFixture();
  const { rootfs } = await f.ops.mount(f.request("c1", [f.layer(fillImage)]));
  const volumeDir = `${f.baseDir}/v/_data`;
  Deno.mkdirSync(volumeDir, { recursive: true });
  const { kernel } = faultyKernel(f.kernel, [{ call: "symlinkat", nth: 1, errno: "ENOSPC" }]);
  await assert.rejects(populateVolume(kernel, rootfs, "/data", volumeDir), /Could not fill volume.*ENOSPC/);
  assert.equal((await f.ops.populateVolume({ rootfs, target: "/data", volumeDir })).copied, 8);
});

Deno.test("populateVolume: an image whose target links to a host directory copies nothing of the host", async () => {
  await using f = new RootfsFixture();
  const { rootfs } = await f.ops.mount(
    f.request("c1", [f.layer((fs) => sh(`ln -s /etc ${fs}/data; mkdir ${fs}/etc; touch ${fs}/etc/own`))]),
  );
  const volumeDir = `${f.baseDir}/v/_data`;
  Deno.mkdirSync(volumeDir, { recursive: true });
  await f.ops.populateVolume({ rootfs, target: "/data", volumeDir });
  assert.deepEqual([...Deno.readDirSync(volumeDir)].map((e) => e.name), ["own"]);
});

Deno.test("diff: A, C and D as the container made them, whiteouts and directories made anew included", async () => {
  await using f = new RootfsFixture();
  const layers = [
    f.layer((fs) => sh(`cd ${fs} && mkdir -p d/old e gone && touch d/a d/old/x e/1 e/2 gone/f top below`)),
    f.layer((fs) => sh(`cd ${fs} && mknod below c 0 0 && touch second`)),
  ];
  const { rootfs } = await f.ops.mount(f.request("c1", layers));
  sh(
    `cd ${rootfs} && echo >>d/a && rm top && rm -r gone && rm -r e && mkdir e && touch e/2 e/new && mkdir -p n/m && touch n/m/f &&
    echo >below && mv second third && chmod 700 d/old`,
  );
  const changes = await f.ops.diff({ id: "c1", baseDir: f.baseDir, layers });
  assert.deepEqual(changes.map((c) => `${c.kind} ${c.path}`), [
    "A /below",
    "C /d",
    "C /d/a",
    "C /d/old",
    "C /e",
    "D /e/1",
    "C /e/2",
    "A /e/new",
    "D /gone",
    "A /n",
    "A /n/m",
    "A /n/m/f",
    "D /second",
    "A /third",
    "D /top",
  ]);
  assert.deepEqual(await f.ops.diff({ id: "other", baseDir: f.baseDir, layers }), []);
});
