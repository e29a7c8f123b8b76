import assert from "node:assert/strict";
import {
  attemptsAfter,
  backoffMs,
  dueInMs,
  MAX_BACKOFF_MS,
  shouldRestart,
  STABLE_AFTER_MS,
  startsAtBoot,
} from "./restart.ts";

const crash = { exitCode: 1, stoppedByUser: false, attempts: 0, uptimeMs: 5 };

Deno.test("shouldRestart: on-failure leaves a successful exit alone", () => {
  assert.equal(shouldRestart({ name: "on-failure" }, { ...crash, exitCode: 0 }), false);
  assert.equal(shouldRestart({ name: "on-failure" }, crash), true);
});

Deno.test("shouldRestart: on-failure:N ends after N attempts, and counts afresh after a stable run", () => {
  const policy = { name: "on-failure", maxRetries: 3 } as const;
  assert.deepEqual([0, 1, 2, 3].map((attempts) => shouldRestart(policy, { ...crash, attempts })), [
    true,
    true,
    true,
    false,
  ]);
  assert.equal(shouldRestart(policy, { ...crash, attempts: 3, uptimeMs: STABLE_AFTER_MS }), true);
  assert.equal(attemptsAfter({ ...crash, attempts: 3, uptimeMs: STABLE_AFTER_MS }), 0);
});

Deno.test("shouldRestart: a user's stop is final for every policy", () => {
  for (const name of ["no", "always", "unless-stopped", "on-failure"] as const) {
    assert.equal(shouldRestart({ name }, { ...crash, stoppedByUser: true }), false, name);
  }
});

Deno.test("backoffMs: grows exponentially, is jittered and never exceeds the cap", () => {
  assert.equal(backoffMs(0, 0.5), 100);
  assert.equal(backoffMs(3, 0.5), 800);
  assert.equal(backoffMs(0, 0), 80);
  for (let n = 0; n < 2000; n += 7) {
    const ms = backoffMs(n);
    assert.ok(ms > 0 && ms <= MAX_BACKOFF_MS, `${n}: ${ms}`);
  }
});

Deno.test("startsAtBoot: unless-stopped respects the user's stop, always does not", () => {
  assert.equal(startsAtBoot({ name: "always" }, true), true);
  assert.equal(startsAtBoot({ name: "unless-stopped" }, true), false);
  assert.equal(startsAtBoot({ name: "unless-stopped" }, false), true);
  assert.equal(startsAtBoot({ name: "on-failure" }, false), false);
  assert.equal(startsAtBoot({ name: "no" }, false), false);
});

Deno.test("dueInMs: what was written down counts, but a clock that was set back by years delays no restart by more than the cap", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  assert.equal(dueInMs("2026-01-01T00:00:07Z", now), 7000);
  assert.equal(dueInMs("2031-01-01T00:00:00Z", now), MAX_BACKOFF_MS);
  assert.equal(dueInMs("2001-01-01T00:00:00Z", now), 0);
  assert.equal(dueInMs(undefined, now), 0);
  assert.equal(dueInMs("no time", now), 0);
});
