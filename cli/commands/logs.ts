/** `nyx logs`. */

import { type ContainerLogQuery, FRAME, FrameDecoder, invalid } from "../../mod.ts";
import { parseDuration } from "../../daemon/spec/parse/duration.ts";
import { defineCommand } from "../args/definition.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import { OutputQueue } from "../terminal/output_queue.ts";
import { resolveTime } from "../render/time.ts";

function span(text: string): number | undefined {
  try {
    return parseDuration(text);
  } catch {
    return undefined;
  }
}

/** RFC 3339 of `--since` or `--until`. */
export function timeFlag(text: string, field: string): string {
  const time = resolveTime(text, Date.now(), span);
  if (time === undefined) {
    throw invalid(field, text, "give a time such as 2026-01-31T12:00:00Z, or a span back from now such as 10m");
  }
  return time;
}

/** The earliest of several `until` filters, each of which has to hold; undefined without any. */
export function earliestUntil(texts: readonly string[] = []): string | undefined {
  return texts.map((text) => timeFlag(text, "until")).sort()[0];
}

function parseTail(text: string): number | undefined {
  if (text === "all" || text === "-1") return undefined;
  if (!/^\d{1,15}$/.test(text)) throw invalid("tail", text, "give a number of lines, or all");
  return Number(text);
}

async function copyFrames(context: Context, source: AsyncIterable<Uint8Array>): Promise<void> {
  const frames = new FrameDecoder();
  const queue = new OutputQueue();
  for await (const piece of source) {
    for (const { kind, payload } of frames.push(piece)) {
      if (kind === FRAME.stdout) await queue.push(context.out, payload);
      else if (kind === FRAME.stderr) await queue.push(context.err, payload);
    }
  }
  await queue.flush();
}

/** `nyx logs`. */
export const command = defineCommand({
  summary: "Show the logs of a container",
  flags: {
    details: { type: "bool", help: "", refuse: "log records carry no details" },
    follow: { type: "bool", short: "f", help: "Go on as lines are written" },
    grep: { type: "value", value: "TEXT", help: "Only lines that contain the text" },
    json: { type: "bool", help: "Print the records as they are stored, one JSON object a line" },
    stream: {
      type: "value",
      value: "stdout|stderr",
      help: "Only lines of that stream",
      complete: ["stdout", "stderr"],
    },
    since: { type: "value", value: "TIME", help: "Lines from then on: a time, or a span back from now such as 10m" },
    tail: { type: "value", short: "n", value: "LINES", help: "Only so many lines from the end (default all)" },
    timestamps: { type: "bool", short: "t", help: "Put the time before each line" },
    until: { type: "value", value: "TIME", help: "Lines before that time" },
  },
  operands: [{ name: "CONTAINER", complete: "containers" }],
  async run(context, flags, [ref = ""]) {
    const query: ContainerLogQuery = { follow: flags.follow === true, timestamps: flags.timestamps === true };
    const tail = flags.tail === undefined ? undefined : parseTail(flags.tail);
    if (tail !== undefined) query.tail = tail;
    if (flags.since !== undefined) query.since = timeFlag(flags.since, "since");
    if (flags.until !== undefined) query.until = timeFlag(flags.until, "until");
    if (flags.grep !== undefined) query.grep = flags.grep;
    if (flags.stream !== undefined) {
      if (flags.stream !== "stdout" && flags.stream !== "stderr") {
        throw invalid("stream", flags.stream, "give stdout or stderr");
      }
      query.stdout = flags.stream === "stdout";
      query.stderr = flags.stream === "stderr";
    }
    query.format = flags.json === true ? "jsonl" : "frames";
    const source = (await context.client()).containers.logs(ref, query);
    if (flags.json !== true) await copyFrames(context, source);
    else for await (const piece of source) await context.out.bytes(piece);
    return EXIT.ok;
  },
});
