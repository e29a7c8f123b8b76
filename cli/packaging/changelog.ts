/** docs/CHANGELOG.md: what was wrong or missing in each version, and how nyx behaves now. */

import { wrap } from "../args/help.ts";
import { NyxError } from "../../mod.ts";

/** One version's section. */
export interface Release {
  version: string;
  /** YYYY-MM-DD. */
  date: string;
  /** Its text, without the heading. */
  text: string;
}

/**
 * Reads all sections, newest first.
 *
 * @throws NyxError failed_precondition for a heading that is not `## VERSION, YYYY-MM-DD`, or a section without an entry
 */
export function parseChangelog(markdown: string): Release[] {
  return markdown.split(/^## /m).slice(1).map((section) => {
    const [heading = "", ...lines] = section.split("\n");
    const [, version, date] = /^(\d+\.\d+\.\d+), (\d{4}-\d\d-\d\d)$/.exec(heading.trim()) ?? [];
    if (version === undefined || date === undefined) {
      throw new NyxError(
        "failed_precondition",
        `Could not read the changelog: "## ${heading}" is not like "## 1.2.3, 2026-01-31"`,
      );
    }
    const text = lines.join("\n").trim();
    if (!/^- /m.test(text)) {
      throw new NyxError("failed_precondition", `Could not read the changelog: ${version} has no entry`);
    }
    return { version, date, text };
  });
}

/**
 * The section of the version that is released; it has to be the newest.
 *
 * @throws NyxError failed_precondition when it is not
 */
export function releaseNotes(markdown: string, version: string): Release {
  const [newest] = parseChangelog(markdown);
  if (newest?.version === version) return newest;
  throw new NyxError(
    "failed_precondition",
    `Could not release ${version}: docs/CHANGELOG.md begins with ${newest?.version ?? "no version"}; ` +
      `write a section "## ${version}, YYYY-MM-DD" that says what was wrong or missing and how nyx behaves now`,
  );
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The same in the form of deb-changelog(5). */
export function debianChangelog(releases: readonly Release[], name: string, maintainer: string): string {
  return releases.map(({ version, date, text }) => {
    const day = new Date(`${date}T00:00:00Z`);
    // Entries go over several lines, and are broken anew: Debian's lines are short.
    const paragraphs = text.replace(/\n(?![-#\n])\s*/g, " ").split("\n").filter((line) => line.startsWith("- "));
    const entries = paragraphs.flatMap((line) =>
      wrap(line.slice(2), 74).map((part, i) => `${i === 0 ? "  * " : "    "}${part}`)
    ).join("\n");
    const when = `${DAYS[day.getUTCDay()]}, ${String(day.getUTCDate()).padStart(2, "0")} ${
      MONTHS[day.getUTCMonth()]
    } ${day.getUTCFullYear()} 00:00:00 +0000`;
    return `${name} (${version}) stable; urgency=medium\n\n${entries}\n\n -- ${maintainer}  ${when}\n`;
  }).join("\n");
}
