import assert from "node:assert/strict";
import { isErrno } from "../errno.ts";
import { MOUNT_ATTR, MS, SETATTR, UMOUNT } from "../mount.ts";
import { AT_FDCWD, O } from "../file.ts";
import { linuxFile } from "./file.ts";
import { linuxMount } from "./mount.ts";

const kernel = linuxMount();
const files = linuxFile();

Deno.test("linuxMount: failures carry errno and the path", async () => {
  if (Deno.uid() !== 0) throw new Error("This test mounts: run it as root");
  assert.throws(() => kernel.fsopen("nosuchfs"), (e) => isErrno(e, "ENODEV"));
  assert.throws(() => kernel.umount2("/etc/hostname", UMOUNT.NOFOLLOW), (e) => isErrno(e, "EINVAL"));
  assert.throws(() => kernel.mount("x", "/nyx-none", "tmpfs", 0), /mount "\/nyx-none" failed: ENOENT/);
  assert.throws(() => kernel.umount2("/a\0b", 0), (e) => isErrno(e, "EINVAL"));
  assert.equal(await kernel.umount2Async("/nyx-none", 0), false);
});

Deno.test("linuxMount: fsconfig errors leave the kernel's words", () => {
  const fd = kernel.fsopen("tmpfs");
  try {
    assert.throws(() => kernel.fsconfig(fd, 1, "nyx", "1"), (e) => isErrno(e, "EINVAL"));
    assert.match(kernel.fsMessages(fd), /Unknown parameter 'nyx'/);
    assert.equal(kernel.fsMessages(fd), "");
  } finally {
    files.close(fd);
  }
});

Deno.test("linuxMount: a mount is made read-only and private by mount_setattr, and taken off", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-mount-" });
  kernel.mount("nyx-test", dir, "tmpfs", MS.NOSUID, "size=64k");
  try {
    kernel.mountSetattr(AT_FDCWD, dir, SETATTR.RECURSIVE, {
      set: MOUNT_ATTR.RDONLY,
      clear: 0,
      propagation: MS.PRIVATE,
    });
    assert.throws(() => Deno.writeTextFileSync(`${dir}/x`, ""), /Read-only/);
  } finally {
    assert.equal(await kernel.umount2Async(dir, UMOUNT.NOFOLLOW), true);
    Deno.removeSync(dir);
  }
});

Deno.test("linuxMount: immutable is set and cleared", () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-mount-" });
  const fd = files.openat(AT_FDCWD, `${dir}/f`, O.RDWR | O.CREAT | O.CLOEXEC, 0o600);
  try {
    const before = kernel.getInodeFlags(fd);
    kernel.setInodeFlags(fd, before | 0x10);
    assert.throws(() => Deno.removeSync(`${dir}/f`), /not permitted/);
    kernel.setInodeFlags(fd, before);
  } finally {
    files.close(fd);
    Deno.removeSync(dir, { recursive: true });
  }
});
