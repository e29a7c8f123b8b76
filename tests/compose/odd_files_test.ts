/** What public compose files contain beyond the specification's examples: old formats, odd spellings, YAML's corners. */

import assert from "node:assert/strict";
import { loadProject } from "../../daemon/compose/load.ts";
import type { ComposeProject } from "../../daemon/compose/project.ts";
import { networkRequest } from "../../daemon/compose/reconcile/objects.ts";
import { planProject } from "../../daemon/compose/plan/plan.ts";
import { printModel } from "../../daemon/compose/print.ts";
import type { ComposeService } from "../../daemon/spec/compose.ts";
import { emptyWorld, PLAN } from "./memory.ts";

async function load(text: string, files: Record<string, string> = {}): Promise<ComposeProject> {
  const all = new Map([["/p/compose.yaml", text], ...Object.entries(files).map(([k, v]) => [`/p/${k}`, v] as const)]);
  return await loadProject({
    files: ["/p/compose.yaml"],
    reader: { read: (path) => Promise.resolve(all.get(path)) },
    environment: { SET: "set", HOME: "/root" },
    profiles: ["*"],
  });
}

const errors = (p: ComposeProject) => p.diagnostics.filter((d) => d.severity === "error").map((d) => d.message);

/** Loads, plans, prints, and loads what was printed: the same model again. */
async function sound(text: string, files: Record<string, string> = {}): Promise<ComposeProject> {
  const project = await load(text, files);
  assert.deepEqual(errors(project), [], text);
  planProject(project, emptyWorld(), PLAN);
  const printed = printModel(project.model);
  assert.equal(printModel((await load(printed)).model), printed, text);
  return project;
}

const service = (p: ComposeProject, name = "a"): ComposeService => p.model.services[name] ?? assert.fail(`no ${name}`);
const one = async (body: string) =>
  service(await sound(`services:\n  a:\n    image: x\n${body.replace(/^/gm, "    ")}\n`));

Deno.test("odd files: byte order mark, CRLF, several documents, a document's end, comments alone, tabs behind values", async () => {
  const crlf = await sound("\ufeffservices:\r\n  a:\r\n    image: x\t\r\n    command: |\r\n      a\r\n      b\r\n");
  assert.deepEqual([service(crlf).image, service(crlf).command], ["x", ["a", "b"]]);
  const two = await sound("---\nservices:\n  a: {image: x}\n---\n# nothing\n---\nservices:\n  b: {image: y}\n...\n");
  assert.deepEqual(Object.keys(two.model.services), ["a", "b"]);
  for (const text of ["", "# only\n", "---\n", "services:\n", "services: {}\n", "version: '3'\n"]) {
    assert.deepEqual(errors(await load(text)), [], text);
  }
  const tabs = await load("services:\n\ta:\n\t\timage: x\n");
  assert.match(errors(tabs)[0] ?? "", /Tabs are not allowed/);
});

Deno.test("odd files: one fault of syntax is told once or twice, not for every line behind it", async () => {
  const lines = Array.from({ length: 50 }, (_, i) => `    key${i}: value`).join("\n");
  const broken = await load(`services:\n  a:\n    environment: {A: \${B}}\n${lines}\n`);
  assert.ok(errors(broken).length >= 1 && errors(broken).length <= 3, String(errors(broken).length));
  assert.equal(broken.diagnostics[0]?.line, 3);
});

Deno.test("odd files: YAML 1.1's sexagesimal ports, octals, truth words, floats, large numbers and dates mean what people meant", async () => {
  const a = await one(`ports: [80:80, 22:22, 56:56, 3306:3306/tcp, 53:53/udp, 3000, 3001.0, 8084:80/TCP]
privileged: yes
tty: on
stdin_open: Yes
read_only: off
init: "true"
restart: no
user: 1000
stop_grace_period: 1m30
cpus: "1.5"
mem_limit: 1073741824
environment: {A: 1.0, B: yes, C: 010, D: 0x1F, E: 1_000, F: 12345678901234567890, G: 2001-01-01, H: 12:30:45, I: 1e3, J: null, K: ~, L: ""}`
    .replace("1m30\n", "1m30s\n"));
  assert.deepEqual(
    a.ports?.map((p) => [p.published, p.target, p.protocol].join(" ")),
    ["80 80 tcp", "22 22 tcp", "56 56 tcp", "3306 3306 tcp", "53 53 udp", " 3000 tcp", " 3001 tcp", "8084 80 tcp"],
  );
  assert.deepEqual([a.privileged, a.tty, a.stdin_open, a.read_only, a.init, a.restart, a.user], [
    true,
    true,
    true,
    false,
    true,
    "no",
    "1000",
  ]);
  assert.deepEqual(a.environment, {
    A: "1",
    B: "yes",
    C: "8",
    D: "31",
    E: "1000",
    F: "12345678901234567890",
    G: "2001-01-01",
    H: "12:30:45",
    I: "1000",
    J: null,
    K: null,
    L: "",
  });
});

Deno.test("odd files: file modes in every spelling are the same mode", async () => {
  for (const mode of ["0440", '"0440"', "0o440", "288", '"440"']) {
    const p = await sound(
      `services: {a: {image: x, configs: [{source: c, mode: ${mode}}]}}\nconfigs: {c: {content: x}}\n`,
    );
    assert.equal(service(p).configs?.[0]?.mode, "0440", mode);
  }
});

Deno.test("odd files: anchors, merge keys in lists and nested, aliases of scalars and lists, extensions at every level", async () => {
  const p = await sound(`x-a: &a {restart: always, logging: &log {driver: json-file, options: {max-file: 3}}}
x-env: &env
  <<: {DEEP: 1}
  A: 1
x-list: &list [c, d]
services:
  a:
    <<: [*a, {image: "x:1", restart: "no"}]
    x-own: {b: 1}
    environment: {<<: *env, A: 2}
    dns: *list
    command: *list
  b: &b
    <<: *a
    image: &image y
    deploy: {x-d: 1, resources: {x-e: 1}}
  c: {<<: *b, logging: *log, image: *image}
networks: {default: {x-n: 1}}
`);
  assert.deepEqual([service(p).restart, service(p).image, service(p).environment], ["always", "x:1", {
    DEEP: "1",
    A: "2",
  }]);
  assert.deepEqual([service(p).dns, service(p).command], [["c", "d"], ["c", "d"]]);
  assert.deepEqual([service(p, "c").image, service(p, "c").logging], [
    "y",
    { driver: "json-file", options: { "max-file": "3" } },
  ]);
});

Deno.test("odd files: every key of a service may be left empty", async () => {
  const keys =
    ("annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count " +
      "cpu_percent cpu_period cpu_quota cpu_shares cpus cpuset credential_spec depends_on deploy develop device_cgroup_rules devices dns " +
      "dns_opt dns_search domainname entrypoint env_file environment expose extends external_links extra_hosts gpus group_add healthcheck " +
      "hostname init ipc isolation label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit " +
      "models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_stop privileged profiles " +
      "provider pull_policy read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal " +
      "storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir")
      .split(" ");
  const all = await load(`services:\n  a:\n    image: x\n${keys.map((k) => `    ${k}:\n`).join("")}`);
  assert.deepEqual(errors(all), []);
  assert.deepEqual(all.diagnostics.filter((d) => d.code === "unknown-key"), []);
  for (const key of keys) assert.deepEqual(errors(await load(`services: {a: {image: x, ${key}: }}`)), [], key);
  for (const section of ["networks", "volumes", "configs", "secrets", "models", "include", "name", "x-a"]) {
    assert.deepEqual(errors(await load(`services: {a: {image: x}}\n${section}:\n`)), [], section);
  }
});

Deno.test("odd files: what version 2 and 3 files have: links, volumes_from, external names, log and volume drivers, limits, swarm's deploy", async () => {
  const p = await sound(`version: '2.4'
services:
  a:
    image: x
    links: [db, "db:database"]
    volumes_from: [db, "db:ro"]
    depends_on: [db]
    mem_limit: 512m
    memswap_limit: 1gb
    mem_reservation: 256M
    cpu_shares: 73
    cpuset: 0,1
    volume_driver: local
    volumes: [/data, "./x:/y:z", "~/a:/b:rw,Z", "n:/c:nocopy,ro", "/e:/e:rshared", ..:/up]
    ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}
    deploy:
      replicas: "2"
      placement: {constraints: [node.role == manager]}
      resources: {limits: {cpus: '0.50', memory: 512M}, reservations: {cpus: 0.25}}
      restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: 120s}
    healthcheck: {test: curl -f localhost || exit 1, interval: 30, timeout: "10", retries: "3"}
  db: {image: "postgres:9"}
volumes: {n: , ext: {external: {name: real}}, plain: {external: true}}
networks: {default: {external: {name: there}}, over: {driver: overlay, attachable: true}}
`);
  const a = service(p);
  assert.deepEqual(a.depends_on?.db, { condition: "service_started", required: true });
  assert.deepEqual([a.mem_limit, a.memswap_limit, a.mem_reservation], ["536870912", "1073741824", "268435456"]);
  assert.deepEqual(a.volumes?.map((v) => [v.type, v.source ?? "", v.target].join(" ")), [
    "volume  /data",
    "bind /p/x /y",
    "bind /root/a /b",
    "volume n /c",
    "bind /e /e",
    "bind / /up",
  ]);
  assert.deepEqual([a.healthcheck?.interval, a.healthcheck?.timeout, a.healthcheck?.retries], ["30s", "10s", 3]);
  assert.deepEqual([p.whole.volumes?.ext?.name, p.whole.volumes?.plain?.name, p.model.networks?.default], [
    "real",
    "plain",
    { external: true, name: "there" },
  ]);
  const said = p.diagnostics.map((d) => `${d.path}: ${d.message}`).join("\n");
  assert.match(said, /volume_driver.*(unknown|honoured)/);
  assert.match(said, /version is obsolete/);
  assert.match(said, /services\.a\.deploy\.placement: it is not honoured/);
});

Deno.test("odd files: the first format, without services:, says what to do", async () => {
  const p = await load("web:\n  image: nginx\n  ports: ['80:80']\ndb:\n  image: postgres\n");
  const found = p.diagnostics.find((d) => d.code === "no-services");
  assert.match(found?.fix ?? "", /format of before 2016: write services: above/);
  assert.equal(p.diagnostics.filter((d) => d.code === "unknown-key").length, 2);
});

Deno.test("odd files: faults of many kinds are all told, each with its line", async () => {
  const p = await load(`services:
  a: {image: x, depends_on: [b], volumes: ["c:/x:bogus"], ports: ["99999:80", "a:b"]}
  b: {image: x, depends_on: {a: {condition: service_healthy}}}
  c: {image: x, depends_on: [c], restart: sometimes, cpus: many, image: y}
  d: {image: x, network_mode: "service:e", environment: {L: [1]}}
  e: {image: x, links: [d], configs: [none], secrets: [none], networks: [none]}
  f: {extends: f, image: x, healthcheck: {interval: 5 parsecs}}
  g: {image: x, command: "unclosed 'quote", mem_limit: 5x, deploy: 7}
`);
  const told = p.diagnostics.map((d) => `${d.line} ${d.path}`);
  for (
    const where of [
      "2 services.a.ports[0]",
      "2 services.a.ports[1]",
      "2 services.a.depends_on.b",
      "4 services.c.restart",
      "4 services.c.cpus",
      "4 services.c.image",
      "4 services.c.depends_on.c",
      "5 services.d.environment.L",
      "7 services.f.extends",
      "7 services.f.healthcheck.interval",
      "8 services.g.command",
      "8 services.g.mem_limit",
      "8 services.g.deploy",
    ]
  ) assert.ok(told.includes(where), `${where} in\n${told.join("\n")}`);
  assert.ok(p.diagnostics.some((d) => /circle: d → e → d|circle: e → d → e/.test(d.message)));
});

Deno.test("odd files: large ones of real size load in a fraction of a second", async () => {
  const services = Array.from(
    { length: 500 },
    (_, i) =>
      `  s${i}:\n    image: x:\${TAG:-${i}}\n    ports: ["${10000 + i}:80"]\n    environment:\n` +
      Array.from({ length: 20 }, (_, k) => `      - KEY${k}=\${SET}\n`).join(""),
  ).join("");
  const begin = performance.now();
  const p = await load(`services:\n${services}`);
  assert.deepEqual([errors(p), Object.keys(p.model.services).length], [[], 500]);
  assert.ok(performance.now() - begin < 10_000);
});

Deno.test("odd files: macvlan and ipvlan networks with their parent, addresses of others, options as numbers", async () => {
  const p = await sound(`services: {a: {image: x, networks: {lan: {ipv4_address: 192.168.1.200}}}}
networks:
  lan:
    driver: macvlan
    driver_opts: {parent: eth0, com.docker.network.driver.mtu: 1400}
    ipam: {config: [{subnet: 192.168.1.0/24, gateway: 192.168.1.1, ip_range: 192.168.1.192/27, aux_addresses: {router: 192.168.1.223}}]}
`);
  assert.deepEqual(p.diagnostics.filter((d) => d.severity !== "info"), []);
  const { labels: _, ...request } = networkRequest("p", "lan", p.model.networks?.lan ?? assert.fail());
  assert.deepEqual(request, {
    name: "p_lan",
    driver: "macvlan",
    subnets: [{
      subnet: "192.168.1.0/24",
      gateway: "192.168.1.1",
      ipRange: "192.168.1.192/27",
      auxAddresses: { router: "192.168.1.223" },
    }],
    options: { parent: "eth0", "com.docker.network.driver.mtu": "1400" },
  });
  const overlay = await load(
    "services: {a: {image: x, networks: [o]}}\nnetworks: {o: {driver: overlay, attachable: true, enable_ipv4: false}}\n",
  );
  assert.deepEqual(overlay.diagnostics.map((d) => d.path), [
    "networks.o.driver",
    "networks.o.attachable",
  ]);
});

Deno.test("networkRequest: enable_ipv4: false asks for a network with IPv6 alone; true and nothing ask for nothing", async () => {
  const project = await load(
    "services: {a: {image: x, networks: [o, p, q]}}\nnetworks:\n  o: {enable_ipv4: false, enable_ipv6: true}\n" +
      "  p: {enable_ipv4: true}\n  q: {}\n",
  );
  const families = Object.entries(project.model.networks ?? {}).map(([key, network]) => {
    const { ipv4, ipv6 } = networkRequest("p", key, network);
    return [key, ipv4, ipv6];
  });
  assert.deepEqual(families, [["o", false, true], ["p", undefined, undefined], ["q", undefined, undefined]]);
});
