/** What `nyx compose config` prints. */

import assert from "node:assert/strict";
import { loadConfig } from "../../daemon/compose/reconcile/config.ts";
import type { ComposeConfigRequest } from "../../mod.ts";

const FILES = [
  {
    path: "/srv/shop/compose.yaml",
    content: `services:
  web:
    image: nginx:\${TAG:-1}
    depends_on: [db]
    environment: {PRICE: "5\$\$", TOKEN: "\${TOKEN:?needed}"}
    env_file: web.env
    volumes: ["./html:/html", "data:/data"]
  db: {image: "reg.example/db@sha256:${"a".repeat(64)}", secrets: [pw]}
  tool: {image: busybox, profiles: [debug]}
volumes: {data: {}}
secrets: {pw: {environment: PW}}
models: {llm: {model: ai/x}}
`,
  },
  { path: "/srv/shop/web.env", content: "FROM_FILE=1\n" },
  { path: "/srv/shop/.env", content: "TOKEN=t\nPW=p\n" },
];

async function config(options: Partial<ComposeConfigRequest> = {}): Promise<string> {
  const [file, ...contents] = FILES;
  return (await loadConfig({ files: file === undefined ? [] : [file], contents, env: { HOME: "/root" }, ...options }))
    .text;
}

Deno.test("config: the model is normalised, and text that loads again; --no-normalize leaves out what is implied", async () => {
  const whole = await config();
  assert.match(whole, /PRICE: 5\$\$\n/);
  assert.match(whole, /FROM_FILE: "1"/);
  assert.match(whole, /name: shop_data/);
  assert.match(whole, /networks:\n {2}default:\n {4}name: shop_default/);
  assert.equal(await config({ files: [{ path: "/srv/shop/compose.yaml", content: whole }], contents: [] }), whole);
  const written = await config({ no_normalize: true });
  assert.doesNotMatch(written, /default|shop_data/);
  assert.match(written, /source: \/srv\/shop\/html/);
  assert.match(await config({ no_interpolate: true }), /image: nginx:\$\{TAG:-1\}/);
  assert.match(await config({ no_path_resolution: true }), /source: \.\/html/);
  assert.match(await config({ no_env_resolution: true }), /env_file:\n +- path: \/srv\/shop\/web.env/);
});

Deno.test("config: services that are named bring what they depend on, and no more", async () => {
  const json = JSON.parse(await config({ services: ["db"], format: "json" }));
  assert.deepEqual([Object.keys(json.services), json.volumes, Object.keys(json.secrets)], [["db"], undefined, ["pw"]]);
  assert.deepEqual(Object.keys(JSON.parse(await config({ services: ["web"], format: "json" })).services), [
    "db",
    "web",
  ]);
  assert.deepEqual(Object.keys(JSON.parse(await config({ services: ["tool"], format: "json" })).services), ["tool"]);
});

Deno.test("config: lists, variables as table and JSON, environment, hashes", async () => {
  assert.equal(await config({ show: "services" }), "db\nweb\n");
  assert.equal(await config({ show: "services", profiles: ["*"] }), "db\ntool\nweb\n");
  assert.equal(await config({ show: "images" }), `nginx:1\nreg.example/db@sha256:${"a".repeat(64)}\n`);
  assert.equal(await config({ show: "volumes" }), "data\n");
  assert.equal(await config({ show: "networks" }), "default\n");
  assert.equal(await config({ show: "profiles" }), "debug\n");
  assert.match(
    await config({ show: "variables" }),
    /^NAME +REQUIRED +DEFAULT VALUE +ALTERNATE VALUE\nTAG +false +1\nTOKEN +true\n$/,
  );
  assert.deepEqual(JSON.parse(await config({ show: "variables", format: "json" })).TAG, {
    name: "TAG",
    required: false,
    defaultValue: "1",
  });
  assert.equal(await config({ show: "environment" }), "COMPOSE_PROJECT_NAME=shop\nHOME=/root\nPW=p\nTOKEN=t\n");
  assert.match(await config({ show: "hash", services: ["*"] }), /^db [0-9a-f]{64}\nweb [0-9a-f]{64}\n$/);
  assert.match(await config({ show: "hash", services: ["web"] }), /^web [0-9a-f]{64}\n$/);
});

Deno.test("config: digests take the place of tags, in the model or alone as an override file", async () => {
  const image_digests = { "docker.io/library/nginx:1": `sha256:${"b".repeat(64)}` };
  assert.match(await config({ image_digests }), new RegExp(`image: nginx@sha256:${"b".repeat(64)}`));
  assert.deepEqual(JSON.parse(await config({ image_digests, lock_image_digests: true, format: "json" })), {
    name: "shop",
    services: {
      db: { image: `reg.example/db@sha256:${"a".repeat(64)}` },
      web: { image: `nginx@sha256:${"b".repeat(64)}` },
    },
  });
});
