import { strict as assert } from "node:assert";
import { backoffMs, DEFAULT_RETRY, isRetryableStatus, parseRetryAfter, sleep } from "./retry.ts";

Deno.test("backoffMs: doubles, keeps under the cap, and jitters over the upper half", () => {
  const policy = { ...DEFAULT_RETRY, baseMs: 100, capMs: 1000 };
  assert.deepEqual([1, 2, 3, 4, 5, 9].map((n) => backoffMs(policy, n, 1)), [100, 200, 400, 800, 1000, 1000]);
  assert.equal(backoffMs(policy, 3, 0), 200);
});

Deno.test("parseRetryAfter: seconds, dates in the future and past, and refusal of anything else", () => {
  const now = Date.parse("Wed, 21 Oct 2015 07:28:00 GMT");
  assert.equal(parseRetryAfter("3", now), 3000);
  assert.equal(parseRetryAfter("Wed, 21 Oct 2015 07:28:10 GMT", now), 10_000);
  assert.equal(parseRetryAfter("Wed, 21 Oct 2015 07:27:00 GMT", now), 0);
  for (const bad of [null, "", "-1", "1.5", "soon", "99999999999"]) {
    assert.equal(parseRetryAfter(bad, now), undefined);
  }
});

Deno.test("isRetryableStatus: 429 and passing server errors, not refusals", () => {
  for (const status of [408, 429, 500, 502, 503, 504]) assert.ok(isRetryableStatus(status));
  for (const status of [200, 301, 400, 401, 403, 404, 416, 501, 505]) assert.ok(!isRetryableStatus(status));
});

Deno.test("sleep: rejects with the reason as soon as the signal aborts", async () => {
  const controller = new AbortController();
  const started = performance.now();
  const waiting = sleep(60_000, controller.signal);
  controller.abort(new Error("stop"));
  await assert.rejects(waiting, /stop/);
  await assert.rejects(sleep(60_000, controller.signal), /stop/);
  assert.ok(performance.now() - started < 5000);
});
