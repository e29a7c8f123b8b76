/** Text in the language of manual pages, man(7). */

/** Text as roff takes it: nothing in it is a command, and a `-` stays one that can be copied to a shell. */
export function escapeRoff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^([.'])/gm, "\\&$1");
}

/** Bold text. */
export function bold(text: string): string {
  return `\\fB${escapeRoff(text)}\\fR`;
}

/** A placeholder. */
export function italic(text: string): string {
  return `\\fI${escapeRoff(text)}\\fR`;
}

/** A section. Empty bodies give nothing. */
export function section(title: string, body: string): string {
  return body === "" ? "" : `.SH ${escapeRoff(title)}\n${body.trimEnd()}\n`;
}

/** Entries with a hanging text: each already in roff. */
export function entries(list: readonly (readonly [term: string, text: string])[]): string {
  return list.map(([term, text]) => `.TP\n${term}\n${text}\n`).join("");
}

/** Text as it is laid out, such as examples. */
export function verbatim(text: string): string {
  return `.nf\n${escapeRoff(text.trimEnd())}\n.fi\n`;
}

/** Top of a page. */
export function heading(name: string, number: number, date: string, version: string): string {
  const words = [name.toUpperCase(), String(number), date, `nyx ${version}`, "nyx manual"];
  return `.TH ${words.map((word) => `"${word}"`).join(" ")}\n.nh\n.ad l\n`;
}
