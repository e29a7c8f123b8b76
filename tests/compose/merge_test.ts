import assert from "node:assert/strict";
import { printModel } from "../../daemon/compose/print.ts";
import { errorLines, load, model, project } from "./memory.ts";

async function mergedService(base: string, over: string, indent = "    ") {
  const text = (body: string) => `services:\n  web:\n${body.split("\n").map((l) => indent + l).join("\n")}\n`;
  const loaded = await project({ "a.yaml": text(`image: x\n${base}`), "b.yaml": text(over) }, {
    files: ["a.yaml", "b.yaml"],
  });
  assert.deepEqual(errorLines(loaded.diagnostics), []);
  return loaded.model.services["web"];
}

Deno.test("merge: mappings join, lists append, scalars are replaced", async () => {
  const web = await mergedService(
    "environment: {A: 1, B: 2}\nlabels: [l=1]\ncap_add: [A]\ndns: 1.1.1.1\nhostname: one\ncommand: run a b\nentrypoint: [e]",
    "environment: [B=3, C=4]\nlabels: {m: 2}\ncap_add: [B, A]\ndns: [8.8.8.8]\nhostname: two\ncommand: [other]",
  );
  assert.deepEqual(web?.environment, { A: "1", B: "3", C: "4" });
  assert.deepEqual(web?.labels, { l: "1", m: "2" });
  assert.deepEqual(web?.cap_add, ["A", "B"]);
  assert.deepEqual(web?.dns, ["1.1.1.1", "8.8.8.8"]);
  assert.equal(web?.hostname, "two");
  assert.deepEqual(web?.command, ["other"]);
  assert.deepEqual(web?.entrypoint, ["e"]);
});

Deno.test("merge: ports, volumes, secrets and devices have identities; the later one takes the earlier one's place", async () => {
  const web = await mergedService(
    'ports: ["8080:80", "443:443"]\nvolumes: ["./a:/data", "./b:/other"]\ndevices: ["/dev/a:/dev/x"]',
    'ports: ["8080:80", "9090:80"]\nvolumes: ["./c:/data:ro"]\ndevices: ["/dev/b:/dev/x:r"]',
  );
  assert.deepEqual(web?.ports?.map((p) => `${p.published}:${p.target}`), ["8080:80", "443:443", "9090:80"]);
  assert.deepEqual(web?.volumes?.map((v) => `${v.source}:${v.target}:${v.read_only ?? false}`), [
    "/srv/shop/c:/data:true",
    "/srv/shop/b:/other:false",
  ]);
  assert.deepEqual(web?.devices, [{ source: "/dev/b", target: "/dev/x", permissions: "r" }]);
});

Deno.test("merge: logging options join for one driver only; ulimits, build and healthcheck join, their test is replaced", async () => {
  const other = await mergedService(
    "logging: {driver: json-file, options: {a: 1}}",
    "logging: {driver: local, options: {b: 2}}",
  );
  assert.deepEqual(other?.logging, { driver: "local", options: { b: "2" } });
  const same = await mergedService("logging: {driver: local, options: {a: 1}}", "logging: {options: {b: 2}}");
  assert.deepEqual(same?.logging, { driver: "local", options: { a: "1", b: "2" } });
  const web = await mergedService(
    "build: ./ctx\nulimits: {nofile: {soft: 1, hard: 2}, nproc: 5}\nhealthcheck: {test: [CMD, a], interval: 5s}",
    "build: {args: {X: 1}}\nulimits: {nofile: 9}\nhealthcheck: {test: curl x}",
  );
  assert.deepEqual(web?.build, { context: "/srv/shop/ctx", args: { X: "1" }, dockerfile: "Dockerfile" });
  assert.deepEqual(web?.ulimits, { nofile: 9, nproc: 5 });
  assert.deepEqual(web?.healthcheck, { test: ["CMD-SHELL", "curl x"], interval: "5s" });
});

Deno.test("merge: short and long forms of depends_on, networks and env_file join", async () => {
  const loaded = await project({
    "a.yaml":
      "services:\n  web: {image: x, depends_on: [db], networks: [front]}\n  db: {image: d}\n  c: {image: c}\nnetworks: {front: {}, back: {}}\n",
    "b.yaml":
      "services:\n  web:\n    depends_on: {db: {condition: service_healthy}, c: {condition: service_started, required: false}}\n    networks: {back: {aliases: [w]}}\n",
  }, { files: ["a.yaml", "b.yaml"] });
  assert.deepEqual(loaded.model.services["web"]?.depends_on, {
    db: { condition: "service_healthy", required: true },
    c: { condition: "service_started", required: false },
  });
  assert.deepEqual(loaded.model.services["web"]?.networks, { front: null, back: { aliases: ["w"] } });
});

Deno.test("merge: !reset removes and !override replaces, across files and in extends", async () => {
  const web = await mergedService(
    'ports: ["80:80"]\nenvironment: {A: 1, B: 2}\nvolumes: ["/a:/a"]\nrestart: always',
    'ports: !override ["81:81"]\nenvironment: {A: !reset null}\nvolumes: !reset []\nrestart: !reset ""',
  );
  assert.deepEqual(web?.ports?.map((p) => p.target), [81]);
  assert.deepEqual(web?.environment, { B: "2" });
  assert.equal(web?.volumes, undefined);
  assert.equal(web?.restart, undefined);
  const { services } = await model(
    "services:\n  base: {image: x, ports: ['1:1'], labels: {a: b}}\n  web: {extends: base, ports: !reset [], labels: !override {c: d}}\n",
  );
  assert.equal(services["web"]?.ports, undefined);
  assert.deepEqual(services["web"]?.labels, { c: "d" });
});

Deno.test("merge: a reset service or volume is gone; a third file may bring it back", async () => {
  const loaded = await project({
    "a.yaml": "services: {web: {image: a}, old: {image: b}}\n",
    "b.yaml": "services: {old: !reset null, web: {image: !reset null}}\n",
    "c.yaml": "services: {web: {image: c}}\n",
  }, { files: ["a.yaml", "b.yaml", "c.yaml"] });
  assert.deepEqual(Object.keys(loaded.model.services), ["web"]);
  assert.equal(loaded.model.services["web"]?.image, "c");
});

Deno.test("extends: chains within a file and across files; paths start from the file that they stand in", async () => {
  const loaded = await project({
    "compose.yaml":
      "services:\n  web:\n    extends: {file: common/base.yaml, service: app}\n    environment: {B: web}\n    command: mine\n",
    "common/base.yaml":
      "services:\n  root: {image: base, volumes: ['./data:/data'], environment: {A: root, B: root}}\n  app: {extends: {service: root}, build: ., environment: {A: app}, command: theirs}\n",
  });
  assert.deepEqual(errorLines(loaded.diagnostics), []);
  const web = loaded.model.services["web"];
  assert.equal(web?.image, "base");
  assert.deepEqual(web?.environment, { A: "app", B: "web" });
  assert.deepEqual(web?.command, ["mine"]);
  assert.equal(web?.volumes?.[0]?.source, "/srv/shop/common/data");
  assert.equal(web?.build?.context, "/srv/shop/common");
  assert.deepEqual(loaded.files, ["/srv/shop/compose.yaml", "/srv/shop/common/base.yaml"]);
});

Deno.test("extends: circles, missing services and missing files are errors with their place", async () => {
  const loaded = await project({
    "compose.yaml":
      "services:\n  a: {image: x, extends: b}\n  b: {extends: {service: a}}\n  c: {image: x, extends: nope}\n  d: {image: x, extends: {file: no.yaml, service: s}}\n  e: {image: x, extends: {file: other.yaml, service: s}}\n",
    "other.yaml": "services:\n  s: {extends: {file: compose.yaml, service: e}}\n",
  });
  const errors = errorLines(loaded.diagnostics);
  assert.ok(
    errors.some((e) => e.startsWith("3:7 services.b.extends: services extend each other in a circle: a → b → a")),
    errors.join("\n"),
  );
  assert.ok(errors.some((e) => e.includes('4:17 services.c.extends: there is no service "nope"')), errors.join("\n"));
  assert.ok(errors.some((e) => e.includes("the file /srv/shop/no.yaml does not exist")));
  assert.ok(errors.some((e) => e.includes("in a circle: e → s → e")), errors.join("\n"));
});

Deno.test("include: short and long form, own directory, own environment, nested; conflicts are errors", async () => {
  const loaded = await project({
    "compose.yaml":
      "include:\n  - sub/compose.yaml\n  - path: [more/a.yaml, more/b.yaml]\n    project_directory: elsewhere\n    env_file: more/vars.env\nservices:\n  web: {image: x, depends_on: [db]}\n",
    "sub/compose.yaml": "include: [nested/compose.yaml]\nservices:\n  db: {image: 'db:${TAG}', volumes: ['./d:/d']}\n",
    "sub/.env": "TAG=from-sub\nOUTER=never\n",
    "sub/nested/compose.yaml": "services:\n  deep: {image: 'deep:${OUTER}'}\nvolumes: {v: {}}\n",
    "more/a.yaml": "services:\n  more: {image: 'm:${V}', volumes: ['./m:/m'], labels: {a: 1}}\n",
    "more/b.yaml": "services:\n  more: {labels: {b: 2}}\n",
    "more/vars.env": "V=7\n",
  }, { environment: { OUTER: "outer" } });
  assert.deepEqual(errorLines(loaded.diagnostics), []);
  const { services } = loaded.model;
  assert.equal(services["db"]?.image, "db:from-sub");
  assert.equal(services["db"]?.volumes?.[0]?.source, "/srv/shop/sub/d");
  assert.equal(services["deep"]?.image, "deep:outer");
  assert.equal(services["more"]?.image, "m:7");
  assert.equal(services["more"]?.volumes?.[0]?.source, "/srv/shop/elsewhere/m");
  assert.deepEqual(services["more"]?.labels, { a: "1", b: "2" });
  const conflict = await project({
    "compose.yaml": "include: [o.yaml]\nservices:\n  web: {image: x}\n",
    "o.yaml": "services: {web: {image: y}}\n",
  });
  assert.deepEqual(errorLines(conflict.diagnostics), [
    "3:3 services.web: it is also defined by the included file /srv/shop/o.yaml",
  ]);
  const same = await project({
    "compose.yaml": "include: [o.yaml]\nservices:\n  web: {image: x, labels: {a: 1, b: 2}}\n",
    "o.yaml": "services: {web: {labels: [b=2, a=1], image: x}}\n",
  });
  assert.deepEqual(errorLines(same.diagnostics), []);
});

Deno.test("include: a circle is an error, not an endless loop", async () => {
  const loaded = await project({
    "compose.yaml": "include: [b.yaml]\nservices: {a: {image: x}}\n",
    "b.yaml": "include: [compose.yaml]\n",
  });
  assert.match(errorLines(loaded.diagnostics).join(), /the includes form a circle/);
});

Deno.test("reader: paths that climb out are asked for cleaned, so that a reader can judge them", async () => {
  const asked: string[] = [];
  const { loadProject } = await import("../../daemon/compose/load.ts");
  const text =
    "include: [../../../../etc/compose.yaml]\nservices:\n  a: {image: x, env_file: [../../../etc/shadow, /var/./x/../y], extends: {file: ./x/../../../../root/c.yaml, service: s}}\nsecrets: {s: {file: ../../../../../etc/passwd}}\n";
  await loadProject({
    files: ["/srv/shop/compose.yaml"],
    reader: {
      read: (path) => {
        asked.push(path);
        return Promise.resolve(path === "/srv/shop/compose.yaml" ? text : undefined);
      },
    },
  });
  assert.ok(
    asked.includes("/etc/compose.yaml") && asked.includes("/etc/shadow") && asked.includes("/var/y") &&
      asked.includes("/root/c.yaml"),
    asked.join(),
  );
  assert.ok(
    asked.every((path) => path.startsWith("/") && !path.split("/").some((part) => part === ".." || part === ".")),
  );
});

Deno.test("profiles: services without an enabled profile stay out, with what only they use; a named service brings its own", async () => {
  const text =
    "services:\n  web: {image: w}\n  dbg: {image: d, profiles: [debug], volumes: ['v:/v'], depends_on: [web]}\n  opt: {image: o, profiles: [x], depends_on: {dbg: {condition: service_started, required: false}}}\nvolumes: {v: {}}\n";
  assert.deepEqual(Object.keys((await model(text)).services), ["web"]);
  assert.equal((await model(text)).volumes, undefined);
  assert.deepEqual(Object.keys((await model(text, { profiles: ["debug"] })).services), ["web", "dbg"]);
  assert.deepEqual(Object.keys((await model(text, { services: ["dbg"] })).services), ["web", "dbg"]);
  assert.deepEqual(Object.keys((await model(text, { environment: { COMPOSE_PROFILES: "debug, x" } })).services), [
    "web",
    "dbg",
    "opt",
  ]);
  assert.deepEqual(Object.keys((await model(text, { profiles: ["*"] })).services), ["web", "dbg", "opt"]);
  assert.equal((await model(text, { profiles: ["x"] })).services["opt"]?.depends_on, undefined);
  const broken = await project({
    "c.yaml": "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: y, profiles: [p]}\n",
  });
  assert.match(errorLines(broken.diagnostics).join(), /2:30 services.a.depends_on.b: .*whose profile is not enabled/);
});

Deno.test("project name: flag, COMPOSE_PROJECT_NAME, name:, directory; it is a variable in the files", async () => {
  const text = "name: from-file\nservices: {a: {image: 'x:${COMPOSE_PROJECT_NAME}'}}\n";
  assert.equal((await model(text, { projectName: "flag", environment: { COMPOSE_PROJECT_NAME: "env" } })).name, "flag");
  assert.equal((await model(text, { environment: { COMPOSE_PROJECT_NAME: "env" } })).name, "env");
  const { name, services } = await model(text);
  assert.equal(name, "from-file");
  assert.equal(services["a"]?.image, "x:from-file");
  assert.equal(
    (await model("services: {a: {image: x}}\n", { projectDirectory: "/srv/My Shop_1.x" })).name,
    "myshop_1x",
  );
  const bad = await project({ "c.yaml": "name: Bad Name\nservices: {a: {image: x}}\n" });
  assert.match(errorLines(bad.diagnostics).join(), /1:7 name: "Bad Name" is no project name/);
});

Deno.test("environment: .env, --env-file, env_file with required, format and order; what is unset is reported", async () => {
  const text =
    "services:\n  a:\n    image: 'x:${TAG}${UNSET}'\n    env_file:\n      - one.env\n      - {path: two.env, required: false}\n      - {path: none.env, required: false}\n      - {path: raw.env, format: raw}\n    environment: {C: own, INHERIT: , GONE: }\n";
  const loaded = await load(text, { environment: { INHERIT: "shell" } }, {
    ".env": "TAG=dotenv\n",
    "one.env": "A=1\nB=${TAG}\n",
    "two.env": "B=two-$A\nC=file\n",
    "raw.env": "R='$A' # kept\n",
  });
  const a = loaded.model.services["a"];
  assert.equal(a?.image, "x:dotenv");
  assert.deepEqual(a?.environment, { A: "1", B: "two-1", C: "own", R: "'$A' # kept", INHERIT: "shell", GONE: null });
  assert.equal(a?.env_file, undefined);
  assert.deepEqual(errorLines(loaded.diagnostics, "warning").filter((w) => w.includes("UNSET")), [
    '3:12 services.a.image: the variable "UNSET" is not set; a blank text stands in for it',
  ]);
  const other = await load("services: {a: {image: 'x:${TAG}'}}\n", { envFiles: ["/srv/shop/prod.env"] }, {
    ".env": "TAG=no\n",
    "prod.env": "TAG=prod\n",
  });
  assert.equal(other.model.services["a"]?.image, "x:prod");
  const missing = await project({ "c.yaml": "services:\n  a: {image: x, env_file: no.env}\n" });
  assert.ok(missing.diagnostics.every((d) => d.blocks === true));
  assert.deepEqual(errorLines(missing.diagnostics, "warning"), [
    "2:27 services.a.env_file[0]: the file /srv/shop/no.env does not exist",
  ]);
});

Deno.test("interpolation off: variables stay, in numbers and ports too", async () => {
  const text =
    "services:\n  a: {image: 'x:${TAG:-1}', ports: ['${P}:80'], mem_limit: '${M}', deploy: {replicas: '${N}'}}\n";
  const loaded = await load(text, { interpolate: false });
  const printed = printModel(loaded.model, { escapeDollars: false });
  for (const part of ["x:${TAG:-1}", "${P}:80", "${M}", "${N}"]) assert.ok(printed.includes(part), part);
});
