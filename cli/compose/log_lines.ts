/** Output of several containers in one stream: whole lines, each behind the name of its container. */

import { type ContainerLogQuery, FRAME, FrameDecoder } from "../../mod.ts";
import type { Context } from "../context.ts";
import type { Paint } from "../render/color.ts";
import { displayWidth } from "../render/width.ts";

/** Longest piece without a line end that is held back. */
const MAX_HELD = 64 * 1024;
const LINE_END = 10;

const encoder = new TextEncoder();

/** A container whose output is shown. */
export interface Shown {
  id: string;
  /** As it stands before its lines. */
  label: string;
}

/** Writes lines of many containers. */
export class LineWriter {
  readonly #context: Context;
  readonly #prefix: boolean;
  readonly #paints: ((text: string) => string)[];
  readonly #prefixes = new Map<string, Uint8Array>();
  #width = 0;
  #tail: Promise<void> = Promise.resolve();

  /** @param options `prefix` false leaves the names out; `color` false leaves them plain */
  constructor(context: Context, options: { prefix: boolean; color: boolean }) {
    this.#context = context;
    this.#prefix = options.prefix;
    const paint: Paint = context.paintOut;
    this.#paints = options.color ? [paint.cyan, paint.yellow, paint.green, paint.red, paint.bold] : [(text) => text];
  }

  /** Makes room for these names, so that columns stand in line. */
  expect(labels: readonly string[]): void {
    this.#width = Math.max(this.#width, ...labels.map(displayWidth));
    this.#prefixes.clear();
  }

  #prefixOf(label: string): Uint8Array {
    const found = this.#prefixes.get(label);
    if (found !== undefined) return found;
    const paint = this.#paints[hash(label) % this.#paints.length] ?? ((text: string) => text);
    const padded = `${label}${" ".repeat(Math.max(0, this.#width - displayWidth(label)))}`;
    const prefix = this.#prefix ? encoder.encode(`${paint(`${padded}  |`)} `) : new Uint8Array(0);
    this.#prefixes.set(label, prefix);
    return prefix;
  }

  /** Writes one line, given without its end. */
  line(label: string, line: Uint8Array): Promise<void> {
    const prefix = this.#prefixOf(label);
    const whole = new Uint8Array(prefix.byteLength + line.byteLength + 1);
    whole.set(prefix);
    whole.set(line, prefix.byteLength);
    whole[whole.byteLength - 1] = LINE_END;
    const mine = this.#tail.then(() => this.#context.out.bytes(whole));
    this.#tail = mine.catch(() => {});
    return mine;
  }
}

function hash(text: string): number {
  let sum = 0;
  for (let i = 0; i < text.length; i++) sum = (sum * 31 + text.charCodeAt(i)) >>> 0;
  return sum;
}

/** Copies one container's log until it ends. */
export async function copyLog(
  context: Context,
  writer: LineWriter,
  { id, label }: Shown,
  query: ContainerLogQuery,
  signal?: AbortSignal,
): Promise<void> {
  const client = await context.client();
  const frames = new FrameDecoder();
  const held = new Map<number, Uint8Array>();
  const source = client.containers.logs(id, { ...query, format: "frames" }, signal === undefined ? {} : { signal });
  for await (const piece of source) {
    for (const { kind, payload } of frames.push(piece)) {
      if (kind !== FRAME.stdout && kind !== FRAME.stderr) continue;
      let rest = joined(held.get(kind), payload);
      for (let end = rest.indexOf(LINE_END); end >= 0; end = rest.indexOf(LINE_END)) {
        await writer.line(label, rest.subarray(0, end));
        rest = rest.subarray(end + 1);
      }
      if (rest.byteLength > MAX_HELD) {
        await writer.line(label, rest);
        rest = new Uint8Array(0);
      }
      held.set(kind, rest);
    }
  }
  for (const rest of held.values()) if (rest.byteLength > 0) await writer.line(label, rest);
}

function joined(before: Uint8Array | undefined, more: Uint8Array): Uint8Array {
  if (before === undefined || before.byteLength === 0) return more.slice();
  const whole = new Uint8Array(before.byteLength + more.byteLength);
  whole.set(before);
  whole.set(more, before.byteLength);
  return whole;
}

/** How a container is called before its lines: its name without the project's. */
export function labelOf(name: string, project: string): string {
  return name.startsWith(`${project}-`) ? name.slice(project.length + 1) : name;
}
