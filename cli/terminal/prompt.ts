/** Questions to the person at the terminal. */

import { NyxError } from "../../mod.ts";
import { Output } from "./output.ts";

const decoder = new TextDecoder();

/**
 * Reads one line from the terminal, on standard error's side so that standard output stays clean.
 *
 * @param echo false for secrets: nothing is shown while typing
 * @throws NyxError canceled on Ctrl-C or Ctrl-D; failed_precondition without a terminal
 */
export async function askLine(question: string, echo: boolean): Promise<string> {
  if (!Deno.stdin.isTerminal()) {
    throw new NyxError("failed_precondition", `Cannot ask for "${question.trim()}": standard input is not a terminal`);
  }
  const err = new Output(Deno.stderr);
  // Echo goes off before the question is seen: an answer typed at once must not show.
  Deno.stdin.setRaw(true);
  try {
    err.text(question);
    return await readRawLine(err, echo);
  } finally {
    Deno.stdin.setRaw(false);
    err.text("\n");
  }
}

async function readRawLine(err: Output, echo: boolean): Promise<string> {
  const buffer = new Uint8Array(1024);
  let line = "";
  while (true) {
    const count = await Deno.stdin.read(buffer);
    if (count === null) throw new NyxError("canceled", "Canceled at the prompt");
    for (const char of decoder.decode(buffer.subarray(0, count), { stream: true })) {
      if (char === "\r" || char === "\n") return line;
      if (char === "\u0003" || char === "\u0004") throw new NyxError("canceled", "Canceled at the prompt");
      if (char === "\u007f" || char === "\b") {
        if (echo && line !== "") err.text("\b \b");
        line = [...line].slice(0, -1).join("");
      } else if (char >= " ") {
        line += char;
        if (echo) err.text(char);
      }
    }
  }
}

/** Yes or no; anything but y or yes is no. Without a terminal the answer is no. */
export async function confirm(question: string): Promise<boolean> {
  if (!Deno.stdin.isTerminal()) return false;
  return /^y(es)?$/i.test((await askLine(`${question} [y/N] `, true)).trim());
}

/** All of standard input as text, without the line end; for `--password-stdin`. */
export async function readSecretFromStdin(): Promise<string> {
  const pieces: string[] = [];
  const stream = new TextDecoder();
  for await (const piece of Deno.stdin.readable) pieces.push(stream.decode(piece, { stream: true }));
  return pieces.join("").replace(/\r?\n$/, "");
}
