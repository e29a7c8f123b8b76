/** `nyx images` and `nyx image ls`. */

import type { ImageSummary } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { IMAGE_FILTERS, matchesLabel, parseFilters } from "../filters.ts";
import { IMAGE_HEADS, imageId, imageViews } from "../render/image_view.ts";
import { renderRows, type View } from "../render/rows.ts";
import { FORMAT_NOTES } from "./ps.ts";

/** Shell pattern to regular expression: `*` and `?`, and no slash crossed, as path.Match has it. */
function glob(pattern: string): RegExp {
  const body = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", "[^/]*").replaceAll("?", "[^/]");
  return new RegExp(`^${body}$`);
}

function keepsImage(image: ImageSummary, filters: Record<string, string[]>): boolean {
  const dangling = filters.dangling?.at(-1);
  if (dangling !== undefined && (dangling === "true") !== (image.refs.length === 0)) return false;
  return (filters.label ?? []).every((wanted) => matchesLabel(image.labels, wanted));
}

function keepsName(view: View, patterns: readonly string[]): boolean {
  if (patterns.length === 0) return true;
  const { Repository = "", Tag = "" } = view;
  return patterns.some((pattern) => glob(pattern).test(Repository) || glob(pattern).test(`${Repository}:${Tag}`));
}

/** `nyx images`. */
export const command = defineCommand({
  summary: "List images",
  flags: {
    all: { type: "bool", short: "a", help: "", hidden: true },
    digests: { type: "bool", help: "Show digests" },
    filter: {
      type: "list",
      short: "f",
      value: "KEY=VALUE",
      help: `Only those that match: ${Object.keys(IMAGE_FILTERS).join(", ")}`,
      complete: Object.keys(IMAGE_FILTERS).map((key) => `${key}=`),
    },
    format: { type: "value", value: "FORMAT", help: "table, json, or a Go template", complete: ["table", "json"] },
    "no-trunc": { type: "bool", help: "Do not shorten anything" },
    quiet: { type: "bool", short: "q", help: "Only show ids" },
  },
  operands: [{ name: "REPOSITORY[:TAG]", optional: true, complete: "images" }],
  notes: FORMAT_NOTES,
  async run(context, flags, [name]) {
    const filters = parseFilters(flags.filter, IMAGE_FILTERS);
    const patterns = [...filters.reference ?? [], ...(name === undefined ? [] : [name])];
    const noTrunc = flags["no-trunc"] === true;
    const found = (await (await context.client()).images.list()).filter((image) => keepsImage(image, filters));
    found.sort((a, b) => (b.created ?? "") < (a.created ?? "") ? -1 : 1);
    const rows = found.flatMap((image) =>
      imageViews(image, { noTrunc, nowMs: Date.now() }).filter((view) => keepsName(view, patterns)).map((view) => ({
        image,
        view,
      }))
    );
    if (flags.quiet === true && flags.format === undefined) {
      context.out.text(
        [...new Set(rows.map(({ image }) => imageId(image.id, noTrunc)))].map((id) => `${id}\n`).join(""),
      );
      return EXIT.ok;
    }
    const digest = flags.digests === true ? ["Digest"] : [];
    context.out.text(renderRows(rows.map(({ view }) => view), {
      format: flags.format,
      columns: ["Repository", "Tag", ...digest, "ID", "CreatedSince", "Size"],
      heads: IMAGE_HEADS,
      terminal: context.out.isTerminal,
    }));
    return EXIT.ok;
  },
});
