/** One line of comma-separated fields (RFC 4180), which Docker uses for `--mount` and `--network`. */

import { invalid } from "../errors.ts";

/** Fields of a line; a field in double quotes may hold commas, and quotes doubled. */
export function parseCsvLine(text: string, field: string): string[] {
  const fields: string[] = [];
  let at = 0;
  while (true) {
    if (text[at] === '"') {
      const quoted = /"((?:[^"]|"")*)"(?=,|$)/y;
      quoted.lastIndex = at;
      const match = quoted.exec(text);
      if (match === null) throw invalid(field, text, "a quoted field must be closed, and end at a comma");
      fields.push((match[1] ?? "").replaceAll('""', '"'));
      at = quoted.lastIndex;
    } else {
      const comma = text.indexOf(",", at);
      const end = comma < 0 ? text.length : comma;
      const value = text.slice(at, end);
      if (value.includes('"')) {
        throw invalid(field, text, "put the whole field in quotes, and double the quotes inside");
      }
      fields.push(value);
      at = end;
    }
    if (at >= text.length) return fields;
    at++;
  }
}

/** A truth value as Go reads it: 1 t true 0 f false, in the usual cases. */
export function parseBool(text: string, field: string): boolean {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false;
  throw invalid(field, text, "give true or false");
}
