/** NAME=VALUE on the command line. */

/** Name and value; without an equals sign the value is empty. */
export function parseKeyValue(text: string): [string, string] {
  const equals = text.indexOf("=");
  return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
}
