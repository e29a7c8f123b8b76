/** Volumes over the real rootfs worker. */

import assert from "node:assert/strict";
import type { MountSpec } from "../../daemon/spec/container.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { Volumes } from "../../daemon/volumes/volumes.ts";
import { readHostFacts } from "../../daemon/runtime/host_facts.ts";
import { WorkerHost } from "../../workers/host.ts";
import type { RootfsStage } from "../../workers/protocol.ts";
import { sh } from "./rootfs_fixture.ts";

const ID = "c".repeat(64);

class VolumesFixture implements AsyncDisposable {
  readonly baseDir = Deno.makeTempDirSync({ prefix: "nyx-volumes-" });
  readonly users = new Map<string, string[]>();
  readonly root = `${this.baseDir}/root`;
  readonly rootfs: WorkerHost<RootfsStage>;
  readonly volumes: Volumes;

  constructor() {
    if (Deno.uid() !== 0) throw new Error("This test mounts: run it as root");
    this.rootfs = new WorkerHost<RootfsStage>({
      name: "rootfs",
      start: () => new Worker(new URL("../../workers/rootfs/main.ts", import.meta.url), { type: "module" }),
    });
    sh(`mkdir -p ${this.root}/data/sub && echo image >${this.root}/data/f && chown 5:6 ${this.root}/data`);
    this.volumes = new Volumes({
      baseDir: this.baseDir,
      rootfs: this.rootfs,
      usersOf: (name) => this.users.get(name) ?? [],
      resolveHost: (host) => Promise.resolve(`192.0.2.${host.length}`),
    });
  }

  async resolve(...mounts: MountSpec[]) {
    return await this.volumes.resolve(ID, mounts, this.root);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rootfs.call("unmountBelow", { path: this.baseDir });
    this.rootfs.terminate();
    Deno.removeSync(this.baseDir, { recursive: true });
  }
}

const code = (wanted: string) => (e: unknown) => {
  assert.ok(e instanceof NyxError, String(e));
  assert.equal(e.code, wanted, e.message);
  return true;
};

Deno.test("Volumes: create, inspect, list, create again, remove", async () => {
  await using f = new VolumesFixture();
  const made = await f.volumes.create({ name: "db", labels: { a: "b" } });
  assert.equal(made.mountpoint, `${f.baseDir}/volumes/db/_data`);
  assert.equal(sh(`stat -c %a ${f.baseDir}/volumes/db ${made.mountpoint}`), "700\n755\n");
  assert.deepEqual(await f.volumes.create({ name: "db", labels: { a: "b" } }), made);
  const anonymous = await f.volumes.create({});
  assert.match(anonymous.name, /^[0-9a-f]{64}$/);
  assert.ok(anonymous.anonymous);
  assert.deepEqual((await f.volumes.list()).map((v) => v.name).sort(), ["db", anonymous.name].sort());
  await f.volumes.remove("db", false);
  await assert.rejects(f.volumes.inspect("db"), code("not_found"));
  await assert.rejects(f.volumes.remove("db", false), code("not_found"));
  await f.volumes.remove("db", true);
  assert.deepEqual([...Deno.readDirSync(`${f.baseDir}/volumes`)].map((e) => e.name), [anonymous.name]);
});

Deno.test("Volumes: names that lead elsewhere, other drivers and unknown options are refused", async () => {
  await using f = new VolumesFixture();
  for (const name of ["../x", ".x", "a/b", "a b", "a\0"]) {
    await assert.rejects(f.volumes.create({ name }), code("invalid_argument"), name);
    await assert.rejects(f.volumes.remove(name, true), code("invalid_argument"), name);
    await assert.rejects(f.resolve({ type: "volume", source: name, target: "/x" }), code("invalid_argument"), name);
  }
  await assert.rejects(f.volumes.create({ driver: "flocker" }), /local driver only/);
  await assert.rejects(f.volumes.create({ options: { size: "1g" } }), /type, device and o/);
  await assert.rejects(f.volumes.create({ options: { type: "tmpfs" } }), /device/);
  await assert.rejects(f.volumes.create({ options: { device: "/x" } }), /say what to mount/);
});

Deno.test("Volumes: one in use is not removed, and the error names who uses it", async () => {
  await using f = new VolumesFixture();
  await f.volumes.create({ name: "db" });
  f.users.set("db", ["web"]);
  await assert.rejects(f.volumes.remove("db", true), /container web uses it/);
  assert.deepEqual((await f.volumes.inspect("db")).usedBy, ["web"]);
  assert.deepEqual((await f.volumes.prune({ all: true })).removed, []);
});

Deno.test("Volumes.prune: anonymous ones, or all; counts what du counts", async () => {
  await using f = new VolumesFixture();
  await f.volumes.create({ name: "named" });
  const { name, mountpoint } = await f.volumes.create({});
  sh(`dd if=/dev/zero of=${mountpoint}/x bs=1M count=2 2>/dev/null`);
  const size = Number(sh(`du -s -B1 ${f.baseDir}/volumes/${name}`).split("\t")[0]);
  assert.deepEqual(await f.volumes.prune({ all: false }), { removed: [name], reclaimed: size });
  assert.deepEqual((await f.volumes.prune({ all: true })).removed, ["named"]);
});

Deno.test("Volumes.resolve: a named volume is made, filled from the image once, and kept", async () => {
  await using f = new VolumesFixture();
  const spec = { type: "volume", source: "db", target: "/data/" } as const;
  const { mounts, resolved } = await f.resolve(spec);
  const source = `${f.baseDir}/volumes/db/_data`;
  assert.deepEqual(resolved, [{ type: "bind", source, target: "/data", options: ["rbind", "rprivate", "rw"] }]);
  assert.deepEqual(mounts[0]?.name, "db");
  assert.equal(Deno.readTextFileSync(`${source}/f`), "image\n");
  assert.equal(sh(`stat -c %u:%g ${source}`), "5:6\n");
  Deno.removeSync(`${source}/f`);
  await f.resolve(spec);
  assert.throws(() => Deno.statSync(`${source}/f`));
});

Deno.test("Volumes.resolve: noCopy leaves it empty; read-only is read-only all the way down", async () => {
  await using f = new VolumesFixture();
  const { resolved } = await f.resolve({ type: "volume", source: "db", target: "/data", noCopy: true, readOnly: true });
  assert.deepEqual(resolved[0]?.options, ["rbind", "rprivate", "ro", "rro"]);
  assert.deepEqual([...Deno.readDirSync(resolved[0]?.source ?? "")], []);
});

Deno.test("Volumes.resolve: anonymous volumes are the same at each start, and go with the container alone", async () => {
  await using f = new VolumesFixture();
  const first = await f.resolve({ type: "volume", target: "/data" });
  const second = await f.resolve({ type: "volume", target: "/data" });
  assert.deepEqual(first, second);
  const name = first.mounts[0]?.name ?? "";
  assert.match(name, /^[0-9a-f]{64}$/);
  assert.ok(first.mounts[0]?.anonymous);
  f.users.set(name, ["other"]);
  await f.volumes.removeAnonymous([name, "named"]);
  assert.equal((await f.volumes.list()).length, 1);
  f.users.clear();
  await f.volumes.removeAnonymous([name]);
  assert.equal((await f.volumes.list()).length, 0);
});

Deno.test("Volumes.resolve: bind sources must exist, unless they are to be made", async () => {
  await using f = new VolumesFixture();
  const source = `${f.baseDir}/host/a`;
  await assert.rejects(f.resolve({ type: "bind", source, target: "/a" }), code("not_found"));
  await f.resolve({ type: "bind", source, target: "/a", bind: { createSource: true } });
  assert.equal(sh(`stat -c '%F %a' ${source}`), "directory 755\n");
  await assert.rejects(f.resolve({ type: "bind", source: "rel", target: "/a" }), code("invalid_argument"));
  const { resolved } = await f.resolve(
    { type: "bind", source, target: "/a", readOnly: true, bind: { propagation: "private", nonRecursive: true } },
    { type: "bind", source: "/dev/null", target: "/n" },
    { type: "bind", source: "/etc/passwd", target: "/p", readOnly: true },
  );
  assert.deepEqual(resolved.map((r) => r.options), [
    ["bind", "private", "ro"],
    ["bind", "rprivate", "rw"],
    ["bind", "rprivate", "ro"],
  ]);
  await assert.rejects(
    f.resolve({ type: "bind", source, target: "/a", bind: { propagation: "odd" as "shared" } }),
    /propagation/,
  );
});

Deno.test("Volumes.resolve: tmpfs options; targets outside are refused", async () => {
  await using f = new VolumesFixture();
  const { resolved } = await f.resolve({
    type: "tmpfs",
    target: "/t",
    sizeBytes: 4096,
    mode: 0o1770,
    options: ["exec"],
  });
  assert.deepEqual(resolved, [{
    type: "tmpfs",
    source: "tmpfs",
    target: "/t",
    options: ["nosuid", "nodev", "exec", "size=4096", "mode=1770"],
  }]);
  await assert.rejects(f.resolve({ type: "tmpfs", target: "/t", options: ["x=1,dev"] }), /tmpfs option/);
  for (const target of ["/", "t", "/a/../b"]) {
    await assert.rejects(f.resolve({ type: "tmpfs", target }), /mount target/, target);
  }
});

Deno.test("Volumes.resolve: driver options are mounted when used and taken off when idle", async () => {
  await using f = new VolumesFixture();
  const driverOptions = { type: "tmpfs", device: "tmpfs", o: "size=1m,uid=7,noexec" };
  const { resolved } = await f.resolve({ type: "volume", source: "mem", target: "/nothing", driverOptions });
  const source = resolved[0]?.source ?? "";
  assert.match(sh(`grep ' ${source} ' /proc/mounts`), /^tmpfs .* tmpfs rw,noexec,relatime,size=1024k,uid=7/);
  await f.resolve({ type: "volume", source: "mem", target: "/nothing" });
  assert.equal(sh(`grep -c ' ${source} ' /proc/mounts`).trim(), "1");
  await assert.rejects(
    f.resolve({ type: "volume", source: "mem", target: "/x", driverOptions: { ...driverOptions, o: "" } }),
    code("already_exists"),
  );
  f.users.set("mem", ["web"]);
  assert.deepEqual(await f.volumes.unmountIdle(), []);
  f.users.clear();
  assert.deepEqual(await f.volumes.unmountIdle(), ["mem"]);
  await f.resolve({ type: "volume", source: "mem", target: "/nothing" });
  await f.volumes.remove("mem", false);
  assert.ok(!Deno.readTextFileSync("/proc/mounts").includes(source));
});

Deno.test("Volumes.resolve: a bind driver volume removed leaves the host's directory alone", async () => {
  await using f = new VolumesFixture();
  const device = `${f.baseDir}/host`;
  sh(`mkdir ${device} && touch ${device}/keep`);
  const driverOptions = { type: "none", device, o: "bind,ro" };
  const { resolved } = await f.resolve({ type: "volume", source: "b", target: "/x", driverOptions });
  assert.ok(Deno.statSync(`${resolved[0]?.source}/keep`).isFile);
  assert.throws(() => Deno.writeTextFileSync(`${resolved[0]?.source}/new`, ""), /Read-only/);
  await f.volumes.remove("b", false);
  assert.ok(Deno.statSync(`${device}/keep`).isFile);
});

Deno.test("Volumes.resolve: an nfs server's name becomes an address, and a failing mount says why", async () => {
  await using f = new VolumesFixture();
  const driverOptions = { type: "nfs4", device: ":/srv", o: "addr=files,soft,timeo=1,retrans=1" };
  await assert.rejects(
    f.resolve({ type: "volume", source: "n", target: "/x", driverOptions }),
    /Could not mount the volume.*addr=192\.0\.2\.5/,
  );
});

Deno.test("Volumes.resolve: a subpath is bound out of reach of whoever else has the volume", async () => {
  await using f = new VolumesFixture();
  const { mountpoint } = await f.volumes.create({ name: "shared" });
  sh(
    `mkdir -p ${mountpoint}/in/deep && echo mine >${mountpoint}/in/deep/f && ln -s /etc ${mountpoint}/out && ln -s in ${mountpoint}/alias`,
  );
  const subpath = (s: string): MountSpec => ({ type: "volume", source: "shared", target: "/x", subpath: s });
  const { resolved } = await f.resolve(subpath("in/deep"));
  const source = resolved[0]?.source ?? "";
  assert.equal(source, `${f.baseDir}/overlay/${ID}/mounts/0`);
  // The other container swaps the directory for a link to the host after nyx has looked.
  sh(`mv ${mountpoint}/in/deep ${mountpoint}/moved && ln -s /etc ${mountpoint}/in/deep`);
  assert.equal(Deno.readTextFileSync(`${source}/f`), "mine\n");
  await f.resolve(subpath("moved"));
  for (const bad of ["out", "../shared", "alias/moved", "/etc", "in/deep", "a\0"]) {
    await assert.rejects(f.resolve(subpath(bad)), code("invalid_argument"), bad);
  }
  const file = await f.resolve({ ...subpath("moved/f"), readOnly: true });
  assert.deepEqual(file.resolved[0]?.options, ["bind", "rprivate", "ro"]);
  assert.equal(Deno.readTextFileSync(file.resolved[0]?.source ?? ""), "mine\n");
  await assert.rejects(f.resolve(subpath("none")), code("not_found"));
  await f.rootfs.call("unmount", { id: ID, baseDir: f.baseDir, removeDirs: true });
  assert.ok(!Deno.readTextFileSync("/proc/mounts").includes(source));
  assert.ok(Deno.statSync(`${mountpoint}/moved/f`).isFile);
});

Deno.test("Volumes.exportTar and importTar: owners, modes, links, times and attributes come back; the same name gives way, others stay", async () => {
  await using f = new VolumesFixture();
  const from = (await f.volumes.create({ name: "from" })).mountpoint;
  sh(`cd ${from} && mkdir -p d/e && echo one >d/f && ln d/f hard && ln -s d/f soft && chown 7:8 d/f && chmod 4751 d/f &&
    chmod 1777 d/e && touch -d @86400 d/e && setfattr -n user.k -v v d/f && mkfifo pipe && : >"odd
name"`);
  const state = (dir: string) =>
    sh(
      `cd ${dir} && find . -mindepth 1 ! -name kept -printf '%P %y %m %U:%G %n %s %l %TY-%Tm-%Td %TH:%TM\\n' | sort && getfattr -d d/f`,
    );
  const to = (await f.volumes.create({ name: "to" })).mountpoint;
  sh(`cd ${to} && mkdir d && echo old >d/f && echo stays >kept`);
  const { entries } = await f.volumes.importTar("to", await f.volumes.exportTar("from"), new AbortController().signal);
  assert.ok(entries >= 7, String(entries));
  assert.equal(state(to), state(from));
  assert.equal(sh(`cat ${to}/kept`), "stays\n");
  await f.volumes.importTar("new", await f.volumes.exportTar("from"), new AbortController().signal);
  assert.equal(state((await f.volumes.inspect("new")).mountpoint), state(from));
  await assert.rejects(f.volumes.exportTar("none"), code("not_found"));
});

Deno.test("Volumes.importTar: an attacker's archive writes through no link, no '..' and no absolute name out of the volume", async () => {
  await using f = new VolumesFixture();
  const outside = `${f.baseDir}/outside`;
  sh(
    `mkdir -p ${outside} ${f.baseDir}/a && echo safe >${outside}/file && ln -s ${outside} ${f.baseDir}/a/link && cd ${f.baseDir}/a &&
    echo bad >x && tar -cf ${f.baseDir}/links.tar link && tar -rf ${f.baseDir}/links.tar --transform=s,x,link/file, x &&
    tar -cPf ${f.baseDir}/dots.tar --transform=s,x,../../../outside/file, x && tar -cPf ${f.baseDir}/abs.tar --transform=s,x,${outside}/file, x`,
  );
  await f.volumes.create({ name: "v" });
  const data = (await f.volumes.inspect("v")).mountpoint;
  for (const name of ["links", "dots", "abs"]) {
    const body = (await Deno.open(`${f.baseDir}/${name}.tar`)).readable;
    await f.volumes.importTar("v", body, new AbortController().signal).catch(() => {});
    assert.equal(sh(`cat ${outside}/file`), "safe\n", name);
    assert.equal(sh(`find ${outside} | wc -l`), "2\n", name);
  }
  sh(`rm -rf ${data}/* && ln -s ${outside} ${data}/d`);
  const body = ReadableStream.from([await Deno.readFile(`${f.baseDir}/links.tar`)]);
  await f.volumes.importTar("v", body, new AbortController().signal).catch(() => {});
  assert.equal(sh(`cat ${outside}/file`), "safe\n");
  for (const name of ["../x", "a/b"]) {
    await assert.rejects(
      f.volumes.importTar(name, ReadableStream.from([]), new AbortController().signal),
      code("invalid_argument"),
    );
  }
});

Deno.test("Volumes.exportTar: what is read is not removed or taken off meanwhile; a driver's mount is there for it alone", async () => {
  await using f = new VolumesFixture();
  sh(`mkdir ${f.baseDir}/host && echo host >${f.baseDir}/host/h`);
  await f.volumes.create({ name: "b", options: { type: "none", device: `${f.baseDir}/host`, o: "bind" } });
  const stream = (await f.volumes.exportTar("b"))[Symbol.asyncIterator]();
  const first = await stream.next();
  assert.match(new TextDecoder().decode(first.value), /^h\0/);
  await assert.rejects(f.volumes.remove("b", true), code("failed_precondition"));
  assert.deepEqual((await f.volumes.prune({ all: true })).removed, []);
  assert.deepEqual(await f.volumes.unmountIdle(), []);
  await stream.return?.();
  assert.equal(sh(`grep -c ${f.baseDir}/volumes/b /proc/self/mountinfo || true`), "0\n");
  await f.volumes.remove("b", false);
  assert.equal(sh(`cat ${f.baseDir}/host/h`), "host\n");
  const cut = new AbortController();
  const slow = f.volumes.importTar(
    "c",
    ReadableStream.from((async function* () {
      yield new Uint8Array(512);
      while (!cut.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 5));
      throw new NyxError("canceled", "the client left");
    })()),
    cut.signal,
  );
  setTimeout(() => cut.abort(new NyxError("canceled", "the client left")), 50);
  await assert.rejects(slow, code("canceled"));
  await f.volumes.remove("c", false);
});

Deno.test("Volumes: a removal cut off after the data is repaired by the next use", async () => {
  await using f = new VolumesFixture();
  const { mountpoint } = await f.volumes.create({ name: "db" });
  Deno.removeSync(mountpoint, { recursive: true });
  await f.resolve({ type: "volume", source: "db", target: "/data" });
  assert.equal(Deno.readTextFileSync(`${mountpoint}/f`), "image\n");
  Deno.writeTextFileSync(`${f.baseDir}/volumes/db/volume.json`, "{");
  await assert.rejects(f.volumes.inspect("db"), code("data_loss"));
});

Deno.test("Volumes: twenty uses of one name at once make one volume", async () => {
  await using f = new VolumesFixture();
  const all = await Promise.all(
    Array.from({ length: 20 }, () => f.resolve({ type: "volume", source: "one", target: "/data" })),
  );
  assert.equal(new Set(all.map((r) => r.resolved[0]?.source)).size, 1);
  assert.equal((await f.volumes.list()).length, 1);
});

Deno.test("rootfs worker: shared memory for --ipc shareable is mounted, kept, and taken off with the container", async () => {
  await using f = new VolumesFixture();
  const layersDir = `${f.baseDir}/layers/${"0".repeat(32)}`;
  const diffId = `sha256:${"0".repeat(64)}`;
  sh(`mkdir -p ${layersDir}/fs`);
  const record = { version: 1, diffId, tarSize: 0, diskBytes: 0, entries: 0, bootId: "test" };
  Deno.writeTextFileSync(`${layersDir}/layer.json`, JSON.stringify(record));
  const request = {
    id: ID,
    baseDir: f.baseDir,
    layers: [diffId],
    volatile: true,
    ensureDirs: [],
    readFiles: [],
    shmSizeBytes: 1 << 20,
  };
  const { shmPath } = await f.rootfs.call("mount", request);
  assert.equal(shmPath, `${f.baseDir}/overlay/${ID}/mounts/shm`);
  await f.rootfs.call("mount", request);
  assert.equal(sh(`grep -c ' ${shmPath} ' /proc/mounts`).trim(), "1");
  await f.rootfs.call("unmount", { id: ID, baseDir: f.baseDir, removeDirs: false });
  assert.ok(!Deno.readTextFileSync("/proc/mounts").includes(f.baseDir));
});

Deno.test("rootfs worker: removing 20,000 files holds up no short request", async () => {
  await using f = new VolumesFixture();
  sh(`mkdir ${f.baseDir}/big && cd ${f.baseDir}/big && seq 20000 | xargs touch`);
  let done = false;
  const removal = f.rootfs.call("removeTree", { path: `${f.baseDir}/big` }).then(() => done = true);
  let answered = 0;
  while (!done) {
    await f.rootfs.call("ensureMountpoint", { rootfs: f.root, target: "/data/x", kind: "dir" });
    answered++;
  }
  await removal;
  assert.ok(answered >= 10, `only ${answered} requests were answered meanwhile`);
});

Deno.test("readHostFacts: agrees with what the host's own tools say", async () => {
  await using f = new VolumesFixture();
  const facts = await readHostFacts(f.rootfs);
  assert.equal(facts.kernel, sh("uname -r").trim());
  for (let i = 0; i < 200 && Object.keys(facts.seccompFilters ?? {}).length === 0; i++) {
    await new Promise((r) => setTimeout(r, 10));
  }
  assert.equal(Object.keys(facts.seccompFilters ?? {}).length, 2);
  assert.equal(facts.rlimits["nofile"]?.hard, Number(sh("ulimit -Hn")));
  const bounding = Number.parseInt(/CapBnd:\s*(\w+)/.exec(sh("cat /proc/self/status"))?.[1] ?? "", 16);
  assert.equal(facts.capabilities.length, bounding.toString(2).replaceAll("0", "").length);
  const v2 = sh("stat -fc %T /sys/fs/cgroup").trim() === "cgroup2fs";
  assert.equal(facts.cgroup === "v2", v2);
  assert.ok(facts.controllers.includes("memory"));
  assert.ok(!sh("find /sys/fs/cgroup -maxdepth 2 -name 'nyx-probe*'").includes("nyx"));
});
