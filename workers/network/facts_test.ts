import assert from "node:assert/strict";
import { mapKey } from "./facts.ts";

Deno.test("mapKey: protocols have names, also on a host without /etc/protocols, where nft prints numbers", () => {
  assert.equal(mapKey("6 . 8080"), "tcp . 8080");
  assert.equal(mapKey("0.0.0.0/0 . 17 . 9000-9010"), "0.0.0.0/0 . udp . 9000-9010");
  assert.equal(mapKey("10.0.0.6 . tcp . 6"), "10.0.0.6 . tcp . 6");
});
