/** Tables as Docker prints them: columns three blanks apart, upper-case heads, nothing cut. */

import { displayWidth, padEnd } from "./width.ts";

/** Lines of a table, the head first. Cells must be free of control characters. */
export function renderTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = heads.length > 0 ? [heads, ...rows] : rows;
  const count = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from(
    { length: count },
    (_, at) => Math.max(0, ...all.map((row) => displayWidth(row[at] ?? ""))),
  );
  return all.map((row) => {
    const cells = row.map((cell, at) => at === row.length - 1 ? cell : padEnd(cell, widths[at] ?? 0));
    return `${cells.join("   ").trimEnd()}\n`;
  }).join("");
}
