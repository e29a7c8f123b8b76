import assert from "node:assert/strict";
import { NyxError } from "../../daemon/spec/errors.ts";
import { faultyKernel } from "../support/fake_kernel.ts";
import { shareDirectory, unmountBelow } from "../../workers/rootfs/mount_table.ts";
import { RootfsOperations } from "../../workers/rootfs/operations.ts";
import type { OverlayKernel } from "../../workers/rootfs/overlay.ts";
import { RootfsFixture, sh } from "./rootfs_fixture.ts";

for (const mode of ["append", "page"] as const) {
  Deno.test(`rootfs.mount (${mode}): 500 layers show, top wins, and the order holds`, async () => {
    await using f = new RootfsFixture(mode);
    const layers = Array.from({ length: 500 }, (_, i) =>
      f.layer((fs) => {
        Deno.writeTextFileSync(`${fs}/of-${i}`, String(i));
        Deno.writeTextFileSync(`${fs}/top`, String(i));
      }));
    const { rootfs } = await f.ops.mount(f.request("c500", layers));
    assert.equal(Deno.readTextFileSync(`${rootfs}/top`), "499");
    assert.equal(Deno.readTextFileSync(`${rootfs}/of-0`), "0");
    assert.equal([...Deno.readDirSync(rootfs)].length, 501);
    Deno.writeTextFileSync(`${rootfs}/new`, "x");
    assert.equal(Deno.readTextFileSync(`${f.baseDir}/overlay/c500/diff/new`), "x");
    assert.deepEqual([...Deno.readDirSync(`${f.baseDir}/overlay/c500`)].map((e) => e.name).sort(), [
      "diff",
      "merged",
      "work",
    ]);
  });

  Deno.test(`rootfs.mount (${mode}): a second mount keeps the first one`, async () => {
    await using f = new RootfsFixture(mode);
    const layers = [f.layer((fs) => Deno.writeTextFileSync(`${fs}/a`, "a"))];
    await f.ops.mount(f.request("c1", layers));
    await f.ops.mount(f.request("c1", layers));
    assert.equal(f.mountCount, 1);
    assert.deepEqual(await f.unmount("c1"), { removed: true });
    assert.equal(f.mountCount, 0);
    assert.deepEqual(await f.unmount("c1"), { removed: false });
  });

  Deno.test(`rootfs.mount (${mode}): a volatile overlay can be mounted again after a crash left its mark`, async () => {
    await using f = new RootfsFixture(mode);
    const layers = [f.layer((fs) => Deno.writeTextFileSync(`${fs}/a`, "a"))];
    const { rootfs } = await f.ops.mount(f.request("c1", layers, { volatile: true }));
    assert.match(sh(`grep ' ${rootfs} ' /proc/self/mounts`), /volatile/);
    await f.unmount("c1");
    assert.ok(Deno.statSync(`${f.baseDir}/overlay/c1/work/work/incompat/volatile`).isDirectory);
    await f.ops.mount(f.request("c1", layers, { volatile: true }));
    assert.equal(f.mountCount, 1);
  });

  Deno.test(`rootfs.mount (${mode}): whiteouts and opaque directories hide what lies below`, async () => {
    await using f = new RootfsFixture(mode);
    const layers = [
      f.layer((fs) => sh(`cd ${fs} && touch gone kept && mkdir op && touch op/old`)),
      f.layer((fs) =>
        sh(`cd ${fs} && mknod gone c 0 0 && mkdir op && touch op/new && setfattr -n trusted.overlay.opaque -v y op`)
      ),
    ];
    const { rootfs } = await f.ops.mount(f.request("c1", layers));
    assert.deepEqual([...Deno.readDirSync(rootfs)].map((e) => e.name).sort(), ["kept", "op"]);
    assert.deepEqual([...Deno.readDirSync(`${rootfs}/op`)].map((e) => e.name), ["new"]);
  });
}

Deno.test("rootfs.mount (page): 5 layers go by their own names, 200 by short ones, and any base directory will do", async () => {
  for (const count of [5, 200]) {
    await using f = new RootfsFixture("page");
    const layers = Array.from({ length: count }, (_, i) => f.layer((fs) => Deno.writeTextFileSync(`${fs}/${i}`, "")));
    const { rootfs } = await f.ops.mount(f.request("c1", layers));
    assert.equal([...Deno.readDirSync(rootfs)].length, count);
    await f.ops.mount(f.request("c1", layers));
    assert.equal(f.mountCount, 1);
    assert.match(
      sh(`grep ' ${rootfs} ' /proc/self/mounts`),
      count === 5 ? /lowerdir=[0-9a-f]{32}\/fs:/ : /lowerdir=0:1:2/,
    );
  }
});

for (const mode of ["append", "page"] as const) {
  Deno.test(`rootfs.mount (${mode}): a base directory with colon, comma and backslash`, async () => {
    await using f = new RootfsFixture(mode, undefined, "a:b,c\\d e");
    const layers = [f.layer((fs) => Deno.writeTextFileSync(`${fs}/a`, "a"))];
    const { rootfs } = await f.ops.mount(f.request("c1", layers));
    assert.equal(Deno.readTextFileSync(`${rootfs}/a`), "a");
    await f.ops.mount(f.request("c1", layers));
    assert.equal(f.mountCount, 1);
  });
}

Deno.test("rootfs.mount: both ways give the same tree", async () => {
  const trees: string[] = [];
  for (const mode of ["append", "page"] as const) {
    await using f = new RootfsFixture(mode);
    const layers = [1, 2, 3].map((n) =>
      f.layer((fs) =>
        sh(`cd ${fs} && mkdir d && echo ${n} >d/f && ln -s d l${n} && chown ${n}:${n} d/f && chmod 640 d/f`)
      )
    );
    const { rootfs } = await f.ops.mount(f.request("c1", layers));
    trees.push(sh(`cd ${rootfs} && find . -printf '%p %y %m %U:%G %l\\n' | sort && cat d/f`));
  }
  assert.equal(trees[0], trees[1]);
});

Deno.test("rootfs.mount: the root directory has the owner and mode of the image's", async () => {
  await using f = new RootfsFixture();
  const layers = [f.layer((fs) => sh(`chmod 1777 ${fs} && chown 5:6 ${fs}`))];
  const { rootfs } = await f.ops.mount(f.request("c1", layers));
  assert.equal(sh(`stat -c '%a %u:%g' ${rootfs}`).trim(), "1777 5:6");
  assert.equal(sh(`stat -c '%a' ${f.baseDir}/overlay/c1`).trim(), "700");
});

Deno.test("rootfs.mount: a layer whose record says opaqueRoot hides all lower layers", async () => {
  await using f = new RootfsFixture();
  const layers = [
    f.layer((fs) => Deno.writeTextFileSync(`${fs}/low`, "")),
    f.layer((fs) => Deno.writeTextFileSync(`${fs}/high`, ""), { opaqueRoot: true }),
  ];
  const { rootfs } = await f.ops.mount(f.request("c1", layers));
  assert.deepEqual([...Deno.readDirSync(rootfs)].map((e) => e.name), ["high"]);
});

Deno.test("rootfs.mount: a missing layer is named, and nothing stays mounted", async () => {
  await using f = new RootfsFixture();
  const good = f.layer(() => {});
  const lost = f.layer(() => {});
  Deno.removeSync(`${f.layersDir}/${lost.slice(7, 39)}`, { recursive: true });
  await assert.rejects(f.ops.mount(f.request("c1", [good, lost])), (e: unknown) => {
    assert.ok(e instanceof NyxError);
    assert.equal(e.code, "not_found");
    assert.match(e.message, new RegExp(lost));
    return true;
  });
  assert.equal(f.mountCount, 0);
});

Deno.test("rootfs.mount: more than 500 layers are refused", async () => {
  await using f = new RootfsFixture();
  const one = f.layer(() => {});
  await assert.rejects(f.ops.mount(f.request("c1", Array.from({ length: 501 }, () => one))), /overlayfs takes 500/);
});

Deno.test("rootfs.mount: ids that would leave the base directory are refused", async () => {
  await using f = new RootfsFixture();
  for (const id of ["../x", ".", "", "a/b", "a\0b"]) {
    await assert.rejects(f.ops.mount(f.request(id, [])), /Invalid id/, id);
  }
});

Deno.test("rootfs.mount: a kernel without lowerdir+ gets one page of options", async () => {
  const real = new RootfsFixture();
  const { kernel } = faultyKernel(real.kernel, [{ call: "fsconfig", nth: 1, errno: "EINVAL" }]);
  await real[Symbol.asyncDispose]();
  await using f = new RootfsFixture(undefined, kernel);
  const layers = [f.layer((fs) => Deno.writeTextFileSync(`${fs}/a`, "a"))];
  const { rootfs } = await f.ops.mount(f.request("c1", layers));
  assert.equal(Deno.readTextFileSync(`${rootfs}/a`), "a");
});

Deno.test("rootfs.mount: a failing move_mount leaves nothing mounted and a second try succeeds", async () => {
  const real = new RootfsFixture();
  const { kernel } = faultyKernel(real.kernel, [{ call: "moveMount", nth: 1, errno: "ENOMEM" }]);
  await real[Symbol.asyncDispose]();
  await using f = new RootfsFixture("append", kernel);
  const layers = [f.layer((fs) => Deno.writeTextFileSync(`${fs}/a`, "a"))];
  await assert.rejects(f.ops.mount(f.request("c1", layers)), /ENOMEM/);
  assert.equal(f.mountCount, 0);
  await f.ops.mount(f.request("c1", layers));
  assert.equal(f.mountCount, 1);
});

Deno.test("rootfs.unmount: removeDirs takes the container's directory away, also while a file inside is open", async () => {
  await using f = new RootfsFixture();
  const layers = [f.layer((fs) => Deno.writeTextFileSync(`${fs}/a`, "a"))];
  const { rootfs } = await f.ops.mount(f.request("c1", layers));
  using held = Deno.openSync(`${rootfs}/b`, { write: true, create: true });
  assert.deepEqual(await f.unmount("c1", true), { removed: true });
  await f.ops.settle();
  assert.deepEqual([...Deno.readDirSync(`${f.baseDir}/overlay`)], []);
  assert.equal(f.mountCount, 0);
  assert.deepEqual(f.warnings, []);
  held.writeSync(new Uint8Array(1));
});

Deno.test("rootfs: a removal that a crash cut off is finished by the next process's first request", async () => {
  await using f = new RootfsFixture();
  const layers = [f.layer((fs) => Deno.writeTextFileSync(`${fs}/a`, "a"))];
  for (const first of ["mount", "listMounts"]) {
    await f.ops.mount(f.request("c1", layers));
    await f.ops.mount(f.request("c2", layers));
    Deno.renameSync(`${f.baseDir}/overlay/c1`, `${f.baseDir}/overlay/.trash-c1-1-0`);
    const next = new RootfsOperations(f.kernel);
    if (first === "mount") await next.mount(f.request("c2", layers));
    else {assert.deepEqual(await next.listMounts({ baseDir: f.baseDir }), {
        targets: [`${f.baseDir}/overlay/c2/merged`],
      });}
    await next.settle();
    assert.deepEqual([...Deno.readDirSync(`${f.baseDir}/overlay`)].map((e) => e.name), ["c2"]);
    assert.equal(f.mountCount, 1);
  }
});

/** The kernel with an unmount that takes as long as a sync of a busy disk. */
function slowUnmount(f: RootfsFixture, until: Promise<void>): OverlayKernel {
  return {
    ...f.kernel,
    umount2Async: async (target, flags) => {
      f.kernel.umount2(target, flags);
      await until;
      return true;
    },
  };
}

Deno.test("rootfs.unmount: answers while the disk still syncs, holds up no other container, and the same one waits", async () => {
  await using f = new RootfsFixture();
  const { promise: synced, resolve: finishSync } = Promise.withResolvers<void>();
  const ops = new RootfsOperations(slowUnmount(f, synced));
  const layers = [f.layer((fs) => Deno.writeTextFileSync(`${fs}/a`, "a"))];
  await ops.mount(f.request("c1", layers));
  assert.deepEqual(await ops.unmount({ id: "c1", baseDir: f.baseDir, removeDirs: false }), { removed: true });
  assert.equal(f.mountCount, 0);
  await ops.mount(f.request("c2", layers));
  let again = false;
  const waiting = ops.mount(f.request("c1", layers)).then(() => again = true);
  await new Promise((r) => setTimeout(r, 20));
  assert.equal(again, false);
  finishSync();
  await waiting;
  assert.equal(f.mountCount, 2);
  await ops.settle();
});

Deno.test("rootfs.mount: page mode leaves the working directory as it was", async () => {
  const before = Deno.cwd();
  await using f = new RootfsFixture("page");
  await f.ops.mount(f.request("c1", [f.layer(() => {})]));
  assert.equal(sh("pwd -P").trim(), before);
});

Deno.test("rootfs.shareDir: makes a shared mount once; unmountBelow undoes it with all below", async () => {
  await using f = new RootfsFixture();
  const dir = `${f.baseDir}/netns`;
  Deno.mkdirSync(`${dir}/deep/er`, { recursive: true });
  assert.equal(shareDirectory(f.kernel, dir), true);
  assert.equal(shareDirectory(f.kernel, dir), false);
  assert.match(sh(`grep ' ${dir} ' /proc/self/mountinfo`), /shared:/);
  sh(`mount -t tmpfs nyx-test ${dir}/deep && mkdir ${dir}/deep/er && mount -t tmpfs nyx-test ${dir}/deep/er`);
  assert.deepEqual(await unmountBelow(f.kernel, dir), [`${dir}/deep/er`, `${dir}/deep`, dir]);
  assert.deepEqual(await unmountBelow(f.kernel, dir), []);
});
