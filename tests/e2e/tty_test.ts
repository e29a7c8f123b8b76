import assert from "node:assert/strict";
import { startWorld } from "../support/world.ts";
import { startNyxd } from "../support/daemon.ts";
import type { AttachedStream } from "../../mod.ts";

/** Collects a stream's output and lets a test wait for text in it. */
class Screen {
  text = "";
  exitCode: number | undefined;
  readonly #stream: AttachedStream;
  readonly done: Promise<void>;

  constructor(stream: AttachedStream) {
    this.#stream = stream;
    this.done = this.#read();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const item of this.#stream) {
      if (item.kind === "event") {
        if (item.event.event === "exit") this.exitCode = item.event.exitCode;
      } else this.text += decoder.decode(item.bytes, { stream: true });
    }
  }

  async type(line: string): Promise<void> {
    await this.#stream.write(new TextEncoder().encode(line));
  }

  async until(pattern: RegExp): Promise<void> {
    for (let i = 0; i < 400; i++) {
      if (pattern.test(this.text)) return;
      await new Promise((r) => setTimeout(r, 10));
    }
    assert.fail(`${pattern} did not appear in ${JSON.stringify(this.text)}`);
  }
}

Deno.test("a terminal: size at start, resize, echo, control characters, exit code", async () => {
  await using world = await startWorld();
  const { nyxd: { client }, image } = world;
  const attach = { stdin: true, stdout: true, stderr: true, rows: 33, cols: 111 };
  const stream = await client.containers.attachRun({
    image,
    tty: true,
    openStdin: true,
    args: ["sh"],
    autoRemove: true,
    attach,
  });
  const screen = new Screen(stream);
  await screen.type("stty size; echo TERM=$TERM\n");
  await screen.until(/33 111[\s\S]*TERM=xterm/);
  await stream.resize(40, 120);
  await screen.type("sleep 0.1; stty size\n");
  await screen.until(/40 120/);
  await screen.type("sleep 100\n");
  await new Promise((r) => setTimeout(r, 300));
  await screen.type("\x03");
  await screen.type("echo after-$((40+2)); exit 6\n");
  await screen.done;
  assert.match(screen.text, /after-42/);
  assert.equal(screen.exitCode, 6);
});

Deno.test("a terminal survives kill -9 of nyxd: a new attach sees what is printed and can type", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  const { id } = await nyxd.client.containers.run({ image, tty: true, openStdin: true, args: ["sh"] });
  await nyxd.stop("SIGKILL");
  await using next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  const stream = await next.client.containers.attach(id, { stdin: true, stdout: true, stderr: true });
  const screen = new Screen(stream);
  await screen.type("echo still-$((40+2)); exit 3\n");
  await screen.done;
  assert.match(screen.text, /still-42/);
  assert.equal((await next.client.containers.inspect(id)).state.exit_code, 3);
});

Deno.test("exec with a terminal: own size, exit code, and many at once beside each other", async () => {
  await using world = await startWorld();
  const { nyxd: { client }, image } = world;
  const { id } = await client.containers.run({ image, args: ["sleep", "1000"] });
  const one = async (n: number) => {
    const stream = await client.containers.exec(id, {
      argv: ["sh", "-c", `usleep 200000; stty size; exit ${n}`],
      tty: true,
      rows: 10 + n,
      cols: 80,
    });
    const screen = new Screen(stream);
    await screen.done;
    assert.match(screen.text, new RegExp(`^${10 + n} 80`));
    assert.equal(screen.exitCode, n);
  };
  await Promise.all(Array.from({ length: 12 }, (_, n) => one(n)));
});

Deno.test("attach: several at once see the same output; one that leaves does not stop the process", async () => {
  await using world = await startWorld();
  const { nyxd: { client }, image } = world;
  const { id } = await client.containers.run({ image, openStdin: true, args: ["cat"] });
  const open = async () => {
    const stream = await client.containers.attach(id, { stdin: true, stdout: true, stderr: true });
    return { stream, screen: new Screen(stream) };
  };
  const [a, b] = [await open(), await open()];
  await a.screen.type("hello\n");
  await a.screen.until(/hello/);
  await b.screen.until(/hello/);
  a.stream.close();
  await b.screen.type("again\n");
  await b.screen.until(/again/);
  assert.equal((await client.containers.inspect(id)).state.status, "running");
  await b.stream.closeStdin();
  await b.screen.done;
  assert.equal(b.screen.exitCode, 0);
});
