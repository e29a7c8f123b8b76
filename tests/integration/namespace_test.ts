import assert from "node:assert/strict";
import { isErrno } from "../../ffi/errno.ts";
import { linuxNamespace } from "../../ffi/linux/namespace.ts";

const ns = linuxNamespace();
const here = () => Deno.readLinkSync("/proc/thread-self/ns/net");

Deno.test("withNewNetns runs the section inside and comes back, also after a throw", () => {
  const home = here();
  const { fd, value } = ns.withNewNetns(here);
  try {
    assert.notEqual(value, home);
    assert.equal(here(), home);
    assert.equal(ns.withNetns(fd, here), value);
    assert.throws(() => ns.withNetns(fd, () => assert.fail("inside")), /inside/);
    assert.equal(here(), home);
  } finally {
    ns.closeNamespace(fd);
  }
  assert.throws(() => ns.withNewNetns(() => assert.fail("inside")), /inside/);
  assert.equal(here(), home);
});

Deno.test("withNetns refuses a section that returns a promise, after going home", () => {
  const home = here();
  assert.throws(() => ns.withNewNetns(() => Promise.resolve(1)), /must be synchronous/);
  assert.equal(here(), home);
});

Deno.test("pinNamespace keeps a netns without any process; unpinNamespace takes the mount and the file away", () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-namespace-" });
  const path = `${dir}/one`;
  try {
    const { fd, value } = ns.withNewNetns(here);
    assert.equal(ns.isPinned(path), false);
    ns.pinNamespace(fd, path);
    ns.closeNamespace(fd);
    assert.equal(ns.isPinned(path), true);
    const again = ns.openNamespace(path);
    assert.equal(ns.withNetns(again, here), value);
    ns.pinNamespace(again, path);
    ns.closeNamespace(again);
    assert.equal(ns.unpinNamespace(path), true);
    assert.equal(ns.unpinNamespace(path), false);
    assert.throws(() => ns.openNamespace(path), (e) => isErrno(e, "ENOENT"));
  } finally {
    ns.unpinNamespace(path);
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("shareDirectory is idempotent and shared; unshareDirectory undoes it", () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-namespace-" });
  const path = `${dir}/with space`;
  Deno.mkdirSync(path);
  try {
    assert.equal(ns.shareDirectory(path), true);
    assert.equal(ns.shareDirectory(path), false);
    const line = Deno.readTextFileSync("/proc/self/mountinfo").split("\n").find((l) => l.includes("with\\040space"));
    assert.match(line ?? "", / shared:\d+ /);
    assert.equal(ns.unshareDirectory(path), true);
    assert.equal(ns.unshareDirectory(path), false);
  } finally {
    ns.unshareDirectory(path);
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("writeKernelFile inside a netns changes that netns alone", () => {
  const file = "/proc/sys/net/ipv4/ip_default_ttl";
  const before = ns.readKernelFile(file);
  const { fd, value } = ns.withNewNetns(() => {
    ns.writeKernelFile(file, "77");
    return ns.readKernelFile(file).trim();
  });
  ns.closeNamespace(fd);
  assert.equal(value, "77");
  assert.equal(ns.readKernelFile(file), before);
  assert.throws(() => ns.writeKernelFile("/proc/sys/net/nonsense", "1"), (e) => isErrno(e, "ENOENT"));
});
