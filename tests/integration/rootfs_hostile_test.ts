/** What a hostile image tries against the parts of the rootfs stage that look into its root. */

import assert from "node:assert/strict";
import {
  ensureDirectory,
  ensureFile,
  openRoot,
  readSmallFile,
  SMALL_FILE_BYTES,
} from "../../workers/rootfs/in_root.ts";
import { RootfsFixture, sh } from "./rootfs_fixture.ts";

/** A root and a directory outside that must stay as it is. */
async function withRoot(run: (f: RootfsFixture, root: string, outside: string) => Promise<void> | void): Promise<void> {
  await using f = new RootfsFixture();
  const root = `${f.baseDir}/root`;
  const outside = `${f.baseDir}/outside`;
  sh(`mkdir -p ${root}/etc ${outside} && echo secret >${outside}/shadow`);
  const before = sh(`cd ${outside} && find . -printf '%p %m %U %T@\\n' | sort && cat shadow`);
  await run(f, root, outside);
  assert.equal(sh(`cd ${outside} && find . -printf '%p %m %U %T@\\n' | sort && cat shadow`), before);
}

function read(f: RootfsFixture, root: string, path: string): string | undefined {
  using fd = openRoot(f.kernel, root);
  const bytes = readSmallFile(f.kernel, fd.fd, path);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

function mkdir(f: RootfsFixture, root: string, path: string): void {
  using fd = openRoot(f.kernel, root);
  ensureDirectory(f.kernel, fd.fd, path)[Symbol.dispose]();
}

function touch(f: RootfsFixture, root: string, path: string): void {
  using fd = openRoot(f.kernel, root);
  ensureFile(f.kernel, fd.fd, path);
}

Deno.test("readSmallFile: /etc/passwd as a link to a host file gives nothing of the host", async () => {
  await withRoot((f, root, outside) => {
    sh(`ln -s ${outside}/shadow ${root}/etc/passwd`);
    assert.equal(read(f, root, "/etc/passwd"), undefined);
    sh(`ln -sf ../../../../../../../../..${outside}/shadow ${root}/etc/passwd`);
    assert.equal(read(f, root, "/etc/passwd"), undefined);
    sh(`rm ${root}/etc/passwd; rmdir ${root}/etc; ln -s ${outside} ${root}/etc; mkdir -p ${root}${outside}`);
    assert.equal(read(f, root, "/etc/shadow"), undefined);
    sh(`echo inside >${root}${outside}/shadow`);
    assert.equal(read(f, root, "/etc/shadow"), "inside\n");
  });
});

Deno.test("readSmallFile: /proc magic links do not lead out", async () => {
  await withRoot((f, root) => {
    sh(`ln -s /proc/self/root/etc/hostname ${root}/etc/passwd`);
    assert.equal(read(f, root, "/etc/passwd"), undefined);
    sh(`mkdir ${root}/proc && mount -t proc nyx-test ${root}/proc`);
    try {
      assert.throws(() => {
        if (read(f, root, "/etc/passwd") === undefined) throw new Error("nothing");
      });
    } finally {
      sh(`umount ${root}/proc`);
    }
  });
});

Deno.test("readSmallFile: a FIFO does not block, a device is not opened, a directory is no file", async () => {
  await withRoot((f, root) => {
    sh(`cd ${root}/etc && mkfifo passwd && mknod group c 1 5 && mkdir shells && ln -s loop loop`);
    for (const name of ["passwd", "group", "shells", "loop", "missing", "passwd/x"]) {
      assert.equal(read(f, root, `/etc/${name}`), undefined, name);
    }
  });
});

Deno.test("readSmallFile: a huge file is cut after the last whole line within 1 MiB", async () => {
  await withRoot((f, root) => {
    const line = "root:x:0:0:root:/root:/bin/sh\n";
    Deno.writeTextFileSync(`${root}/etc/passwd`, line.repeat(50_000));
    const text = read(f, root, "/etc/passwd") ?? "";
    assert.ok(text.length <= SMALL_FILE_BYTES && text.length > SMALL_FILE_BYTES - line.length);
    assert.ok(text.endsWith(line));
    sh(`truncate -s 1T ${root}/etc/group`);
    assert.equal(read(f, root, "/etc/group"), "");
  });
});

Deno.test("ensureDirectory: missing parts are made with mode 0755 whatever the umask is", async () => {
  await withRoot((f, root) => {
    const before = f.kernel.umask(0o077);
    try {
      mkdir(f, root, "/a/b/./c/");
      mkdir(f, root, "/a/b/c");
    } finally {
      f.kernel.umask(before);
    }
    assert.equal(sh(`stat -c '%a %u' ${root}/a ${root}/a/b/c`), "755 0\n755 0\n");
  });
});

Deno.test("ensureDirectory: links out of the root are followed inside it, dangling ones too", async () => {
  await withRoot((f, root, outside) => {
    sh(
      `ln -s ${outside} ${root}/work && ln -s ../../../../..${outside} ${root}/etc/up && ln -s nowhere/deep ${root}/rel`,
    );
    mkdir(f, root, "/work/a");
    assert.ok(Deno.statSync(`${root}${outside}/a`).isDirectory);
    mkdir(f, root, "/etc/up/b");
    assert.ok(Deno.statSync(`${root}${outside}/b`).isDirectory);
    mkdir(f, root, "/rel/c");
    assert.ok(Deno.statSync(`${root}/nowhere/deep/c`).isDirectory);
    mkdir(f, root, "/../../x");
    assert.ok(Deno.statSync(`${root}/x`).isDirectory);
  });
});

Deno.test("ensureDirectory: a loop of links and a file in the way are errors that name the path", async () => {
  await withRoot((f, root) => {
    sh(`cd ${root} && ln -s l2 l1 && ln -s l1 l2 && touch file && ln -s self/x self`);
    for (const path of ["/l1", "/l1/x", "/self", "/file", "/file/x"]) {
      assert.throws(() => mkdir(f, root, path), /Could not make directory/, path);
    }
  });
});

Deno.test("ensureFile: makes an empty file, follows dangling links inside, keeps what is there", async () => {
  await withRoot((f, root, outside) => {
    touch(f, root, "/etc/hosts");
    assert.equal(sh(`stat -c '%a %s' ${root}/etc/hosts`), "644 0\n");
    sh(`ln -s ${outside}/resolv.conf ${root}/etc/resolv.conf && echo keep >${root}/etc/hostname`);
    touch(f, root, "/etc/resolv.conf");
    assert.ok(Deno.statSync(`${root}${outside}/resolv.conf`).isFile);
    touch(f, root, "/etc/hostname");
    assert.equal(Deno.readTextFileSync(`${root}/etc/hostname`), "keep\n");
    assert.throws(() => touch(f, root, "/etc"), /has a directory there/);
    assert.throws(() => touch(f, root, "/"), /root itself/);
  });
});

Deno.test("rootfs.mount: ensureDirs and readFiles answer for a hostile root in one request", async () => {
  await using f = new RootfsFixture();
  const layers = [
    f.layer((fs) =>
      sh(`cd ${fs} && mkdir etc && ln -s /etc/shadow etc/passwd && echo 'a:x:1:' >etc/group && ln -s /tmp srv`)
    ),
  ];
  const { rootfs, files } = await f.ops.mount(
    f.request("c1", layers, { ensureDirs: ["/srv/app"], readFiles: ["/etc/passwd", "/etc/group"] }),
  );
  assert.deepEqual(Object.keys(files), ["/etc/group"]);
  assert.ok(Deno.statSync(`${rootfs}/tmp/app`).isDirectory);
});

Deno.test("rootfs.mount: an image's /dev, /proc or /sys that is a link to the host or a file becomes a directory of the container", async () => {
  await using f = new RootfsFixture();
  const outside = `${f.baseDir}/outside`;
  sh(`mkdir ${outside}`);
  const layers = [
    f.layer((fs) =>
      sh(`cd ${fs} && mkdir -p .${outside} && ln -s ${outside} dev && ln -s ../../../../..${outside} proc && touch sys`)
    ),
  ];
  const { rootfs } = await f.ops.mount(f.request("c1", layers));
  assert.equal(sh(`cd ${rootfs} && stat -c '%n %F %a' dev proc sys`).trim().split("\n").length, 3);
  for (const name of ["dev", "proc", "sys"]) assert.ok(Deno.lstatSync(`${rootfs}/${name}`).isDirectory, name);
  sh(`touch ${rootfs}/dev/x`);
  assert.equal(sh(`ls ${outside} ${rootfs}${outside}`).includes("x\n"), false);
});

Deno.test("rootfs.mount: a real /dev of an image keeps what is in it", async () => {
  await using f = new RootfsFixture();
  const { rootfs } = await f.ops.mount(
    f.request("c1", [f.layer((fs) => sh(`mkdir -m 700 ${fs}/dev && touch ${fs}/dev/kept`))]),
  );
  assert.equal(sh(`stat -c %a ${rootfs}/dev; ls ${rootfs}/dev`), "700\nkept\n");
});
