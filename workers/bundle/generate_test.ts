import assert from "node:assert/strict";
import type { ContainerConfig } from "../../daemon/spec/container.ts";
import type { HostFacts } from "../protocol.ts";
import { ALL_CAPABILITIES } from "./capabilities.ts";
import { renderHosts } from "./etc_files.ts";
import { etcPaths } from "./etc_files.ts";
import { buildExecProcess } from "./exec_process.ts";
import { buildSpec, type GenerateRequest } from "./generate.ts";
import { encodeSpec } from "./runtime_spec.ts";

const HOST: HostFacts = {
  cgroup: "v2",
  apparmor: false,
  capabilities: [...ALL_CAPABILITIES],
  kernel: "6.1.0",
  controllers: ["cpu", "cpuset", "memory", "pids", "io", "devices"],
  rlimits: { nofile: { soft: 1024, hard: 524_288 } },
  swapLimit: true,
  blkioWeight: true,
};

function request(config: Partial<ContainerConfig>, rest: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    id: "a",
    bundleDir: "/b",
    config: { image: "x", args: ["sh"], ...config },
    image: {},
    rootfs: "/r",
    joinPids: {},
    mounts: [],
    hostname: "box",
    hosts: [],
    resolvConf: "",
    cgroupsPath: "/nyx/a",
    host: HOST,
    ...rest,
  };
}

function build(config: Partial<ContainerConfig> = {}, rest: Partial<GenerateRequest> = {}) {
  return buildSpec(request(config, rest), etcPaths("/b"), { cpus: 4, arch: "x86_64" });
}

const spec = (config: Partial<ContainerConfig> = {}, rest: Partial<GenerateRequest> = {}) => build(config, rest).spec;
const refuses = (config: Partial<ContainerConfig>, error: RegExp, host: Partial<HostFacts> = {}) =>
  assert.throws(() => build(config, { host: { ...HOST, ...host } }), error);

Deno.test("buildSpec: mounts come parents first, the user's in place of nyx's own", () => {
  const { mounts } = spec({}, {
    mounts: [
      { type: "bind", source: "/x", target: "/a/b/c/", options: [] },
      { type: "tmpfs", source: "tmpfs", target: "/dev/shm", options: ["size=1m"] },
      { type: "bind", source: "/h", target: "/etc/hosts", options: [] },
      { type: "bind", source: "/a", target: "/a", options: [] },
    ],
  });
  const at = mounts.map((m) => m.destination);
  assert.ok(at.indexOf("/a") < at.indexOf("/a/b/c"));
  assert.equal(new Set(at).size, at.length);
  assert.deepEqual(mounts.find((m) => m.destination === "/dev/shm")?.options, ["size=1m"]);
  assert.equal(mounts.find((m) => m.destination === "/etc/hosts")?.source, "/h");
});

Deno.test("buildSpec: a mount over /dev drops what nyx mounts below it; bad targets are refused", () => {
  const mount = (target: string) => ({ type: "bind" as const, source: "/x", target, options: [] });
  const { mounts } = spec({}, { mounts: [mount("/dev")] });
  assert.deepEqual(mounts.filter((m) => m.destination.startsWith("/dev")).map((m) => m.destination), ["/dev"]);
  for (const target of ["/", "a", "/a/../b", "/..", ""]) {
    assert.throws(() => spec({}, { mounts: [mount(target)] }), /Invalid mount target/, target);
  }
  assert.throws(() => spec({}, { mounts: [mount("/a"), mount("/a/")] }), /two mounts/);
});

Deno.test("buildSpec: shared and slave mounts set the root's propagation", () => {
  const withOption = (o: string) =>
    spec({}, { mounts: [{ type: "bind", source: "/x", target: "/x", options: ["rbind", o] }] }).linux.rootfsPropagation;
  assert.equal(withOption("rshared"), "shared");
  assert.equal(withOption("rslave"), "rslave");
  assert.equal(withOption("rprivate"), undefined);
});

Deno.test("buildSpec: rro goes with a warning where the kernel has no mount_setattr", () => {
  const mounts = [{ type: "bind" as const, source: "/x", target: "/x", options: ["rbind", "ro", "rro"] }];
  const options = (kernel: string) => {
    const built = build({}, { mounts, host: { ...HOST, kernel } });
    return [built.spec.mounts.find((m) => m.destination === "/x")?.options, built.result.warnings.length];
  };
  assert.deepEqual(options("5.10.0-28-amd64"), [["rbind", "ro"], 1]);
  assert.deepEqual(options("5.12.0"), [["rbind", "ro", "rro"], 0]);
});

Deno.test("buildSpec: namespaces follow the modes", () => {
  const types = (config: Partial<ContainerConfig>, rest: Partial<GenerateRequest> = {}) =>
    spec(config, rest).linux.namespaces.map((n) => n.path === undefined ? n.type : `${n.type}=${n.path}`).sort();
  assert.deepEqual(types({}), ["cgroup", "ipc", "mount", "pid", "uts"]);
  assert.deepEqual(types({}, { netnsPath: "/n", host: { ...HOST, cgroup: "hybrid" } }), [
    "ipc",
    "mount",
    "network=/n",
    "pid",
    "uts",
  ]);
  assert.deepEqual(types({ pidMode: "host", ipcMode: "host", utsMode: "host", cgroupnsMode: "host" }), ["mount"]);
  assert.deepEqual(
    types({ pidMode: "container:c", ipcMode: "container:c" }, { joinPids: { pid: 5, ipc: 6 }, shmPath: "/shm" }),
    ["cgroup", "ipc=/proc/6/ns/ipc", "mount", "pid=/proc/5/ns/pid", "uts"],
  );
  refuses({ pidMode: "container:c" }, /that container is not running/);
  refuses({ pidMode: "other" }, /Invalid pidMode/);
  refuses({ cgroupnsMode: "x" }, /Invalid cgroupnsMode/);
  refuses({ utsMode: "host", hostname: "a" }, /Invalid hostname/);
  assert.throws(() => build({ ipcMode: "container:c" }, { joinPids: { ipc: 6 } }), /--ipc shareable/);
});

Deno.test("buildSpec: resources are checked against the host and become linux.resources", () => {
  const resources = (r: ContainerConfig["resources"]) => spec(r === undefined ? {} : { resources: r }).linux.resources;
  assert.deepEqual(resources({ memoryBytes: 10 << 20 }).memory, { limit: 10 << 20, swap: 20 << 20 });
  assert.deepEqual(resources({ memoryBytes: 10 << 20, memorySwapBytes: -1 }).memory, { limit: 10 << 20, swap: -1 });
  assert.deepEqual(resources({ nanoCpus: 1_500_000_000 }).cpu, { period: 100_000, quota: 150_000 });
  assert.deepEqual(resources({ cpuPeriodUs: 50_000, cpuQuotaUs: 25_000, cpuShares: 7 }).cpu, {
    period: 50_000,
    quota: 25_000,
    shares: 7,
  });
  assert.equal(resources({ pidsLimit: -1 }).pids, undefined);
  assert.deepEqual(resources({ blkioWeight: 500 }).blockIO, { weight: 500 });
  const bad: [NonNullable<ContainerConfig["resources"]>, RegExp][] = [
    [{ memoryBytes: 1024 }, /6 MiB/],
    [{ memorySwapBytes: 1 << 30 }, /set memoryBytes too/],
    [{ memoryBytes: 10 << 20, memorySwapBytes: 5 << 20 }, /memory plus swap/],
    [{ memoryBytes: 10 << 20, memoryReservationBytes: 11 << 20 }, /exceed the limit/],
    [{ nanoCpus: 5e9 }, /0.01 to 4 CPUs/],
    [{ nanoCpus: 1 }, /0.01 to 4 CPUs/],
    [{ nanoCpus: 1e9, cpuQuotaUs: 1000 }, /either CPUs/],
    [{ cpuShares: 1 }, /2 to 262144/],
    [{ cpusetCpus: "3-1" }, /0-2,4/],
    [{ cpusetCpus: "a" }, /0-2,4/],
    [{ blkioWeight: 5 }, /10 to 1000/],
    [{ oomScoreAdj: 2000 }, /-1000 to 1000/],
    [{ oomKillDisable: true }, /cgroup v2 has no such switch/],
  ];
  for (const [r, error] of bad) refuses({ resources: r }, error);
});

Deno.test("buildSpec: a limit whose controller the host lacks is refused with the reason", () => {
  refuses({ resources: { memoryBytes: 1 << 30 } }, /no memory cgroup controller/, { controllers: [] });
  refuses({ resources: { pidsLimit: 5 } }, /no pids cgroup controller/, { controllers: ["memory"] });
  refuses({ resources: { blkioWeight: 500 } }, /BFQ/, { blkioWeight: false });
  refuses({ resources: { memoryBytes: 1 << 30, memorySwapBytes: 2 ** 31 } }, /does not account swap/, {
    swapLimit: false,
  });
  refuses({ resources: { oomScoreAdj: -5 } }, /CAP_SYS_RESOURCE/, { capabilities: [] });
  refuses({ apparmor: "docker-default" }, /AppArmor is not enabled/);
  const { result } = build({ resources: { memoryBytes: 1 << 30 } }, { host: { ...HOST, swapLimit: false } });
  assert.match(result.warnings.join(), /Swap is not limited/);
});

Deno.test("buildSpec: sysctls must be the container's own", () => {
  refuses({ sysctls: { "vm.swappiness": "1" } }, /would change the whole host/);
  refuses({ sysctls: { "kernel.hostname": "x" } }, /would change the whole host/);
  refuses({ sysctls: { "net.core.somaxconn": "1" } }, /shares its network namespace/);
  refuses({ sysctls: { "kernel.msgmax": "1" }, ipcMode: "host" }, /shares its ipc namespace/);
  refuses({ sysctls: { "../x": "1" } }, /Invalid sysctls/);
  refuses({ sysctls: { "kernel.sem": "1\n2" } }, /one line/);
  assert.equal(spec({ sysctls: { "fs.mqueue.msg_max": "9" } }).linux.sysctl?.["fs.mqueue.msg_max"], "9");
  const joined = { netnsPath: "/n" };
  assert.ok(spec({}, joined).linux.sysctl?.["net.ipv4.ping_group_range"]);
  assert.equal(spec({ networkMode: "container:x" }, joined).linux.sysctl, undefined);
});

Deno.test("buildSpec: devices need their nodes; rules are parsed", () => {
  refuses({ devices: [{ source: "/dev/x", target: "/dev/x", permissions: "r" }] }, /none was looked up/);
  refuses({ deviceCgroupRules: ["c 1:3"] }, /Invalid deviceCgroupRules/);
  const { devices, resources } = spec({ deviceCgroupRules: ["c 13:* rw"] }, {
    devices: [{ path: "/dev/x", type: "b", major: 8, minor: 1, mode: 0o660, uid: 0, gid: 6, permissions: "r" }],
  }).linux;
  assert.deepEqual(devices, [{ path: "/dev/x", type: "b", major: 8, minor: 1, fileMode: 0o660, uid: 0, gid: 6 }]);
  assert.deepEqual(resources.devices[0], { allow: false, access: "rwm" });
  assert.deepEqual(resources.devices.slice(-2), [
    { allow: true, type: "b", major: 8, minor: 1, access: "r" },
    { allow: true, type: "c", access: "rw", major: 13 },
  ]);
});

Deno.test("buildSpec: no new privileges is on unless privileged or undone by name", () => {
  const nnp = (c: Partial<ContainerConfig>) => spec(c, { devices: [] }).process.noNewPrivileges;
  assert.equal(nnp({}), true);
  assert.equal(nnp({ noNewPrivileges: false }), false);
  assert.equal(nnp({ privileged: true }), false);
  assert.equal(nnp({ privileged: true, noNewPrivileges: true }), true);
});

Deno.test("buildSpec: masked and read-only paths can be cleared; privileged has none", () => {
  assert.ok(spec().linux.maskedPaths.includes("/proc/kcore"));
  assert.deepEqual(spec({ maskedPaths: [], readonlyPaths: [] }).linux.readonlyPaths, []);
  const privileged = spec({ privileged: true }, { devices: [] }).linux;
  assert.deepEqual([privileged.maskedPaths, privileged.readonlyPaths, privileged.seccomp], [[], [], undefined]);
});

Deno.test("buildSpec: hostnames and host entries cannot forge lines", () => {
  for (const hostname of ["a b", "-a", "a".repeat(65), "a\nb", "a..b"]) {
    assert.throws(() => build({}, { hostname }), /Invalid hostname/, hostname);
  }
  assert.throws(() => renderHosts([["1.2.3.4", ["a\n5.6.7.8 bank"]]]), /Invalid hosts/);
  assert.throws(() => renderHosts([["1.2.3.4 x", ["a"]]]), /Invalid hosts/);
});

Deno.test("buildSpec: unlimited ulimits reach the file as 2^64-1, and exec as a number below it", () => {
  const built = spec({ ulimits: [{ name: "core", soft: -1, hard: -1 }] });
  const text = encodeSpec(built);
  assert.match(text, /"RLIMIT_CORE","soft":18446744073709551615,"hard":18446744073709551615/);
  const process = buildExecProcess(JSON.parse(text), {
    bundleDir: "/b",
    argv: ["sh"],
    tty: false,
    env: [],
    privileged: false,
  });
  const printed = JSON.stringify(process.rlimits?.find((l) => l.type === "RLIMIT_CORE"));
  const value = BigInt(/"soft":(\d+)/.exec(printed)?.[1] ?? "0");
  assert.ok(value < 2n ** 64n && value > 2n ** 63n, printed);
});

Deno.test("buildSpec: ulimits are checked by name and order", () => {
  refuses({ ulimits: [{ name: "nope", soft: 1, hard: 1 }] }, /Invalid ulimits/);
  refuses({ ulimits: [{ name: "nofile", soft: 5, hard: 1 }] }, /must not exceed/);
  refuses({ ulimits: [{ name: "nofile", soft: -1, hard: 1 }] }, /must not exceed/);
});

Deno.test("buildExecProcess: an empty command and an unknown user are refused; the tty gets a TERM and a size", () => {
  const base = { bundleDir: "/b", tty: false, env: [], privileged: false };
  assert.throws(() => buildExecProcess(spec(), { ...base, argv: [] }), /no command/);
  assert.throws(() => buildExecProcess(spec(), { ...base, argv: ["a"], user: "bob" }), /user "bob"/);
  const process = buildExecProcess(spec(), {
    ...base,
    argv: ["a"],
    tty: true,
    consoleSize: { rows: 3, cols: 9 },
  });
  const privileged = buildExecProcess(spec(), {
    ...base,
    argv: ["a"],
    privileged: true,
    hostCapabilities: ["CAP_KILL", "CAP_BPF"],
  });
  assert.deepEqual(privileged.capabilities.effective, ["CAP_KILL", "CAP_BPF"]);
  assert.equal(privileged.noNewPrivileges, false);
  assert.deepEqual(process.consoleSize, { height: 3, width: 9 });
  assert.ok(process.env.includes("TERM=xterm"));
  assert.equal(process.noNewPrivileges, true);
});
