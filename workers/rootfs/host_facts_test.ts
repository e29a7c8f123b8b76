import assert from "node:assert/strict";
import { linuxFile } from "../../ffi/linux/file.ts";
import { hostDevices } from "./host_devices.ts";
import { parseBoundingSet, parseLimits, parseV1Controllers } from "./host_facts.ts";
import { parseMountOptions } from "./volume_mounts.ts";

Deno.test("parseBoundingSet: bits become names", () => {
  assert.deepEqual(parseBoundingSet("CapInh:\t0\nCapBnd:\t0000000000000021\n"), ["CAP_CHOWN", "CAP_KILL"]);
  assert.equal(parseBoundingSet("CapBnd:\t000001ffffffffff\n").length, 41);
  assert.deepEqual(parseBoundingSet(""), []);
});

Deno.test("parseLimits: both limits by ulimit name, -1 for unlimited", () => {
  const limits = parseLimits(
    "Limit                     Soft Limit           Hard Limit           Units\n" +
      "Max open files            1024                 524288               files\n" +
      "Max core file size        0                    unlimited            bytes\n",
  );
  assert.deepEqual(limits, { nofile: { soft: 1024, hard: 524288 }, core: { soft: 0, hard: -1 } });
});

Deno.test("parseV1Controllers: those of mounted hierarchies alone", () => {
  const text =
    "1 2 0:1 / /c/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n3 2 0:2 / /c/systemd rw - cgroup c rw,name=systemd\n" +
    "4 2 0:3 / /c/u rw - cgroup2 cgroup2 rw\n5 2 0:4 / /m rw - tmpfs memory rw,memory\n";
  assert.deepEqual(parseV1Controllers(text), ["cpu", "cpuacct"]);
});

Deno.test("parseMountOptions: flags and data are told apart", () => {
  assert.deepEqual(parseMountOptions("ro,size=1m,noexec,,uid=5"), { flags: 1 | 8, data: "size=1m,uid=5" });
  assert.deepEqual(parseMountOptions("ro,rw"), { flags: 0, data: "" });
  assert.deepEqual(parseMountOptions("constructor"), { flags: 0, data: "constructor" });
});

Deno.test("hostDevices: one node, a directory, all; what is missing or no device is refused", () => {
  const kernel = linuxFile();
  const find = (source: string, target = source, permissions = "rwm") =>
    hostDevices(kernel, [{ source, target, permissions }], false);
  const { uid, gid } = Deno.statSync("/dev/null");
  assert.deepEqual(find("/dev/null", "/dev/nothing", "r"), [
    { path: "/dev/nothing", type: "c", major: 1, minor: 3, mode: 0o666, uid, gid, permissions: "r" },
  ]);
  assert.throws(() => find("/dev/nope"), /no such file/);
  assert.throws(() => find("/etc/passwd"), /neither a device/);
  assert.throws(() => find("/dev/../etc"), /Invalid device/);
  assert.throws(() => find("/dev/null", "/x", "rx"), /letters of rwm/);
  const dir = Deno.makeTempDirSync({ prefix: "nyx-devices-" });
  try {
    const { success } = new Deno.Command("sh", {
      args: ["-c", `cd ${dir} && mkdir sub && mknod sub/z c 1 5 && ln -s sub/z link && touch file`],
    }).outputSync();
    assert.ok(success);
    assert.deepEqual(find(dir, "/dev/d").map((d) => d.path), ["/dev/d/sub/z"]);
    assert.deepEqual(find(`${dir}/link`).map((d) => [d.path, d.major, d.minor]), [[`${dir}/link`, 1, 5]]);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
  const all = hostDevices(kernel, [], true).map((d) => d.path);
  assert.ok(all.includes("/dev/null") && all.includes("/dev/tty"));
  assert.ok(!all.some((p) => p.startsWith("/dev/pts") || p.startsWith("/dev/shm") || p === "/dev/console"));
});
