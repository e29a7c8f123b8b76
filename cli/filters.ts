/** `--filter KEY=VALUE` options, checked before anything is asked. */

import { invalid } from "../mod.ts";
import { didYouMean } from "./args/suggest.ts";

/** Keys that a command knows; `words` restricts the values. */
export type FilterKeys = Readonly<Record<string, { words?: readonly string[] }>>;

/** Filters of `ps` and `container prune`. */
export const CONTAINER_FILTERS: FilterKeys = {
  ancestor: {},
  before: {},
  exited: {},
  expose: {},
  health: { words: ["starting", "healthy", "unhealthy", "none"] },
  id: {},
  label: {},
  name: {},
  network: {},
  publish: {},
  since: {},
  status: {
    words: ["created", "restarting", "running", "removing", "paused", "exited", "dead", "starting", "stopping"],
  },
  volume: {},
};

/** Filters of `events`. */
export const EVENT_FILTERS: FilterKeys = {
  action: {},
  event: {},
  container: {},
  image: {},
  label: {},
  network: {},
  type: { words: ["container", "image", "volume", "network", "daemon"] },
  volume: {},
};

/** Filters of `image ls`. */
export const IMAGE_FILTERS: FilterKeys = { dangling: { words: ["true", "false"] }, label: {}, reference: {} };

/** Filters of `volume ls`. */
export const VOLUME_FILTERS: FilterKeys = { dangling: { words: ["true", "false"] }, driver: {}, label: {}, name: {} };

/** Filters of `network ls`. */
export const NETWORK_FILTERS: FilterKeys = {
  dangling: { words: ["true", "false"] },
  driver: {},
  id: {},
  label: {},
  name: {},
  scope: { words: ["local"] },
  type: { words: ["builtin", "custom"] },
};

/** Filters of `network prune`. */
export const NETWORK_PRUNE_FILTERS: FilterKeys = { label: {}, until: {} };

/**
 * Values by key.
 *
 * @throws NyxError invalid_argument for unknown keys and values
 */
export function parseFilters(texts: readonly string[], keys: FilterKeys): Record<string, string[]> {
  const out: Record<string, string[]> = {};
  for (const text of texts) {
    const equals = text.indexOf("=");
    if (equals < 1) throw invalid("filter", text, "write KEY=VALUE");
    const [key, value] = [text.slice(0, equals).trim(), text.slice(equals + 1)];
    const known = Object.hasOwn(keys, key) ? keys[key] : undefined;
    if (known === undefined) {
      throw invalid(
        "filter",
        text,
        `known keys are ${Object.keys(keys).join(", ")}${didYouMean(key, Object.keys(keys))}`,
      );
    }
    if (known.words !== undefined && !known.words.includes(value)) {
      throw invalid("filter", text, `${key} is one of ${known.words.join(", ")}`);
    }
    (out[key] ??= []).push(value);
  }
  return out;
}

/** Whether labels satisfy `key` or `key=value`. */
export function matchesLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  if (equals < 0) return Object.hasOwn(labels, wanted);
  return labels[wanted.slice(0, equals)] === wanted.slice(equals + 1);
}
