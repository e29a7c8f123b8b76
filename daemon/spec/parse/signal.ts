/** Signal names and numbers of Linux on x86-64 and arm64 (signal(7)). */

import { invalid } from "../errors.ts";

/** Numbers by name without SIG. */
export const SIGNALS: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  PWR: 30,
  SYS: 31,
};
const ALIASES: Readonly<Record<string, string>> = { IOT: "ABRT", CLD: "CHLD", POLL: "IO", UNUSED: "SYS" };
const RTMIN = 34;
const RTMAX = 64;

/** A signal both ways. */
export interface Signal {
  /** With SIG, such as SIGTERM; real-time ones as SIGRTMIN+n. */
  name: string;
  number: number;
}

/** The canonical name of a number, or undefined outside 1..31 and 34..64. */
export function signalName(number: number): string | undefined {
  const found = Object.entries(SIGNALS).find(([, value]) => value === number);
  if (found !== undefined) return `SIG${found[0]}`;
  if (number < RTMIN || number > RTMAX || !Number.isInteger(number)) return undefined;
  if (number === RTMAX) return "SIGRTMAX";
  return number === RTMIN ? "SIGRTMIN" : `SIGRTMIN+${number - RTMIN}`;
}

function realtime(upper: string): number | undefined {
  const match = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(upper);
  if (match === null) return undefined;
  const offset = match[3] === undefined ? 0 : Number(match[3]);
  if (match[2] !== undefined && match[2] !== (match[1] === "MIN" ? "+" : "-")) return undefined;
  const number = match[1] === "MIN" ? RTMIN + offset : RTMAX - offset;
  return number >= RTMIN && number <= RTMAX ? number : undefined;
}

/**
 * A signal from its name (with or without SIG, any case) or number.
 *
 * @throws NyxError invalid_argument for unknown ones, and for 0
 */
export function parseSignal(text: string, field = "signal"): Signal {
  const upper = text.trim().toUpperCase().replace(/^SIG/, "");
  const named = SIGNALS[upper] ?? SIGNALS[ALIASES[upper] ?? ""] ?? realtime(upper);
  const number = named ?? (/^\d{1,2}$/.test(upper) ? Number(upper) : 0);
  const name = signalName(number);
  if (name === undefined) throw invalid(field, text, "give a name such as SIGTERM or HUP, or a number from 1 to 64");
  return { name, number };
}
