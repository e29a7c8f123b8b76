import assert from "node:assert/strict";
import { afterProbe, HEALTH_LOG_LIMIT, initialHealth, nextProbeMs, sharedDelayMs, withDefaults } from "./schedule.ts";

const check = withDefaults({ type: "exec", command: ["true"], retries: 2, startPeriodMs: 1000, startIntervalMs: 100 });
const probe = (exitCode: number) => ({ start: "", end: "", exitCode, output: "" });

Deno.test("afterProbe: failures in the start period do not count, a first success ends it", () => {
  let s = initialHealth();
  for (let i = 0; i < 9; i++) s = afterProbe(s, probe(1), check, 500);
  assert.equal(s.status, "starting");
  assert.equal(s.failingStreak, 0);
  s = afterProbe(s, probe(0), check, 600);
  s = afterProbe(s, probe(1), check, 700);
  assert.deepEqual([s.status, s.failingStreak], ["healthy", 1]);
});

Deno.test("afterProbe: unhealthy after `retries` failures in a row, healthy again after one success", () => {
  let s = afterProbe(initialHealth(), probe(1), check, 5000);
  assert.equal(s.status, "starting");
  s = afterProbe(s, probe(1), check, 6000);
  assert.equal(s.status, "unhealthy");
  assert.equal(afterProbe(s, probe(0), check, 7000).status, "healthy");
});

Deno.test("afterProbe: the log is bounded", () => {
  let s = initialHealth();
  for (let i = 0; i < 50; i++) s = afterProbe(s, probe(i), check, 5000);
  assert.equal(s.log.length, HEALTH_LOG_LIMIT);
  assert.equal(s.log.at(-1)?.exitCode, 49);
});

Deno.test("nextProbeMs: the start interval applies only while starting in the start period", () => {
  assert.equal(nextProbeMs(initialHealth(), check, 10, 0.5), 100);
  assert.equal(nextProbeMs(initialHealth(), check, 2000, 0.5), 30_000);
  assert.equal(nextProbeMs({ ...initialHealth(), status: "healthy" }, check, 10, 0.5), 30_000);
});

Deno.test("sharedDelayMs: probes of many containers meet at shared moments, none early, none late by more than an eighth", () => {
  const moments = new Set<number>();
  for (let i = 0; i < 1000; i++) {
    const now = 5000 + i * 0.37;
    const wanted = nextProbeMs({ ...initialHealth(), status: "healthy" }, { ...check, intervalMs: 1000 }, 10);
    const delay = sharedDelayMs(wanted, now);
    assert.ok(delay >= wanted - 1e-6 && delay <= wanted * 1.125, `${wanted} became ${delay}`);
    moments.add(Math.round(now + delay));
  }
  assert.ok(moments.size <= 6, `${moments.size} moments`);
  assert.equal(sharedDelayMs(50, 3), 50, "what is short is as it was asked for");
});
