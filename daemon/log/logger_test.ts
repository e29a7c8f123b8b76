import assert from "node:assert/strict";
import { Logger } from "./logger.ts";
import { NyxError } from "../spec/errors.ts";

function capture(level: "debug" | "info" | "warn") {
  const lines: Record<string, unknown>[] = [];
  const logger = new Logger(level, { write: (b) => lines.push(JSON.parse(new TextDecoder().decode(b))) });
  return { lines, logger };
}

Deno.test("Logger: each line is one JSON object with time, level and message", () => {
  const { lines, logger } = capture("info");
  logger.with({ id: "c1" }).info("Started", { pid: 3 });
  logger.debug("not written");
  assert.equal(lines.length, 1);
  const { time, ...rest } = lines[0] as { time: string };
  assert.deepEqual(rest, { level: "info", msg: "Started", id: "c1", pid: 3 });
  assert.ok(!Number.isNaN(Date.parse(time)));
});

Deno.test("Logger: credentials are redacted at any depth", () => {
  const { lines, logger } = capture("debug");
  logger.info("Pull", { request: { username: "u", password: "hunter2", nested: [{ identityToken: "t0k" }] } });
  assert.ok(!JSON.stringify(lines).includes("hunter2"));
  assert.ok(!JSON.stringify(lines).includes("t0k"));
});

Deno.test("Logger: errors are written as plain data with their causes", () => {
  const { lines, logger } = capture("debug");
  logger.error("Failed", { error: new NyxError("data_loss", "Bad", { cause: new Error("below") }) });
  assert.deepEqual(lines[0]?.["error"], {
    code: "data_loss",
    message: "Bad",
    cause: { code: "internal", message: "below" },
  });
});
