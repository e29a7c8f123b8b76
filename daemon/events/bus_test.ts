import assert from "node:assert/strict";
import { EventBus, HISTORY_LIMIT } from "./bus.ts";

async function collect(bus: EventBus, options: Partial<Parameters<EventBus["subscribe"]>[0]>): Promise<string[]> {
  const seen: string[] = [];
  const until = new Date(Date.now() + 30).toISOString();
  const all = { filters: {}, signal: new AbortController().signal, until, ...options };
  for await (const e of bus.subscribe(all)) seen.push(`${e.type}.${e.action}.${e.id}`);
  return seen;
}

Deno.test("EventBus.subscribe: since replays history, until ends, filters are alternatives within a key", async () => {
  const bus = new EventBus();
  bus.emit("container", "start", "c1", { name: "web" });
  bus.emit("container", "die", "c2");
  bus.emit("image", "pull", "i1");
  assert.deepEqual(await collect(bus, { since: "0" }), ["container.start.c1", "container.die.c2", "image.pull.i1"]);
  assert.deepEqual(await collect(bus, { since: "0", filters: { event: ["die", "pull"], type: ["container"] } }), [
    "container.die.c2",
  ]);
  assert.deepEqual(await collect(bus, { since: "0", filters: { container: ["web"] } }), ["container.start.c1"]);
  assert.deepEqual(await collect(bus, {}), []);
});

Deno.test("EventBus.subscribe: live events arrive until the reader leaves", async () => {
  const bus = new EventBus();
  const controller = new AbortController();
  setTimeout(() => bus.emit("daemon", "tick", "d"), 5);
  for await (const e of bus.subscribe({ filters: {}, signal: controller.signal })) {
    assert.equal(e.action, "tick");
    controller.abort();
  }
});

Deno.test("EventBus.subscribe: a time that is none is refused with the form that is accepted", async () => {
  await assert.rejects(collect(new EventBus(), { since: "yesterday" }), {
    code: "invalid_argument",
    message: /RFC 3339/,
  });
});

Deno.test("EventBus.load: history survives a restart, a torn last line is dropped, size stays bounded", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-events-" });
  try {
    const path = `${dir}/events.ndjson`;
    const first = new EventBus(path);
    for (let i = 0; i < 3 * HISTORY_LIMIT; i++) first.emit("daemon", "tick", String(i));
    await first.close();
    await Deno.writeTextFile(path, '{"torn', { append: true });
    const second = new EventBus(path);
    await second.load();
    const seen = await collect(second, { since: "0" });
    assert.equal(seen.length, HISTORY_LIMIT);
    assert.equal(seen.at(-1), `daemon.tick.${3 * HISTORY_LIMIT - 1}`);
    await second.close();
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
