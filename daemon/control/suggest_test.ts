import assert from "node:assert/strict";
import { suggest } from "./suggest.ts";

Deno.test("suggest finds typing mistakes and other spellings, and keeps silent when nothing is near", () => {
  const known = ["image", "args", "env", "hostname", "workingDir", "publish", "tty"];
  assert.equal(suggest("imgae", known), "image");
  assert.equal(suggest("working_dir", known), "workingDir");
  assert.equal(suggest("Hostname", known), "hostname");
  assert.equal(suggest("ty", known), "tty");
  assert.equal(suggest("volumes", known), undefined);
  assert.equal(suggest("", known), undefined);
  assert.equal(suggest("x".repeat(1_000_000), known), undefined);
});
