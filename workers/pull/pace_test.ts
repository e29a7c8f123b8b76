import assert from "node:assert/strict";
import { Pace } from "./stall.ts";

Deno.test("Pace: a registry sends a byte a time, never silent and never done: it is given up; one that is slow is not", async () => {
  const drip = new Pace(100, "hostile.example");
  const slow = new Pace(100, "slow.example");
  let given: unknown;
  for (let i = 0; i < 15; i++) {
    await new Promise((r) => setTimeout(r, 20));
    slow.took(100);
    try {
      drip.took(1);
    } catch (e) {
      given ??= e;
    }
  }
  assert.match(String(given), /hostile\.example sent \d+ bytes .* less than 256 a second/);
});
