/** Colour on terminals, with the customary switches: NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM=dumb. */

/** Whether to colour what goes to a stream. */
export function wantsColor(isTerminal: boolean, env: (name: string) => string | undefined): boolean {
  if ((env("NO_COLOR") ?? "") !== "") return false;
  const force = env("CLICOLOR_FORCE");
  if (force !== undefined && force !== "" && force !== "0") return true;
  if (!isTerminal || env("TERM") === "dumb") return false;
  return env("CLICOLOR") !== "0";
}

/** Paints text, or leaves it alone. */
export interface Paint {
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
  dim(text: string): string;
  bold(text: string): string;
}

/** A painter; when off, everything comes back as it was. */
export function paint(on: boolean): Paint {
  const code = (open: number, close: number) => (text: string) => on ? `\u001b[${open}m${text}\u001b[${close}m` : text;
  return {
    red: code(31, 39),
    green: code(32, 39),
    yellow: code(33, 39),
    cyan: code(36, 39),
    dim: code(2, 22),
    bold: code(1, 22),
  };
}
