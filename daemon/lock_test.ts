import assert from "node:assert/strict";
import { lockBaseDir } from "./lock.ts";

Deno.test("lockBaseDir: another user made the base directory beforehand, to own all containers: refused", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    Deno.mkdirSync(`${dir}/run`);
    (await lockBaseDir(dir))[Symbol.dispose]();
    Deno.chownSync(dir, 65534, 65534);
    await assert.rejects(lockBaseDir(dir), { code: "failed_precondition", message: /belongs to user 65534/ });
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
