import assert from "node:assert/strict";
import { type ContainerConfig, NyxError } from "../mod.ts";
import { parseArgs } from "./args/parse.ts";
import { containerConfig, parsePullPolicy, resourcesOf } from "./container_config.ts";
import { CONTAINER_FLAGS, type ContainerFlags } from "./container_flags.ts";
import { exitCodeOf } from "./failure.ts";
import { CONTAINER_FILTERS, matchesLabel, parseFilters } from "./filters.ts";

const files: Record<string, string> = {
  "env": "A=1\nHOST\n",
  "labels": "x=1\ny\n",
  "p.json": '{"defaultAction":"SCMP_ACT_ALLOW"}',
};
const sources = {
  cwd: "/home/me",
  env: (name: string) => name === "HOST" ? "here" : undefined,
  readFile: (path: string) => new TextEncoder().encode(files[path] ?? ""),
};

function config(...argv: string[]): ContainerConfig {
  const { flags, operands } = parseArgs(CONTAINER_FLAGS, argv, { optionsFirst: true });
  const [image = "", ...args] = operands;
  return containerConfig(flags as ContainerFlags, image, args, sources);
}

/** A value for each option, so that none can be parsed and then forgotten. */
const SAMPLES: Record<string, string> = {
  "add-host": "db:10.0.0.1",
  annotation: "a=b",
  "blkio-weight": "100",
  "cap-add": "NET_ADMIN",
  "cap-drop": "ALL",
  "cgroup-parent": "/x",
  cgroupns: "host",
  "cpu-period": "100000",
  "cpu-quota": "50000",
  "cpu-shares": "512",
  cpus: "1.5",
  "cpuset-cpus": "0-1",
  "cpuset-mems": "0",
  device: "/dev/fuse",
  "device-cgroup-rule": "c 1:3 r",
  dns: "1.1.1.1",
  "dns-option": "ndots:2",
  "dns-search": "example.org",
  domainname: "d",
  entrypoint: "sh",
  env: "A=b",
  "env-file": "env",
  expose: "80",
  "group-add": "audio",
  "health-cmd": "true",
  "health-interval": "5s",
  "health-retries": "2",
  "health-start-interval": "1s",
  "health-start-period": "5s",
  "health-timeout": "2s",
  hostname: "h",
  ip: "10.88.0.9",
  ip6: "fd00::9",
  ipc: "host",
  label: "a=b",
  "label-file": "labels",
  "log-driver": "none",
  "log-opt": "max-size=1m",
  "mac-address": "02:42:ac:11:00:02",
  memory: "64m",
  "memory-reservation": "32m",
  "memory-swap": "-1",
  mount: "type=tmpfs,target=/t",
  name: "n",
  network: "host",
  "network-alias": "a",
  "oom-score-adj": "-500",
  pid: "host",
  "pids-limit": "100",
  platform: "linux/arm64",
  publish: "80:80",
  restart: "always",
  "security-opt": "no-new-privileges",
  "shm-size": "1m",
  "stop-signal": "INT",
  "stop-timeout": "3",
  sysctl: "net.core.somaxconn=1",
  tmpfs: "/t",
  ulimit: "core=0",
  user: "1000",
  uts: "host",
  volume: "/d",
  workdir: "/w",
};
/** What `run` and `create` use beside the specification, or what says that the default holds. */
const ELSEWHERE = ["attach", "cidfile", "disable-content-trust", "pull", "quiet", "userns"];

Deno.test("container flags: each option is refused with a reason, changes the specification, or has another use", () => {
  const base = JSON.stringify(config("img"));
  for (const [name, spec] of Object.entries(CONTAINER_FLAGS)) {
    if (ELSEWHERE.includes(name)) continue;
    if ("refuse" in spec) {
      assert.throws(() => config(`--${name}`, "1", "img"), /cannot be honoured: \S+/, name);
      continue;
    }
    const sample = SAMPLES[name];
    assert.ok(spec.type === "bool" || sample !== undefined, `no sample for --${name}`);
    const argv = spec.type === "bool" ? [`--${name}`] : [`--${name}`, sample ?? ""];
    assert.notEqual(JSON.stringify(config(...argv, "img")), base, `--${name} is ignored`);
  }
});

Deno.test("containerConfig: a long command line, whole", () => {
  const argv = [
    ...[
      "--name",
      "web",
      "-it",
      "--rm",
      "--env-file",
      "env",
      "-e",
      "A=2",
      "-e",
      "HOST",
      "-e",
      "DROP",
      "-l",
      "b=2",
      "--label-file",
      "labels",
    ],
    ...[
      "-p",
      "80",
      "-p",
      "[::1]:53:53/udp",
      "-P",
      "--entrypoint",
      "",
      "-u",
      "1:2",
      "-w",
      "/w/",
      "-v",
      "./src:/src:ro",
      "--tmpfs",
      "/t:size=1m",
    ],
    ...[
      "-m",
      "128m",
      "--memory-swap",
      "256m",
      "--cpus",
      ".5",
      "--cap-add",
      "net_admin",
      "--security-opt",
      "seccomp=p.json",
      "--init",
    ],
    ...["--health-cmd", "true", "--stop-signal", "9", "--log-opt", "max-size=1m", "img", "-x", "y"],
  ];
  assert.deepEqual(config(...argv), {
    image: "img",
    name: "web",
    args: ["-x", "y"],
    labels: { x: "1", y: "", b: "2" },
    autoRemove: true,
    stopSignal: "SIGKILL",
    healthcheck: { type: "exec", command: ["true"], shell: true },
    entrypoint: [],
    env: ["A=1", "HOST=here", "A=2", "HOST=here", "DROP"],
    workingDir: "/w",
    user: "1:2",
    tty: true,
    openStdin: true,
    init: true,
    mounts: [
      { type: "bind", source: "/home/me/src", target: "/src", readOnly: true, bind: { createSource: true } },
      { type: "tmpfs", target: "/t", sizeBytes: 1048576 },
    ],
    resources: { memoryBytes: 134217728, memorySwapBytes: 268435456, nanoCpus: 500000000 },
    log: { maxSizeBytes: 1048576 },
    publish: [
      { hostPort: 0, containerPort: 80, protocol: "tcp" },
      { hostIp: "::1", hostPort: 53, containerPort: 53, protocol: "udp" },
    ],
    publishAll: true,
    seccomp: '{"defaultAction":"SCMP_ACT_ALLOW"}',
    capAdd: ["CAP_NET_ADMIN"],
  });
});

Deno.test("containerConfig: networks with their refinements", () => {
  assert.deepEqual(config("--network", "n1", "--ip", "10.0.0.9", "--network-alias", "a", "img").networks, [{
    network: "n1",
    ip: "10.0.0.9",
    aliases: ["a"],
  }]);
  assert.equal(config("--network", "n1", "img").networkMode, "n1");
  assert.deepEqual(config("--ip", "10.88.0.9", "img"), {
    image: "img",
    networkMode: "bridge",
    networks: [{ network: "bridge", ip: "10.88.0.9" }],
  });
  assert.equal(config("--net", "none", "img").networkMode, "none");
  const bad = [["--network", "host", "--network", "n1"], ["--network", "none", "--ip", "10.0.0.1"], [
    "--network",
    "a",
    "--network",
    "b",
    "--ip",
    "10.0.0.1",
  ], ["--network", "host", "--network", "none"]];
  for (const argv of bad) assert.throws(() => config(...argv, "img"), NyxError, argv.join(" "));
});

Deno.test("containerConfig: contradictions are refused", () => {
  const bad = [
    ["--rm", "--restart", "always"],
    ["--cpus", "1", "--cpu-quota", "50000"],
    ["-m", "64m", "--memory-swap", "32m"],
    ["-m", "64m", "--memory-reservation", "128m"],
    ["--no-healthcheck", "--health-cmd", "x"],
    ["-v", "a:/d", "--tmpfs", "/d"],
    ["--log-driver", "none", "--log-opt", "max-size=1m"],
    ["--userns", "private"],
  ];
  for (const argv of bad) {
    assert.throws(
      () => config(...argv, "img"),
      (e) => e instanceof NyxError && e.code === "invalid_argument",
      argv.join(" "),
    );
  }
  assert.deepEqual(config("--rm", "--restart", "no", "img").restart, { name: "no" });
  assert.equal(resourcesOf({}), undefined);
});

Deno.test("parsePullPolicy, parseFilters, matchesLabel, exitCodeOf", () => {
  assert.equal(parsePullPolicy(undefined), "missing");
  assert.throws(() => parsePullPolicy("often"), NyxError);
  assert.deepEqual(parseFilters(["label=a=b", "label=c", "status=exited"], CONTAINER_FILTERS), {
    label: ["a=b", "c"],
    status: ["exited"],
  });
  for (const text of ["", "=x", "label", "bogus=1", "status=gone", "constructor=1"]) {
    assert.throws(() => parseFilters([text], CONTAINER_FILTERS), NyxError, text);
  }
  assert.deepEqual(["a", "a=b", "a=c", "toString"].map((wanted) => matchesLabel({ a: "b" }, wanted)), [
    true,
    true,
    false,
    false,
  ]);
  const cause = { code: "internal" as const, message: "", context: { exitCode: 126 } };
  assert.equal(exitCodeOf({ code: "internal", message: "", cause }), 126);
  assert.equal(exitCodeOf({ code: "internal", message: "", context: { exitCode: 0 } }), undefined);
});
