import assert from "node:assert/strict";
import { SyscallError } from "../../ffi/errno.ts";
import { linuxFile } from "../../ffi/linux/file.ts";
import { faultyKernel } from "./fake_kernel.ts";

Deno.test("faultyKernel: the nth call fails with the errno asked for, the others are the real ones", () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-fake-" });
  try {
    const { kernel, calls, struck } = faultyKernel(linuxFile(), [{ call: "mkdirat", nth: 2, errno: "ENOSPC" }]);
    kernel.mkdirat(-100, `${dir}/a`, 0o700);
    assert.throws(() => kernel.mkdirat(-100, `${dir}/b`, 0o700), (e: unknown) => {
      assert.ok(e instanceof SyscallError);
      assert.equal(e.code, "ENOSPC");
      return true;
    });
    kernel.mkdirat(-100, `${dir}/c`, 0o700);
    assert.deepEqual([...Deno.readDirSync(dir)].map((e) => e.name).sort(), ["a", "c"]);
    assert.deepEqual(calls.map((c) => c.errno), [undefined, "ENOSPC", undefined]);
    assert.equal(struck.length, 1);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("faultyKernel: a real failure is recorded, a fault for a call that does not exist is refused", () => {
  const { kernel, calls } = faultyKernel(linuxFile());
  assert.throws(() => kernel.mkdirat(-100, "/proc/nyx", 0o700), SyscallError);
  assert.notEqual(calls[0]?.errno, undefined);
  assert.throws(() => faultyKernel(linuxFile(), [{ call: "mkdirr", errno: "EIO" }]), /No kernel call/);
});
