import assert from "node:assert/strict";
import { SyscallError } from "../../ffi/errno.ts";
import { type OverlayKernel, OverlayMounter } from "./overlay.ts";

const EINVAL = 22;

/** The calls that probing makes, on a kernel that accepts these keys; undefined stands for all of them, as before Linux 6.5. */
function kernelTaking(keys: readonly string[] | undefined): OverlayKernel {
  const calls: Partial<OverlayKernel> = {
    fsopen: () => 100,
    fsconfig(_fd, _command, key = "") {
      if (keys !== undefined && !keys.includes(key)) throw new SyscallError("fsconfig", EINVAL, key);
    },
    close: () => {},
  };
  return calls as OverlayKernel;
}

Deno.test("OverlayMounter.mode: a kernel that takes every key until the mount is made is not taken for one with lowerdir+", () => {
  assert.equal(new OverlayMounter(kernelTaking(undefined)).mode, "page");
  assert.equal(new OverlayMounter(kernelTaking(["lowerdir"])).mode, "page");
  assert.equal(new OverlayMounter(kernelTaking(["lowerdir", "lowerdir+"])).mode, "append");
});
