/** The host's end of the line to a guest's agent: one request and one answer at a time, each one line. */

import { Buffer } from "node:buffer";
import type { GuestResult } from "./machine.ts";

/** Slack for the answer of a script that the guest itself stops in time. */
const SLACK_MS = 60_000;

/** A connection to an agent. */
export class Channel {
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  #next = 1;
  #busy: Promise<unknown> = Promise.resolve();

  constructor(private readonly connection: Deno.Conn) {
    this.#lines = connection.readable.pipeThrough(new TextDecoderStream()).pipeThrough(splitLines()).getReader();
    this.#writer = connection.writable.getWriter();
    this.#writer.closed.catch(() => {});
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.read();
    if (done || value === undefined) throw new Error("The guest is gone");
    return value;
  }

  /** Waits for the agent's greeting. */
  async ready(): Promise<void> {
    while (!(await this.#line()).startsWith("ready ")) {
      // A boot may leave half a line of the one before.
    }
  }

  /** Runs a script behind those already asked for. */
  async run(script: string, seconds: number): Promise<GuestResult> {
    const earlier = this.#busy;
    const mine = (async () => {
      await earlier.catch(() => {});
      return await this.#exchange(script, seconds);
    })();
    this.#busy = mine.catch(() => {});
    return await mine;
  }

  async #exchange(script: string, seconds: number): Promise<GuestResult> {
    const id = String(this.#next++);
    const request = `${id} ${seconds} ${Buffer.from(script).toString("base64")}\n`;
    await this.#writer.write(new TextEncoder().encode(request));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      const limit = seconds * 1000 + SLACK_MS;
      timer = setTimeout(() => reject(new Error(`The guest did not answer within ${limit} ms: ${script}`)), limit);
    });
    try {
      while (true) {
        const [got, code, output = ""] = (await Promise.race([this.#line(), late])).split(" ");
        if (got === id) return { code: Number(code), output: Buffer.from(output, "base64").toString() };
      }
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#lines.cancel().catch(() => {});
    try {
      this.connection.close();
    } catch {
      // The stream closed it.
    }
  }
}

function splitLines(): TransformStream<string, string> {
  let rest = "";
  return new TransformStream({
    transform(chunk, controller) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) controller.enqueue(line);
    },
  });
}
