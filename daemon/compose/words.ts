/** Splitting a command written as one text into words, as a POSIX shell would, without expansions. */

/** A text whose quotes are never closed. */
export class WordsError extends Error {
  override readonly name = "WordsError";
}

/**
 * Words of a command: blanks separate, single quotes keep everything, in double quotes `\` escapes `"`, `\`, `$` and the backquote,
 * elsewhere any character; a backslash at a line's end joins lines.
 *
 * @throws WordsError
 */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const c = text[i] ?? "";
    if (quote === "'") {
      if (c === "'") quote = "";
      else word += c;
    } else if (c === "\\") {
      const next = text[++i];
      if (next === undefined) throw new WordsError("it ends with a backslash");
      if (next === "\n") continue;
      word = (word ?? "") + (quote === '"' && !'"\\$`'.includes(next) ? c + next : next);
    } else if (quote === '"') {
      if (c === '"') quote = "";
      else word += c;
    } else if (c === "'" || c === '"') {
      quote = c;
      word ??= "";
    } else if (/\s/.test(c)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + c;
  }
  if (quote !== "") throw new WordsError(`a ${quote} is never closed`);
  if (word !== undefined) words.push(word);
  return words;
}
