import assert from "node:assert/strict";
import type { ContainerConfig } from "../../daemon/spec/container.ts";
import { desiredContainer } from "../../daemon/compose/container.ts";
import { load, PLAN } from "./memory.ts";

async function container(service: string, more: Record<string, string> = {}, number = 1) {
  const text = `services:\n  a:\n${service.split("\n").map((line) => `    ${line}`).join("\n")}\n`;
  const project = await load(text.includes("image:") ? text : `${text}    image: x\n`, {}, more);
  const found = desiredContainer(project, "a", number, PLAN);
  assert.ok(found !== undefined);
  return found;
}

async function config(service: string, more: Record<string, string> = {}): Promise<ContainerConfig> {
  const { config, problems } = await container(service, more);
  assert.deepEqual(problems, []);
  return config;
}

Deno.test("desiredContainer: names, labels and the default network are Docker Compose's", async () => {
  const { name, config, hash } = await container("labels: {own: 1}\ndepends_on: []");
  assert.equal(name, "shop-a-1");
  assert.equal(config.networkMode, "shop_default");
  assert.deepEqual(config.networks, [{ network: "shop_default", aliases: ["a"] }]);
  assert.deepEqual(config.labels, {
    own: "1",
    "com.docker.compose.project": "shop",
    "com.docker.compose.service": "a",
    "com.docker.compose.container-number": "1",
    "com.docker.compose.oneoff": "False",
    "com.docker.compose.config-hash": hash,
    "com.docker.compose.project.working_dir": "/srv/shop",
    "com.docker.compose.project.config_files": "/srv/shop/compose.yaml",
    "com.docker.compose.depends_on": "",
    "com.docker.compose.version": "2.40.0",
  });
  assert.equal((await container("container_name: mine")).name, "mine");
});

Deno.test("desiredContainer: every setting of a service reaches the engine", async () => {
  const found = await config(`image: app:1
platform: linux/arm64
entrypoint: [/entry]
command: run 'a b'
environment: {B: 2, A: "1", GONE: }
working_dir: /w
user: 1000:1000
group_add: [audio, 44]
hostname: host.example
domainname: example
tty: true
stdin_open: true
annotations: {k: v}
restart: on-failure:3
stop_signal: quit
stop_grace_period: 1m30s
healthcheck: {test: [CMD, a, b], interval: 10s, timeout: 2s, retries: 4, start_period: 1m, start_interval: 500ms}
mem_limit: 64m
memswap_limit: -1
mem_reservation: 32m
cpus: 1.5
cpu_shares: 512
cpuset: 0-1
pids_limit: 50
blkio_config: {weight: 300}
oom_score_adj: -10
oom_kill_disable: true
shm_size: 1g
read_only: true
init: true
privileged: true
cap_add: [net_admin]
cap_drop: [ALL]
security_opt: ["no-new-privileges:true", "apparmor=unconfined", "seccomp:unconfined", "label=disable"]
devices: ["/dev/fuse", "/dev/a:/dev/b:r"]
device_cgroup_rules: ["c 1:* rwm"]
ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}
sysctls: {net.core.somaxconn: 9}
pid: host
ipc: shareable
uts: host
cgroup: private
cgroup_parent: /p
dns: 1.1.1.1
dns_search: [a.example]
dns_opt: ["ndots:1"]
extra_hosts: ["db:10.0.0.1", "gw=host-gateway"]
expose: [80, "53/udp"]
logging: {driver: json-file, options: {max-size: 1m, max-file: "2"}}
tmpfs: ["/run:size=1m", /tmp]`);
  const { labels: _, networks: __, networkMode: ___, ...rest } = found;
  assert.deepEqual(rest, {
    name: "shop-a-1",
    image: "app:1",
    platform: "linux/arm64",
    entrypoint: ["/entry"],
    args: ["run", "a b"],
    env: ["A=1", "B=2", "GONE"],
    workingDir: "/w",
    user: "1000:1000",
    groupAdd: ["audio", "44"],
    hostname: "host.example",
    domainname: "example",
    tty: true,
    openStdin: true,
    annotations: { k: "v" },
    init: true,
    stopSignal: "SIGQUIT",
    restart: { name: "on-failure", maxRetries: 3 },
    stopTimeoutS: 90,
    healthcheck: {
      type: "exec",
      command: ["a", "b"],
      intervalMs: 10_000,
      timeoutMs: 2000,
      retries: 4,
      startPeriodMs: 60_000,
      startIntervalMs: 500,
    },
    resources: {
      memoryBytes: 67_108_864,
      memorySwapBytes: -1,
      memoryReservationBytes: 33_554_432,
      nanoCpus: 1_500_000_000,
      cpuShares: 512,
      cpusetCpus: "0-1",
      pidsLimit: 50,
      blkioWeight: 300,
      oomScoreAdj: -10,
      oomKillDisable: true,
    },
    log: { driver: "json", maxSizeBytes: 1_048_576, maxFile: 2 },
    expose: ["80/tcp", "53/udp"],
    dns: ["1.1.1.1"],
    dnsSearch: ["a.example"],
    dnsOptions: ["ndots:1"],
    extraHosts: ["db:10.0.0.1", "gw:host-gateway"],
    mounts: [{ type: "tmpfs", target: "/run", sizeBytes: 1_048_576 }, { type: "tmpfs", target: "/tmp" }],
    readOnly: true,
    shmSizeBytes: 1_073_741_824,
    privileged: true,
    capAdd: ["CAP_NET_ADMIN"],
    capDrop: ["ALL"],
    noNewPrivileges: true,
    apparmor: "unconfined",
    seccomp: "unconfined",
    devices: [
      { source: "/dev/fuse", target: "/dev/fuse", permissions: "rwm" },
      { source: "/dev/a", target: "/dev/b", permissions: "r" },
    ],
    deviceCgroupRules: ["c 1:* rwm"],
    ulimits: [{ name: "nofile", soft: 1, hard: 2 }, { name: "nproc", soft: 3, hard: 3 }],
    sysctls: { "net.core.somaxconn": "9" },
    pidMode: "host",
    ipcMode: "shareable",
    utsMode: "host",
    cgroupnsMode: "private",
    cgroupParent: "/p",
  });
});

Deno.test("desiredContainer: ports join to ranges; a published range gives each container its own", async () => {
  assert.deepEqual((await config('ports: ["3000-3002:80-82", "127.0.0.1:53:53/udp", 9]')).publish, [
    { hostPort: 3000, containerPort: 80, protocol: "tcp", count: 3 },
    { hostPort: 53, containerPort: 53, protocol: "udp", hostIp: "127.0.0.1" },
    { hostPort: 0, containerPort: 9, protocol: "tcp" },
  ]);
  const ranged = 'ports: ["8000-8001:80"]';
  assert.equal((await container(ranged, {}, 2)).config.publish?.[0]?.hostPort, 8001);
  assert.match((await container(ranged, {}, 3)).problems.join(), /has no port for container 3/);
});

Deno.test("desiredContainer: mounts of all kinds, those of other services, configs and secrets under names of their content", async () => {
  const project = await load(
    `services:
  a:
    image: x
    volumes: ["./d:/d:ro,rslave", "v:/v:nocopy", /anon, {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 01777}}, {type: bind, source: /s, target: /s, bind: {create_host_path: false, recursive: disabled}}, {type: volume, source: v, target: /sub, volume: {subpath: x}}]
    volumes_from: ["b:ro"]
    secrets: [{source: s, target: key, uid: 5, gid: 6, mode: 0440}]
  b: {image: y, volumes: ["w:/w", "./other:/d"]}
volumes: {v: {}, w: {name: real}}
secrets: {s: {environment: TOKEN}}
`,
    { environment: { TOKEN: "very secret" } },
  );
  const found = desiredContainer(project, "a", 1, PLAN);
  assert.deepEqual(found?.problems, []);
  const [file] = found?.files ?? [];
  assert.match(file?.hostPath ?? "", /^\/run\/nyxd\/compose\/shop\/secrets\/[0-9a-f]{32}$/);
  assert.deepEqual({ ...file, hostPath: "" }, {
    kind: "secret",
    source: "s",
    target: "/run/secrets/key",
    hostPath: "",
    uid: 5,
    gid: 6,
    mode: 0o440,
    content: "very secret",
  });
  assert.deepEqual(found?.config.mounts, [
    { type: "volume", target: "/w", source: "real", readOnly: true },
    {
      type: "bind",
      source: "/srv/shop/d",
      target: "/d",
      readOnly: true,
      bind: { propagation: "rslave", createSource: true },
    },
    { type: "volume", target: "/v", source: "shop_v", noCopy: true },
    { type: "volume", target: "/anon" },
    { type: "tmpfs", target: "/t", sizeBytes: 1_048_576, mode: 0o1777 },
    { type: "bind", source: "/s", target: "/s", bind: { nonRecursive: true } },
    { type: "volume", target: "/sub", source: "shop_v", subpath: "x" },
    { type: "bind", source: file?.hostPath, target: "/run/secrets/key", readOnly: true },
  ]);
});

Deno.test("desiredContainer: namespaces of other services, networks by priority, links as aliases", async () => {
  const project = await load(`services:
  a: {image: x, network_mode: "service:b", pid: "service:b", ports: ["80:80"]}
  b: {image: y, networks: {one: {priority: 1}, two: {priority: 9, ipv4_address: 10.1.1.1, mac_address: "02:00:00:00:00:01", gw_priority: 3}}, mac_address: "02:00:00:00:00:02"}
  c: {image: z, links: ["b:database"], networks: [one]}
networks: {one: {external: true, name: outside}, two: {}}
`);
  const a = desiredContainer(project, "a", 1, PLAN)?.config;
  assert.equal(a?.networkMode, "container:shop-b-1");
  assert.equal(a?.pidMode, "container:shop-b-1");
  assert.equal(a?.publish, undefined);
  const b = desiredContainer(project, "b", 1, PLAN)?.config;
  assert.equal(b?.networkMode, "shop_two");
  assert.deepEqual(b?.networks, [
    { network: "shop_two", ip: "10.1.1.1", mac: "02:00:00:00:00:01", aliases: ["b", "database"], gatewayPriority: 3 },
    { network: "outside", aliases: ["b", "database"] },
  ]);
  assert.deepEqual(project.model.services["a"]?.depends_on, {
    b: { condition: "service_started", restart: true, required: true },
  });
});

Deno.test("desiredContainer: restart policies of deploy, health checks of every form", async () => {
  const policy = async (text: string) => (await config(`deploy: {restart_policy: ${text}}`)).restart;
  assert.deepEqual(await policy("{condition: none}"), { name: "no" });
  assert.deepEqual(await policy("{condition: on-failure, max_attempts: 4}"), { name: "on-failure", maxRetries: 4 });
  assert.deepEqual(await policy("{condition: any}"), { name: "always" });
  assert.deepEqual((await config("restart: no")).restart, { name: "no" });
  assert.deepEqual((await config("healthcheck: {test: curl x}")).healthcheck, {
    type: "exec",
    command: ["curl x"],
    shell: true,
  });
  assert.deepEqual((await config("healthcheck: {test: [NONE]}")).healthcheck, { type: "none" });
  assert.deepEqual((await config("healthcheck: {disable: true}")).healthcheck, { type: "none" });
  assert.deepEqual((await config("healthcheck: {interval: 1d}")).healthcheck, { type: "exec", intervalMs: 86_400_000 });
  assert.deepEqual((await config("command: []\nentrypoint: ''")).entrypoint, []);
});

Deno.test("desiredContainer: what the engine would refuse is a problem that names the key", async () => {
  const { problems } = await container(`image: "UPPER:x"
hostname: "bad host"
cap_add: [NO_SUCH]
sysctls: {vm.swappiness: 1}
stop_signal: NOPE
volumes: ["./a:relative"]
security_opt: ["seccomp=missing.json", "what=ever"]
devices: ["vendor.com/gpu=all"]
secrets: [s]`.replace("secrets: [s]", "user: x"));
  const keys = problems.map((p) => /^services\.a\.([a-z_]+)/.exec(p)?.[1]);
  assert.deepEqual([...new Set(keys)].sort(), [
    "cap_add",
    "devices",
    "hostname",
    "image",
    "security_opt",
    "stop_signal",
    "sysctls",
    "volumes",
  ]);
  const profile = await config("security_opt: ['seccomp:profile.json']", {
    "profile.json": '{"defaultAction":"SCMP_ACT_ALLOW"}',
  });
  assert.equal(profile.seccomp, '{"defaultAction":"SCMP_ACT_ALLOW"}');
});

Deno.test("serviceHash: limits, order of start and scale do not count; contents do", async () => {
  const { serviceHash } = await import("../../daemon/compose/hash.ts");
  const hash = async (service: string, secret = "one") =>
    serviceHash(
      await load(
        `services:\n  a: {image: x, secrets: [s], ${service}}\n  b: {image: y}\nsecrets: {s: {file: s}}\n`,
        {},
        { s: secret },
      ),
      "a",
    );
  const base = await hash("tty: true");
  for (
    const same of [
      "tty: true, mem_limit: 64m",
      "tty: true, scale: 3",
      "tty: true, depends_on: [b]",
      "tty: true, restart: always",
      "tty: true, profiles: []",
      "tty: 'true'",
    ]
  ) {
    assert.equal(await hash(same), base, same);
  }
  for (const other of ["tty: false", "tty: true, environment: [A=1]", "tty: true, labels: {a: b}"]) {
    assert.notEqual(await hash(other), base, other);
  }
  assert.notEqual(await hash("tty: true", "two"), base);
});
