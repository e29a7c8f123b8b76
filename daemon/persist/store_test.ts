import assert from "node:assert/strict";
import { Logger } from "../log/logger.ts";
import type { ContainerRecord } from "./record.ts";
import { migrateRecord, type Migrations, parseRecord, RECORD_VERSION } from "./record.ts";
import { RecordStore } from "./store.ts";

const ID = "ab".repeat(32);

function record(baseDir: string, name = "web"): ContainerRecord {
  return {
    v: RECORD_VERSION,
    id: ID,
    name,
    created: "2026-01-01T00:00:00.000000000Z",
    spec: { image: "x" },
    image: { ref: "x", id: "sha256:1", manifestDigest: "sha256:2", layers: [], exec: {} },
    hostname: "h",
    mounts: [],
    ports: [],
    bundleDir: `${baseDir}/bundles/${ID}`,
    rootFS: "",
    argv: [],
    stopSignal: "TERM",
    warnings: [],
    state: { status: "created", pid: 0, oomKilled: false, restartCount: 0, attempts: 0, stoppedByUser: false },
  };
}

async function withStore(job: (store: RecordStore, baseDir: string, lines: string[]) => Promise<void>): Promise<void> {
  const baseDir = Deno.makeTempDirSync({ prefix: "nyx-store-" });
  const lines: string[] = [];
  try {
    await Deno.mkdir(`${baseDir}/bundles/${ID}`, { recursive: true });
    const log = new Logger("debug", { write: (b) => lines.push(new TextDecoder().decode(b)) });
    const store = new RecordStore(baseDir, log);
    await store.prepare();
    await job(store, baseDir, lines);
  } finally {
    Deno.removeSync(baseDir, { recursive: true });
  }
}

Deno.test("RecordStore.save: a burst of saves ends with the newest content, and leaves no temporary file", () =>
  withStore(async (store, baseDir) => {
    const r = record(baseDir);
    const saves: Promise<void>[] = [];
    for (let i = 0; i < 50; i++) {
      r.state.restartCount = i;
      saves.push(store.save(r));
    }
    await Promise.all(saves);
    assert.equal((await store.load())[0]?.state.restartCount, 49);
    assert.deepEqual([...Deno.readDirSync(`${baseDir}/supervisor/containers`)].map((e) => e.name), [`${ID}.json`]);
  }));

Deno.test("RecordStore.load: a corrupt record is moved aside, reported, and rebuilt from its bundle", () =>
  withStore(async (store, baseDir, lines) => {
    await store.saveSpare(record(baseDir, "spare"));
    await Deno.writeTextFile(`${baseDir}/supervisor/containers/${ID}.json`, '{"v":1,"id":"tru');
    const [found] = await store.load();
    assert.equal(found?.name, "spare");
    const names = [...Deno.readDirSync(`${baseDir}/supervisor/containers`)].map((e) => e.name);
    assert.ok(names.some((n) => n.includes(".corrupt-")), "the corrupt file is kept");
    assert.ok(lines.some((l) => l.includes("moved aside")) && lines.some((l) => l.includes("rebuilt")));
  }));

Deno.test("RecordStore.load: a missing record is rebuilt from its bundle, a foreign file is left alone", () =>
  withStore(async (store, baseDir) => {
    await store.saveSpare(record(baseDir));
    await Deno.writeTextFile(`${baseDir}/supervisor/containers/README.json`, "mine");
    assert.equal((await store.load()).length, 1);
    assert.equal(await Deno.readTextFile(`${baseDir}/supervisor/containers/README.json`), "mine");
  }));

Deno.test("RecordStore.load: an attacker's record that names another id is not taken for it", () =>
  withStore(async (store, baseDir) => {
    const other = { ...record(baseDir), id: "cd".repeat(32) };
    await Deno.writeTextFile(`${baseDir}/supervisor/containers/${ID}.json`, JSON.stringify(other));
    assert.deepEqual(await store.load(), []);
  }));

Deno.test("RecordStore.remove: wins over a save that is under way", () =>
  withStore(async (store, baseDir) => {
    const r = record(baseDir);
    const saving = store.save(r);
    await store.remove(ID);
    await saving.catch(() => {});
    assert.deepEqual([...Deno.readDirSync(`${baseDir}/supervisor/containers`)], []);
  }));

Deno.test("migrateRecord: old versions come up step by step; a gap or a newer one is refused by name", () => {
  const migrations: Migrations = {
    1: ({ title, ...rest }) => ({ ...rest, name: title }),
    2: (r) => ({ ...r, tags: [] }),
    4: (r) => r,
  };
  const migrate = (r: Record<string, unknown>, version: number) => migrateRecord(r, { migrations, version });
  assert.deepEqual(migrate({ v: 1, title: "web", kept: 1 }, 3), { v: 3, name: "web", kept: 1, tags: [] });
  assert.deepEqual(migrate({ v: 2, name: "web" }, 3), { v: 3, name: "web", tags: [] });
  assert.deepEqual(migrate({ v: 3 }, 3), { v: 3 });
  assert.throws(() => migrate({ v: 2 }, 5), { code: "failed_precondition", message: /version 3/ });
  assert.throws(() => migrate({ v: 4 }, 3), { code: "failed_precondition", message: /version 4.*newer/ });
});

Deno.test("RecordStore.load: a record of a newer nyxd stays where it is; it and what cannot be rebuilt are unreadable, also next time", () =>
  withStore(async (store, baseDir, lines) => {
    const path = `${baseDir}/supervisor/containers/${ID}.json`;
    await Deno.writeTextFile(path, JSON.stringify({ ...record(baseDir), v: 99 }));
    const other = "cd".repeat(32);
    await Deno.writeTextFile(`${baseDir}/supervisor/containers/${other}.json`, "torn");
    assert.deepEqual(await store.load(), []);
    assert.deepEqual([...store.unreadable].sort(), [ID, other]);
    assert.equal(JSON.parse(await Deno.readTextFile(path)).v, 99);
    const again = new RecordStore(
      baseDir,
      new Logger("error", { write: (b) => lines.push(new TextDecoder().decode(b)) }),
    );
    assert.deepEqual(await again.load(), []);
    assert.deepEqual([...again.unreadable].sort(), [ID, other]);
    assert.ok(lines.some((l) => l.includes("left alone")));
  }));

Deno.test("RecordStore.load: a record of a newer nyxd is not replaced by a spare of this one", () =>
  withStore(async (store, baseDir, lines) => {
    const path = `${baseDir}/supervisor/containers/${ID}.json`;
    const newer = JSON.stringify({ ...record(baseDir), v: 99 });
    await Deno.writeTextFile(path, newer);
    await store.saveSpare(record(baseDir, "spare"));
    assert.deepEqual(await store.load(), []);
    assert.deepEqual([...store.unreadable], [ID]);
    assert.equal(await Deno.readTextFile(path), newer);
    assert.ok(!lines.some((l) => l.includes("rebuilt from")));
  }));

Deno.test("RecordStore.remove: takes what was moved aside of the record, now or before, so that its id is nobody's afterwards", () =>
  withStore(async (store, baseDir) => {
    const dir = `${baseDir}/supervisor/containers`;
    const names = () => [...Deno.readDirSync(dir)].map((e) => e.name).sort();
    const others = `${"cd".repeat(32)}.json.corrupt-1`;
    for (const name of [`${ID}.json.corrupt-1`, others]) await Deno.writeTextFile(`${dir}/${name}`, "torn before");
    await Deno.writeTextFile(`${dir}/${ID}.json`, "torn now");
    await store.saveSpare(record(baseDir));
    assert.equal((await store.load()).length, 1);
    assert.equal(names().length, 4);
    await store.remove(ID);
    assert.deepEqual(names(), [others]);
    await Deno.remove(`${baseDir}/bundles/${ID}`, { recursive: true });
    const again = new RecordStore(baseDir, new Logger("error", { write: () => 0 }));
    assert.deepEqual(await again.load(), []);
    assert.deepEqual([...again.unreadable], [ID.replaceAll("ab", "cd")]);
  }));

Deno.test("parseRecord: a version from the future is refused by name", () => {
  assert.throws(() => parseRecord('{"v":99}'), { code: "failed_precondition", message: /version 99/ });
  assert.throws(() => parseRecord("[]"), { code: "data_loss" });
  assert.throws(() => parseRecord('{"v":1,"id":"../../etc"}'), { code: "data_loss" });
});
