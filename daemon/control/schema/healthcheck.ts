/** A health probe as a request says it: durations as text or in milliseconds (0 is the default), a command as text or a list. */

import { z } from "zod";
import type { Healthcheck } from "../../spec/container.ts";
import { duration, integer, line } from "./values.ts";

const given = z.strictObject({
  type: z.enum(["exec", "http", "tcp", "grpc", "none"]).exactOptional().meta({
    description:
      "Missing: http with a url, tcp with an address, else exec; exec without a command refines the image's probe.",
  }),
  command: z.union([z.string().min(1), z.array(z.string()).min(1)], {
    error: "write a list of arguments, or one text for /bin/sh -c",
  }).exactOptional(),
  shell: z.boolean().exactOptional(),
  url: line(2048).regex(/^https?:\/\/\S+$/, "write an http or https URL").exactOptional(),
  address: line(512).regex(/^\S+:\d{1,5}$/, "write HOST:PORT").exactOptional(),
  interval: duration.exactOptional(),
  intervalMs: integer(0).exactOptional(),
  timeout: duration.exactOptional(),
  timeoutMs: integer(0).exactOptional(),
  retries: integer(0, 1_000_000).exactOptional(),
  start_period: duration.exactOptional(),
  startPeriodMs: integer(0).exactOptional(),
  start_interval: duration.exactOptional(),
  startIntervalMs: integer(0).exactOptional(),
});

type Given = z.output<typeof given>;

/** Which field each type cannot do without. An exec probe without a command refines the image's. */
const NEEDS = { http: "url", tcp: "address", grpc: "address" } as const;

function typeOf(health: Given): Healthcheck["type"] | undefined {
  if (health.type !== undefined) return health.type;
  if (health.command !== undefined) return "exec";
  if (health.url !== undefined) return "http";
  if (health.address !== undefined) return "tcp";
  return Object.keys(health).length === 0 ? undefined : "exec";
}

/** Body field `healthcheck`, giving a {@linkcode Healthcheck}. */
export const healthcheck = given.transform((health, context): Healthcheck => {
  const type = typeOf(health);
  const needed = type === undefined || type === "none" || type === "exec" ? undefined : NEEDS[type];
  if (type === undefined || (needed !== undefined && health[needed] === undefined)) {
    context.addIssue({
      code: "custom",
      message: type === undefined ? "say its type: exec, http, tcp, grpc or none" : `type ${type} needs ${needed}`,
      path: [needed ?? "type"],
    });
    return z.NEVER;
  }
  const { command, shell, interval, timeout, start_period, start_interval, ...rest } = health;
  const out: Healthcheck = { ...rest, type };
  if (typeof command === "string") Object.assign(out, { command: [command], shell: true });
  else if (command !== undefined) out.command = command;
  if (shell !== undefined && typeof command !== "string") out.shell = shell;
  if (interval !== undefined) out.intervalMs = interval;
  if (timeout !== undefined) out.timeoutMs = timeout;
  if (start_period !== undefined) out.startPeriodMs = start_period;
  if (start_interval !== undefined) out.startIntervalMs = start_interval;
  return out;
});
