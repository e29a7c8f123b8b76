/** `nyx stats`. */

import { NyxClient, NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import type { Context } from "../context.ts";
import { EXIT, reportFailure } from "../failure.ts";
import { renderRows } from "../render/rows.ts";
import { type Sample, STATS_HEADS, statsView } from "../render/stats_view.ts";
import { FORMAT_NOTES } from "./ps.ts";

const INTERVAL_MS = 1000;
/** Span of a single measurement: long enough for a meaningful CPU share. */
const SINGLE_MS = 500;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Samples of all; a container that is gone meanwhile is left out. */
async function sampleAll(client: NyxClient, refs: readonly string[]): Promise<Map<string, Sample>> {
  const samples = await Promise.all(refs.map(async (ref): Promise<[string, Sample] | undefined> => {
    try {
      const values = await client.containers.stats(ref);
      return [ref, { atMs: performance.now(), values }];
    } catch (e) {
      if (e instanceof NyxError && (e.code === "not_found" || e.code === "failed_precondition")) return undefined;
      throw e;
    }
  }));
  return new Map(samples.flatMap((sample) => sample === undefined ? [] : [sample]));
}

/** Names that exist; the others are told. */
async function knownRefs(
  context: Context,
  client: NyxClient,
  operands: readonly string[],
): Promise<{ refs: string[]; code: number }> {
  const refs: string[] = [];
  let code: number = EXIT.ok;
  for (const ref of operands) {
    try {
      refs.push((await client.containers.inspect(ref)).id);
    } catch (e) {
      reportFailure(context, e);
      code = EXIT.failure;
    }
  }
  return { refs, code };
}

/** `nyx stats`. */
export const command = defineCommand({
  summary: "Show resource usage, live",
  flags: {
    all: { type: "bool", short: "a", help: "", refuse: "only running containers use resources" },
    format: { type: "value", value: "FORMAT", help: "table, json, or a Go template", complete: ["table", "json"] },
    "no-stream": { type: "bool", help: "Show one measurement and end" },
    "no-trunc": { type: "bool", help: "Do not shorten ids" },
  },
  operands: [{ name: "CONTAINER", optional: true, variadic: true, complete: "running" }],
  notes: FORMAT_NOTES,
  async run(context, flags, operands) {
    const client = await context.client();
    const hostMemory = (await client.system.info()).memoryBytes;
    const { refs, code } = await knownRefs(context, client, operands);
    if (operands.length > 0 && refs.length === 0) return code;
    const single = flags["no-stream"] === true;
    const redraw = context.out.isTerminal && !single &&
      (flags.format === undefined || flags.format.startsWith("table"));
    let before = new Map<string, Sample>();
    for (let round = 0;; round++) {
      const wanted = operands.length > 0 ? refs : (await client.containers.list({ all: false })).map((one) => one.id);
      const now = await sampleAll(client, wanted);
      if (round > 0) {
        const views = [...now].map(([ref, sample]) =>
          statsView(sample, before.get(ref), hostMemory, flags["no-trunc"] === true)
        );
        const text = renderRows(views, {
          format: flags.format,
          columns: ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "PIDs"],
          heads: STATS_HEADS,
          terminal: context.out.isTerminal,
        });
        context.out.text(redraw ? `\u001b[H\u001b[2J${text}` : text);
        if (single || (operands.length > 0 && now.size === 0)) return code;
      }
      before = now;
      await pause(single || round === 0 ? SINGLE_MS : INTERVAL_MS);
    }
  },
});
