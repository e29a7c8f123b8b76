import assert from "node:assert/strict";
import { LeaseStore } from "./leases.ts";

const RESERVATION = {
  name: "web",
  leases: [{ network: "nyx", ip: "10.88.0.2", mac: "02:6e:0a:58:00:02" }],
  gateway: "nyx",
  ports: [],
};

/** In a network with IPv6 alone, beside one with IPv4 alone. */
const SIX = {
  name: "six",
  leases: [
    { network: "nyx", ip: "10.88.0.3", mac: "02:6e:0a:58:00:03" },
    { network: "six", mac: "06:01:02:03:04:05", ip6: "fd00::2" },
  ],
  gateway: "nyx",
  gateway6: "six",
  ports: [],
};

async function withDir(run: (dir: string) => Promise<void> | void): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-leases-" });
  try {
    await run(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test("LeaseStore: what was committed is read back, and nothing but the file is left", () =>
  withDir(async (dir) => {
    const { store } = LeaseStore.open(`${dir}/a/b`);
    store.set("x", RESERVATION);
    store.set("y", RESERVATION);
    store.delete("y");
    store.set("z", SIX);
    await Promise.all([store.commit(), store.commit()]);
    assert.deepEqual([...LeaseStore.open(`${dir}/a/b`).store.entries()], [["x", RESERVATION], ["z", SIX]]);
    assert.deepEqual([...Deno.readDirSync(`${dir}/a/b`)].map((e) => e.name), ["leases.json"]);
    assert.equal((Deno.statSync(`${dir}/a/b/leases.json`).mode ?? 0) & 0o777, 0o600);
  }));

Deno.test("LeaseStore.open: half a file of a write that a power cut ended is removed, and the whole one counts", () =>
  withDir(async (dir) => {
    const { store } = LeaseStore.open(dir);
    store.set("x", RESERVATION);
    await store.commit();
    Deno.writeTextFileSync(`${dir}/leases.json.tmp`, '{"version":1,"cont');
    assert.deepEqual([...LeaseStore.open(dir).store.entries()], [["x", RESERVATION]]);
    assert.deepEqual([...Deno.readDirSync(dir)].map((e) => e.name), ["leases.json"]);
  }));

Deno.test("LeaseStore.commit covers changes made while an earlier write was under way", () =>
  withDir(async (dir) => {
    const { store } = LeaseStore.open(dir);
    const commits: Promise<void>[] = [];
    for (let i = 0; i < 200; i++) {
      store.set(`c${i}`, RESERVATION);
      commits.push(store.commit());
      if (i % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await commits.at(-1);
    assert.equal([...LeaseStore.open(dir).store.entries()].length, 200);
    await Promise.all(commits);
  }));

Deno.test("LeaseStore.open sets a damaged file aside and says so", () =>
  withDir((dir) => {
    const damaged = [
      "",
      "{",
      "[]",
      '{"version":2,"containers":{}}',
      '{"version":1,"containers":{"x":{"name":1}}}',
      '{"version":1,"containers":{"x":{"name":"a","leases":[{"ip":1}],"ports":[]}}}',
    ];
    for (const text of damaged) {
      Deno.writeTextFileSync(`${dir}/leases.json`, text);
      const { store, warning } = LeaseStore.open(dir);
      assert.match(warning ?? "", /leases\.json\.damaged-\d+/, text);
      assert.deepEqual([...store.entries()], []);
      for (const { name } of Deno.readDirSync(dir)) {
        assert.match(name, /damaged/);
        Deno.removeSync(`${dir}/${name}`);
      }
    }
  }));
