import assert from "node:assert/strict";
import { applyChange } from "./image_change.ts";

Deno.test("applyChange: lists and shell form, environment by name, labels with quotes, ports with their protocol", () => {
  assert.deepEqual(applyChange({}, 'CMD ["a","b c"]').Cmd, ["a", "b c"]);
  assert.deepEqual(applyChange({ Shell: ["/bin/bash", "-c"] }, "cmd echo hi").Cmd, ["/bin/bash", "-c", "echo hi"]);
  assert.deepEqual(applyChange({ Env: ["A=1", "B=2"] }, 'ENV A=3 C="x y"').Env, ["A=3", "B=2", "C=x y"]);
  assert.deepEqual(applyChange({}, "ENV NAME some words").Env, ["NAME=some words"]);
  assert.deepEqual(applyChange({ Labels: { a: "1" } }, "LABEL b='c d'").Labels, { a: "1", b: "c d" });
  assert.deepEqual(applyChange({}, "EXPOSE 80 53/udp").ExposedPorts, { "80/tcp": {}, "53/udp": {} });
  assert.equal(applyChange({}, "WORKDIR /x").WorkingDir, "/x");
});

Deno.test("applyChange: an unknown instruction, a missing value and a relative directory are refused by name", () => {
  for (const bad of ["RUN rm -rf /", "CMD", "", "WORKDIR x", "EXPOSE 99999", "LABEL novalue"]) {
    assert.throws(() => applyChange({}, bad), { code: "invalid_argument" }, bad);
  }
});
