import assert from "node:assert/strict";
import { SyscallError } from "../../ffi/errno.ts";
import type { SocketKernel } from "../../ffi/socket.ts";
import { RuleWatch } from "./rules.ts";
import { ConfigWatch } from "./watch.ts";

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !done(); i++) await new Promise((r) => setTimeout(r, 20));
}

Deno.test("ConfigWatch: what its listener throws is told, and it goes on watching", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-watch-" });
  try {
    const errors: string[] = [];
    const broken = () => {
      throw new Error("cannot read it");
    };
    using watch = new ConfigWatch(dir, broken, (e) => errors.push(String(e)));
    watch.start();
    for (const n of [1, 2]) {
      Deno.writeTextFileSync(`${dir}/${n}`, "");
      await until(() => errors.length >= n);
      assert.deepEqual(errors, Array(n).fill("Error: cannot read it"));
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("RuleWatch: a socket that fails is taken for a loss, and ends nothing", async () => {
  const fake: Partial<SocketKernel> = {
    socket: () => 9,
    bind: () => {},
    setsockopt: () => {},
    closeSocket: () => {},
    tryRecv: () => {
      throw new SyscallError("recv", 12);
    },
  };
  let losses = 0;
  using watch = new RuleWatch(fake as SocketKernel, new Uint8Array(16), () => losses++);
  watch.start();
  await until(() => losses > 1);
  assert.ok(losses > 1);
});
