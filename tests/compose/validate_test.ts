import assert from "node:assert/strict";
import { composeError, formatDiagnostic } from "../../daemon/compose/diagnostics.ts";
import { ContentBundle } from "../../daemon/compose/files.ts";
import { loadProject } from "../../daemon/compose/load.ts";
import { findComposeFiles, splitComposeFile } from "../../daemon/spec/compose.ts";
import { errorLines, load, project } from "./memory.ts";

async function errorsOf(text: string): Promise<string[]> {
  return errorLines((await project({ "compose.yaml": text })).diagnostics);
}

async function warningsOf(text: string): Promise<string[]> {
  const loaded = await project({ "compose.yaml": text });
  assert.deepEqual(errorLines(loaded.diagnostics), []);
  return errorLines(loaded.diagnostics, "warning");
}

Deno.test("validate: all errors of all services at once, each with line and column", async () => {
  const errors = await errorsOf(`services:
  web:
    image: [a]
    ports: "80:80"
    environment: 5
    deploy:
      replicas: many
    mem_limit: lots
    restart: sometimes
  db:
    image: x
    healthcheck:
      test: [curl, x]
      interval: soon
    ports: ["70000:80", "80:http", "1-3:1-2", "1.2.3.4.5:1:1"]
    volumes: [":/x", "a:b:c:d", {type: bind, target: /x}, {type: odd, target: /y}]
    privileged: maybe
    ulimits: {NOFILE: 5}
  bad name: {image: x}
`);
  assert.deepEqual(errors, [
    "3:12 services.web.image: it is a list",
    '4:12 services.web.ports: it is the text "80:80"',
    "5:18 services.web.environment: it is the number 5",
    '7:17 services.web.deploy.replicas: the text "many" is not accepted',
    '8:16 services.web.mem_limit: the text "lots" is not accepted',
    '9:14 services.web.restart: the text "sometimes" is not accepted',
    '13:13 services.db.healthcheck.test: it begins with "curl"',
    '14:17 services.db.healthcheck.interval: the text "soon" is not accepted',
    '15:13 services.db.ports[0]: the text "70000:80" is not accepted',
    '15:25 services.db.ports[1]: the text "80:http" is not accepted',
    '15:36 services.db.ports[2]: the text "1-3:1-2" is not accepted',
    '15:47 services.db.ports[3]: the text "1.2.3.4.5:1:1" is not accepted',
    '16:15 services.db.volumes[0]: the text ":/x" is not accepted',
    '16:22 services.db.volumes[1]: the text "a:b:c:d" is not accepted',
    "16:33 services.db.volumes[2]: a bind mount needs a source",
    '16:66 services.db.volumes[3].type: the text "odd" is not accepted',
    '17:17 services.db.privileged: the text "maybe" is not accepted',
    '18:15 services.db.ulimits.NOFILE: "NOFILE" is no valid name',
    '19:3 services.bad name: "bad name" is no valid name',
  ]);
});

Deno.test("diagnostic: shows position, offending line with a caret, rule and fix", async () => {
  const { diagnostics } = await project({
    "compose.yaml": "services:\n  web:\n    image: x\n    ports:\n      - 80:80:80:80\n",
  });
  const [error] = diagnostics.filter((d) => d.severity === "error");
  assert.ok(error !== undefined);
  assert.equal(
    formatDiagnostic(error),
    [
      '/srv/shop/compose.yaml:5:9: error: services.web.ports[0]: the text "80:80:80:80" is not accepted',
      "          - 80:80:80:80",
      "            ^",
      '  fix: "80:80" is no IP address; write [HOST-IP:][HOST-PORT:]CONTAINER-PORT[/tcp|udp|sctp], such as 8080:80 or 127.0.0.1:5353:53/udp',
    ].join("\n"),
  );
  const thrown = composeError(diagnostics, "load the project");
  assert.equal(thrown.code, "invalid_argument");
  assert.match(thrown.message, /^Could not load the project: 1 error\n\/srv\/shop\/compose.yaml:5:9/);
});

Deno.test("validate: unknown keys are warned about once, with the nearest known key; extensions are noted", async () => {
  const loaded = await load(
    "x-common: &c\n  restrat: always\nservices:\n  a: {<<: *c, image: x, x-own: 1, helthcheck: {test: a}}\n  b: {<<: *c, image: x}\nvolumse: {}\n",
  );
  assert.deepEqual(errorLines(loaded.diagnostics, "warning"), [
    '2:3 services.a.restrat: the key "restrat" is unknown and ignored',
    '4:35 services.a.helthcheck: the key "helthcheck" is unknown and ignored',
    '6:1 volumse: the key "volumse" is unknown and ignored',
  ]);
  assert.deepEqual(errorLines(loaded.diagnostics, "info"), [
    '1:1 x-common: the extension "x-common" has no meaning for nyx and is ignored',
    '4:25 services.a.x-own: the extension "x-own" has no meaning for nyx and is ignored',
  ]);
  const fixes = loaded.diagnostics.filter((d) => d.code === "unknown-key").map((d) => d.fix);
  assert.deepEqual(fixes.sort(), ['did you mean "healthcheck"?', 'did you mean "restart"?', 'did you mean "volumes"?']);
});

Deno.test("validate: prose and scripts in extensions are no templates", async () => {
  await load("x-notes: 'costs $5, run $(cmd)'\nservices: {a: {image: x, x-y: '$'}}\n");
  assert.match(
    (await errorsOf("services:\n  a: {image: 'costs $5'}\n")).join(),
    /2:14 services.a.image: the "\$" at character 7 starts no variable/,
  );
});

Deno.test("validate: contradictions and circles", async () => {
  assert.deepEqual(
    await errorsOf(`services:
  a: {image: x, network_mode: host, networks: [n], depends_on: [b]}
  b: {image: x, depends_on: [c], scale: 2, deploy: {replicas: 3}}
  c: {image: x, links: ["a:alias"], mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}
  d: {image: x, container_name: one, scale: 2}
  e: {image: x, container_name: one, build: {dockerfile: a, dockerfile_inline: b}}
  f: {image: x, develop: {watch: [{path: ., action: sync}]}}
networks: {n: {external: {name: real}, name: other}}
secrets: {s: {}, t: {file: a, environment: B}}
`),
    [
      "2:17 services.a.network_mode: network_mode and networks exclude each other",
      "2:65 services.a.depends_on.b: services depend on each other in a circle: a → b → c → a",
      "3:34 services.b.scale: scale is 2 and deploy.replicas is 3",
      "4:37 services.c.mem_limit: mem_limit is 1073741824 and deploy.resources.limits.memory is 2147483648",
      '5:17 services.d.container_name: service "d" asks for several containers, and for one name: one',
      '6:17 services.e.container_name: the container name one is also that of service "d"',
      "6:61 services.e.build.dockerfile_inline: dockerfile and dockerfile_inline exclude each other",
      "7:35 services.f.develop.watch[0]: the action sync needs a target",
      "8:33 networks.n.external.name: the name is given twice",
      '9:11 secrets.s: the secret "s" has no content',
      "9:31 secrets.t.environment: file and environment exclude each other",
    ],
  );
});

Deno.test("validate: fragments load; what they lack is said, and blocks a plan where nyx cannot make it up", async () => {
  const loaded = await load(
    "services:\n  a: {depends_on: [gone], networks: [net], volumes: ['data:/d', 'sub/dir:/e'], secrets: [s]}\n",
  );
  const found = loaded.diagnostics.filter((d) => d.severity === "warning").map((d) => `${d.blocks ?? false} ${d.path}`);
  assert.deepEqual(found.sort(), [
    "false services.a.networks.net",
    "false services.a.volumes[0]",
    "true services.a",
    "true services.a.depends_on.gone",
    "true services.a.secrets[0]",
    "true services.a.volumes[1]",
  ]);
  assert.equal(loaded.model.volumes?.["data"]?.name, "shop_data");
  assert.equal(loaded.model.networks?.["net"]?.name, "shop_net");
});

Deno.test("validate: known keys that nyx cannot honour are named", async () => {
  const warnings = await warningsOf(`services:
  a:
    image: x
    gpus: all
    storage_opt: {size: 1g}
    logging: {driver: syslog}
    blkio_config: {weight: 100, device_read_bps: [{path: /dev/sda, rate: 1mb}]}
    deploy: {placement: {constraints: [a]}, endpoint_mode: vip}
    volumes: [{type: npipe, source: a, target: /b}]
  p: {provider: {type: model, options: {model: m}}}
networks: {default: {driver: overlay}}
configs: {c: {external: true}}
`);
  assert.deepEqual(warnings.map((w) => w.split(" ")[1]), [
    "services.a.gpus:",
    "services.a.storage_opt:",
    "services.a.logging.driver:",
    "services.a.blkio_config.device_read_bps:",
    "services.a.deploy.placement:",
    "services.a.deploy.endpoint_mode:",
    "services.a.volumes[0]:",
    "services.p.provider:",
    "networks.default.driver:",
  ]);
});

Deno.test("validate: numbers where texts belong are read as texts, with a warning", async () => {
  const loaded = await load("services:\n  a: {image: 1.10, hostname: 5, user: 1000, stop_grace_period: 90}\n");
  assert.equal(loaded.model.services["a"]?.hostname, "5");
  assert.equal(loaded.model.services["a"]?.user, "1000");
  assert.equal(loaded.model.services["a"]?.stop_grace_period, "1m30s");
  assert.deepEqual(loaded.diagnostics.filter((d) => d.severity === "warning").map((d) => d.code), [
    "unquoted-text",
    "unquoted-text",
    "unitless-duration",
  ]);
});

Deno.test("validate: an attacker's service names from the prototype are ordinary names", async () => {
  const loaded = await load(
    "services:\n  __proto__: {image: a}\n  constructor: {image: b, depends_on: [toString, __proto__], environment: {__proto__: 1, hasOwnProperty: 2}}\n  toString: {image: c}\n",
  );
  assert.deepEqual(Object.keys(loaded.model.services), ["__proto__", "constructor", "toString"]);
  assert.deepEqual(Object.keys(loaded.model.services["constructor"]?.environment ?? {}), [
    "__proto__",
    "hasOwnProperty",
  ]);
  assert.equal(({} as Record<string, unknown>)["image"], undefined);
  const missing = await project({
    "c.yaml": "services:\n  a: {image: x, depends_on: [constructor], networks: [toString], secrets: [valueOf]}\n",
  });
  assert.equal(missing.diagnostics.filter((d) => d.code === "undefined-reference").length, 3);
});

Deno.test("validate: files that hold no project", async () => {
  assert.match((await errorsOf("- a\n- b\n")).join(), /1:1 : it is a list/);
  assert.match((await errorsOf("just text\n")).join(), /it is the text/);
  for (const text of ["", "# only a comment\n", "services:\n", "services: {}\n"]) {
    const loaded = await project({ "compose.yaml": text });
    assert.ok(
      loaded.diagnostics.some((d) => d.code === "no-services" || d.severity === "error") || text === "" ||
        text.startsWith("#"),
      text,
    );
  }
  const none = await project({ "compose.yaml": "services: {a: {image: x}}\n" }, { files: ["other.yaml"] });
  assert.match(errorLines(none.diagnostics).join(), /other.yaml does not exist/);
});

Deno.test("ContentBundle: what a client did not send is asked for, what it lacks is not asked for again", async () => {
  const text =
    "include: [b.yaml]\nservices:\n  a: {image: x, env_file: [a.env, {path: b.env, required: false}], secrets: [s]}\nsecrets: {s: {file: s.txt}}\n";
  const bundle = new ContentBundle([["/srv/shop/compose.yaml", text], ["/srv/shop/b.env", null], [
    "/srv/shop/.env",
    null,
  ]]);
  await loadProject({ files: ["/srv/shop/compose.yaml"], reader: bundle });
  assert.deepEqual(bundle.wanted.sort(), ["/srv/shop/a.env", "/srv/shop/b.yaml", "/srv/shop/s.txt"]);
});

Deno.test("findComposeFiles: the known names in order, with their override file", () => {
  const find = (...names: string[]) => findComposeFiles((name) => names.includes(name));
  assert.deepEqual(find(), []);
  assert.deepEqual(find("compose.yml", "docker-compose.yml", "docker-compose.yaml"), ["docker-compose.yaml"]);
  assert.deepEqual(find("compose.yaml", "compose.override.yml", "docker-compose.override.yml"), [
    "compose.yaml",
    "compose.override.yml",
  ]);
  assert.deepEqual(find("podman-compose.yml", "nyx-compose.yml"), ["nyx-compose.yml"]);
  assert.deepEqual(splitComposeFile("a.yml:b.yml: "), ["a.yml", "b.yml"]);
  assert.deepEqual(splitComposeFile("a;b", ";"), ["a", "b"]);
});

Deno.test("validate: what cannot be read for want of variables is reported, left out, and blocks a plan", async () => {
  const loaded = await load(
    "services:\n  a: {image: x, ports: ['${PORT}:80', '${UNSET}'], volumes: ['${DIR}:/d'], mem_limit: '${MEM}'}\n",
  );
  const blocking = loaded.diagnostics.filter((d) => d.blocks === true).map((d) => d.path);
  assert.deepEqual(blocking.sort(), ["services.a.mem_limit", "services.a.ports[1]", "services.a.volumes[0]"]);
  assert.deepEqual(loaded.model.services["a"]?.ports?.map((p) => p.target), [80]);
});
