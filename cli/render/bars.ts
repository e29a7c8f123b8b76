/** State of a pull as events build it up, and its picture: one bar a layer and a total. Pure: the clock is handed in. */

import type { PullEvent } from "../../mod.ts";
import { formatSize } from "../../daemon/spec/parse/size.ts";
import { clockDuration } from "./time.ts";
import { padEnd, padStart, truncate } from "./width.ts";

/** Speed counts what came in this span, so that a stall shows. */
const WINDOW_MS = 4000;

/** Bytes per second over the last seconds. */
export class SpeedMeter {
  readonly #samples: { at: number; bytes: number }[] = [];

  /** Notes the bytes so far. */
  add(atMs: number, bytes: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && last.at === atMs) last.bytes = bytes;
    else this.#samples.push({ at: atMs, bytes });
    while (this.#samples.length > 2 && atMs - (this.#samples[1]?.at ?? atMs) >= WINDOW_MS) this.#samples.shift();
  }

  /** Speed now; 0 before two samples. */
  rate(nowMs: number): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined) return 0;
    const span = Math.max(nowMs, last.at) - first.at;
    return span > 0 ? (last.bytes - first.bytes) * 1000 / span : 0;
  }
}

/** One layer. */
export interface LayerState {
  digest: string;
  index: number;
  size: number;
  current: number;
  state: "waiting" | "downloading" | "unpacking" | "done" | "exists";
  meter: SpeedMeter;
}

/** All layers of one pull. */
export class PullState {
  readonly layers = new Map<string, LayerState>();
  readonly #meter = new SpeedMeter();
  count = 0;
  ref = "";
  phase: PullEvent["phase"] = "begin";

  /** Takes one event in. */
  apply(event: PullEvent, nowMs: number): LayerState | undefined {
    if (event.ref !== undefined) this.ref = event.ref;
    if (event.count !== undefined) this.count = Math.max(this.count, event.count);
    this.phase = event.phase;
    if (event.digest === undefined || !["progress", "layer_done", "layer"].includes(event.phase)) return undefined;
    const layer = this.#layer(event.digest, event.index);
    if (event.size !== undefined) layer.size = event.size;
    if (event.current !== undefined) layer.current = event.current;
    if (event.phase === "progress" && (layer.state === "waiting" || layer.state === "downloading")) {
      layer.state = layer.size > 0 && layer.current >= layer.size ? "unpacking" : "downloading";
    }
    if (event.phase === "layer_done") {
      layer.current = Math.max(layer.size, layer.current);
      if (layer.state !== "done" && layer.state !== "exists") layer.state = "unpacking";
    }
    if (event.phase === "layer") {
      layer.current = Math.max(layer.size, layer.current);
      layer.state = event.cached === true ? "exists" : "done";
    } else if (event.cached === true && event.phase === "layer_done") layer.state = "exists";
    layer.meter.add(nowMs, layer.current);
    this.#meter.add(nowMs, this.downloaded);
    return layer;
  }

  #layer(digest: string, index: number | undefined): LayerState {
    let layer = this.layers.get(digest);
    if (layer === undefined) {
      layer = {
        digest,
        index: index ?? this.layers.size,
        size: 0,
        current: 0,
        state: "waiting",
        meter: new SpeedMeter(),
      };
      this.layers.set(digest, layer);
    }
    return layer;
  }

  /** Bytes that came from the registry; what was there before does not count. */
  get downloaded(): number {
    return this.#sum((layer) => layer.current);
  }

  /** Bytes to come in all, as far as known. */
  get size(): number {
    return this.#sum((layer) => Math.max(layer.size, layer.current));
  }

  #sum(of: (layer: LayerState) => number): number {
    let sum = 0;
    for (const layer of this.layers.values()) if (layer.state !== "exists") sum += of(layer);
    return sum;
  }

  /** Layers that are ready. */
  get finished(): number {
    // A layer that an image has twice is told of once.
    if (this.phase === "done") return Math.max(this.count, this.layers.size);
    return [...this.layers.values()].filter((layer) => layer.state === "done" || layer.state === "exists").length;
  }

  /** Bytes per second, all layers together. */
  rate(nowMs: number): number {
    return this.#meter.rate(nowMs);
  }
}

/** `[=====>    ]` of a width, brackets included. */
export function bar(fraction: number, width: number): string {
  const inner = Math.max(1, width - 2);
  const filled = Math.min(inner, Math.floor(Math.min(1, Math.max(0, fraction)) * inner));
  const body = filled === inner ? "=".repeat(inner) : `${"=".repeat(Math.max(0, filled))}>`.slice(0, inner);
  return `[${body.padEnd(inner)}]`;
}

/** First twelve digits of a digest. */
export function shortDigest(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1).slice(0, 12);
}

const STATE_WORDS: Readonly<Record<LayerState["state"], string>> = {
  waiting: "waiting",
  downloading: "downloading",
  unpacking: "unpacking",
  done: "done",
  exists: "already here",
};

interface Figures {
  label: string;
  current: number;
  size: number;
  rate: number;
}

/** One line: label, bar, amounts, speed, time left; what does not fit is left out from the right, the bar shrinks first. */
function progressLine({ label, current, size, rate }: Figures, width: number): string {
  const amount = size > 0 ? `${formatSize(current, 3)}/${formatSize(size, 3)}` : formatSize(current, 3);
  const left = rate > 0 && size > current ? clockDuration((size - current) / rate) : "";
  const tail = `${padStart(amount, 15)} ${padStart(rate > 0 ? `${formatSize(rate, 3)}/s` : "", 9)} ${
    padStart(left, 6)
  }`;
  const room = width - label.length - tail.length - 2;
  const fraction = size > 0 ? current / size : 0;
  if (room >= 12) return `${label} ${bar(fraction, Math.min(room, 52))} ${tail}`;
  return truncate(`${label} ${amount}`, width);
}

/**
 * Lines of the picture, each at most `width` columns, at most `rows` of them: when the layers are too many, those at work come first.
 */
export function renderPull(state: PullState, nowMs: number, width: number, rows: number): string[] {
  const layers = [...state.layers.values()].sort((a, b) => a.index - b.index);
  const room = Math.max(1, rows - 1);
  const rank = (layer: LayerState) => ["downloading", "unpacking", "waiting", "done", "exists"].indexOf(layer.state);
  const shown = layers.length <= room
    ? layers
    : [...layers].sort((a, b) => rank(a) - rank(b) || a.index - b.index).slice(0, room);
  const lines = shown.map((layer) => {
    const label = shortDigest(layer.digest);
    if (layer.state === "downloading") {
      return progressLine({ label, current: layer.current, size: layer.size, rate: layer.meter.rate(nowMs) }, width);
    }
    const size = layer.size > 0 && layer.state !== "exists" ? ` ${formatSize(layer.size, 3)}` : "";
    return truncate(`${label} ${STATE_WORDS[layer.state]}${size}`, width);
  });
  const count = Math.max(state.count, layers.length);
  const label = padEnd(count > 0 ? `${state.finished}/${count} layers` : state.phase, 12);
  lines.push(progressLine({ label, current: state.downloaded, size: state.size, rate: state.rate(nowMs) }, width));
  return lines;
}
