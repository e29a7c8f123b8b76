import assert from "node:assert/strict";
import { demandRoom, mostContainers } from "./capacity.ts";

Deno.test("demandRoom: refuses at the bound that the limit allows, names the limit and the fix; unlimited never refuses", () => {
  const most = mostContainers(500);
  assert.equal(most, 33);
  demandRoom(500, most - 1);
  assert.throws(() => demandRoom(500, most), {
    code: "resource_exhausted",
    message: /500 file descriptors.*LimitNOFILE/,
  });
  demandRoom(-1, 1e6);
  demandRoom(undefined, 1e6);
});
