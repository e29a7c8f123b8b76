/** CPU and other numeric limits of `run` and `update`. */

import { invalid } from "../errors.ts";

/**
 * Billionths of a CPU from a decimal such as `1.5`, exact to the ninth digit.
 *
 * @throws NyxError invalid_argument: no plain decimal, finer than a billionth, or less than a hundredth but not 0
 */
export function parseCpus(text: string, field = "cpus"): number {
  const match = /^(\d{0,6})(?:\.(\d*))?$/.exec(text);
  const fraction = match?.[2] ?? "";
  if (match === null || (match[1] === "" && fraction === "")) {
    throw invalid(field, text, "give a number of CPUs such as 2 or 0.5");
  }
  if (fraction.length > 9) throw invalid(field, text, "at most nine digits after the point count");
  const nano = Number(match[1] || "0") * 1e9 + Number(fraction.padEnd(9, "0"));
  if (nano > 0 && nano < 1e7) throw invalid(field, text, "the least share of a CPU is 0.01");
  return nano;
}

/** A list of CPUs or memory nodes such as `0-3,6`, as cpuset(7) writes it. */
export function parseCpuset(text: string, field = "cpuset-cpus"): string {
  for (const part of text.split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    if (match === null || (match[2] !== undefined && Number(match[2]) < Number(match[1]))) {
      throw invalid(field, text, "give numbers and ranges such as 0-3,6");
    }
  }
  return text;
}

/** An integer within bounds. */
export function parseInteger(text: string, field: string, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
  const value = /^[+-]?\d{1,16}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    const most = max === Number.MAX_SAFE_INTEGER ? `from ${min} on` : `from ${min} to ${max}`;
    throw invalid(field, text, `give a whole number ${most}`);
  }
  return value;
}

/** CPU shares: 0 (default) or 2..262144. */
export function parseCpuShares(text: string, field = "cpu-shares"): number {
  const value = parseInteger(text, field, 0, 262_144);
  if (value === 1) throw invalid(field, text, "the least weight is 2");
  return value;
}

/** Block I/O weight: 0 (default) or 10..1000. */
export function parseBlkioWeight(text: string, field = "blkio-weight"): number {
  const value = parseInteger(text, field, 0, 1000);
  if (value > 0 && value < 10) throw invalid(field, text, "give 0, or 10 to 1000");
  return value;
}
