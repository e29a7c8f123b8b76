/** Text from daemons, registries and images made safe for a terminal. */

/** C0, DEL, C1, and the marks that reorder or hide text (bidi controls, zero-width and line separators). */
// deno-lint-ignore no-control-regex
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escapeOne(char: string): string {
  const named = NAMED[char];
  if (named !== undefined) return named;
  const code = char.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

/** Replaces every control character by a visible escape, so that a name cannot move the cursor, recolour, or set a title. */
export function escapeControls(text: string): string {
  return text.replace(UNSAFE, escapeOne);
}

/** The same for text of several lines: newlines and tabs stay. */
export function escapeControlsInLines(text: string): string {
  return text.replace(UNSAFE, (char) => char === "\n" || char === "\t" ? char : escapeOne(char));
}

/** Of {@linkcode UNSAFE}, what JSON leaves as it is. */
const UNSAFE_IN_JSON = /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** JSON of a value that means the same and moves nothing on a terminal: what JSON does not have to escape is escaped, too. */
export function safeJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    UNSAFE_IN_JSON,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
