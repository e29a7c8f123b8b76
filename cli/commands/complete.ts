/**
 * `nyx __complete WORD… CURRENT`: what a shell's completion asks. Prints one candidate a line, a tab, and its description; a line `:files` or
 * `:dirs` asks the shell for paths. Live names come from the daemon if it answers at once; its absence is no error.
 */

import { SIGNALS } from "../../daemon/spec/parse/signal.ts";
import { completeLine, type Offer } from "../args/complete.ts";
import { defineCommand } from "../args/definition.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import { escapeControls } from "../render/escape.ts";
import { familiarName } from "../render/image_view.ts";
import { COMMANDS } from "./table.ts";

/** Longest wait for the daemon: a shell that hangs on Tab is worse than no names. */
const PATIENCE_MS = 700;

async function liveNames(context: Context, kind: NonNullable<Offer["kind"]>): Promise<[string, string][]> {
  const client = await context.client();
  switch (kind) {
    case "containers":
    case "running": {
      const found = await client.containers.list({ all: kind === "containers" });
      return found.map((one): [string, string] => [one.name, `${one.image} ${one.status_text}`]);
    }
    case "images":
      return (await client.images.refs()).map((ref): [string, string] => {
        const { repository, tag } = familiarName(ref);
        return [tag === "<none>" ? ref : `${repository}:${tag}`, ""];
      });
    case "volumes":
      return (await client.volumes.list()).filter((one) => !one.anonymous).map((
        one,
      ): [string, string] => [one.name, ""]);
    case "networks": {
      const [running, networks] = await Promise.all([client.containers.list({ all: false }), client.networks.list()]);
      return [
        ...networks.map((one): [string, string] => [one.name, one.subnets[0]?.subnet ?? ""]),
        ["bridge", "the default network"],
        ["none", ""],
        ["host", ""],
        ...running.map((one): [string, string] => [`container:${one.name}`, one.image]),
      ];
    }
    case "own-networks":
      return (await client.networks.list()).filter((one) => !one.default).map((
        one,
      ): [string, string] => [one.name, one.subnets[0]?.subnet ?? ""]);
    default:
      return [];
  }
}

async function wordsOf(context: Context, offer: Offer): Promise<readonly (readonly [string, string])[]> {
  const { kind } = offer;
  if (kind === undefined) return offer.words;
  if (kind === "signals") return Object.keys(SIGNALS).map((name): [string, string] => [`SIG${name}`, ""]);
  if (kind === "commands") {
    return Object.entries(COMMANDS).filter(([, node]) => node.hidden !== true).map((
      [name, node],
    ) => [name, node.summary]);
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<[string, string][]>((resolve) => timer = setTimeout(() => resolve([]), PATIENCE_MS));
  return await Promise.race([liveNames(context, kind).catch((): [string, string][] => []), patience]).finally(() =>
    clearTimeout(timer)
  );
}

/** The hidden command behind all completion scripts. */
export const command = defineCommand({
  summary: "Candidates for shell completion",
  flags: {},
  operands: [{ name: "WORD", optional: true, variadic: true }],
  optionsFirst: true,
  async run(context, _flags, operands) {
    const current = operands.at(-1) ?? "";
    const offer = await completeLine(COMMANDS, operands.slice(0, -1), current);
    if (offer.kind === "files" || offer.kind === "dirs") {
      context.out.text(`:${offer.kind}\n`);
      return EXIT.ok;
    }
    const words = (await wordsOf(context, offer)).filter(([word]) => word.startsWith(current));
    context.out.text(words.map(([word, help]) => `${escapeControls(word)}\t${escapeControls(help)}\n`).join(""));
    return EXIT.ok;
  },
});
