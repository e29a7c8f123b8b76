import assert from "node:assert/strict";
import { LIVE, next, type Transition, tryNext } from "./machine.ts";
import type { ContainerStatus } from "../spec/container.ts";
import { NyxError } from "../spec/errors.ts";

const STATES: ContainerStatus[] = [
  "created",
  "starting",
  "running",
  "paused",
  "stopping",
  "restarting",
  "exited",
  "removing",
  "dead",
];

Deno.test("machine: a normal life passes through the documented states", () => {
  const walk: Transition[] = ["start", "started", "pause", "unpause", "stop", "exit", "remove"];
  let s: ContainerStatus = "created";
  const seen = walk.map((t) => s = next(s, t, "web"));
  assert.deepEqual(seen, ["starting", "running", "paused", "running", "stopping", "exited", "removing"]);
});

Deno.test("machine: a live container can never be removed or started again", () => {
  for (const s of LIVE) {
    assert.equal(tryNext(s, "remove"), undefined, s);
    assert.equal(tryNext(s, "start"), undefined, s);
  }
});

Deno.test("machine: exit is accepted from every live state and only from these", () => {
  for (const s of STATES) assert.equal(tryNext(s, "exit"), LIVE.has(s) ? "exited" : undefined, s);
});

Deno.test("machine: a refused transition names the container, the state and the fix", () => {
  assert.throws(() => next("running", "remove", "web"), (e: unknown) => {
    assert.ok(e instanceof NyxError);
    assert.equal(e.code, "failed_precondition");
    assert.match(e.message, /"web".*running.*stop it first/);
    return true;
  });
});
