/** `--log-driver` and `--log-opt`. */

import type { LogOptions } from "../container.ts";
import { invalid } from "../errors.ts";
import { parseBool } from "./csv.ts";
import { parseDuration } from "./duration.ts";
import { parseSize } from "./size.ts";

/** Log driver by nyx's or Docker's name; `json-file` and `local` are nyx's own rotated JSON lines. */
export function parseLogDriver(text: string, field = "log-driver"): "json" | "none" {
  if (text === "json" || text === "json-file" || text === "local") return "json";
  if (text === "none") return "none";
  throw invalid(field, text, "nyx keeps logs itself: use json (json-file and local mean the same) or none");
}

function setOption(options: LogOptions, key: string, value: string, text: string, field: string): void {
  switch (key) {
    case "max-size":
      options.maxSizeBytes = value === "-1" ? 0 : parseSize(value, field);
      return;
    case "max-file": {
      if (!/^[1-9]\d{0,4}$/.test(value)) throw invalid(field, text, "max-file is a number from 1 on");
      options.maxFile = Number(value);
      return;
    }
    case "max-age":
      options.maxAgeMs = parseDuration(value, field);
      return;
    case "compress":
      options.compress = parseBool(value, field);
      return;
    case "mode":
      if (value !== "blocking" && value !== "non-blocking") {
        throw invalid(field, text, "mode is blocking or non-blocking");
      }
      options.mode = value === "blocking" ? "block" : "drop";
      return;
    default:
      throw invalid(field, text, "known are max-size, max-file, max-age, compress and mode=blocking|non-blocking");
  }
}

/**
 * All log options of a command line.
 *
 * @throws NyxError invalid_argument: unknown keys, and options beside the driver `none`
 */
export function parseLogOpts(values: readonly string[], driver?: string, field = "log-opt"): LogOptions {
  const options: LogOptions = {};
  if (driver !== undefined) options.driver = parseLogDriver(driver);
  for (const text of values) {
    const equals = text.indexOf("=");
    if (equals < 1) throw invalid(field, text, "write KEY=VALUE, such as max-size=10m");
    if (options.driver === "none") throw invalid(field, text, "the log driver none keeps nothing and has no options");
    setOption(options, text.slice(0, equals), text.slice(equals + 1), text, field);
  }
  if (options.compress === true && options.maxFile === 1) {
    throw invalid(field, "compress=true", "compression is of rotated files: it needs max-file of 2 or more");
  }
  return options;
}
