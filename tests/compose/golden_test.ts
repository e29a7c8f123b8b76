import assert from "node:assert/strict";
import type { ComposeProject } from "../../daemon/compose/project.ts";
import { planDown } from "../../daemon/compose/plan/down.ts";
import { planProject } from "../../daemon/compose/plan/plan.ts";
import { printPlan } from "../../daemon/compose/plan/text.ts";
import { desiredContainer } from "../../daemon/compose/container.ts";
import {
  listHashes,
  listImages,
  listProfiles,
  listServices,
  listVolumes,
  printModel,
  printVariables,
} from "../../daemon/compose/print.ts";
import { emptyWorld, load, PLAN, type ProjectOptions, upWorld } from "./memory.ts";

const here = new URL("./", import.meta.url);
const SHOP = Deno.readTextFileSync(new URL("shop.yaml", here));

/** Compares with the file of that name; NYX_UPDATE_GOLDEN=1 writes it. */
function golden(name: string, text: string): void {
  const path = new URL(`golden/${name}.txt`, here);
  if (Deno.env.get("NYX_UPDATE_GOLDEN") === "1") Deno.writeTextFileSync(path, text);
  assert.equal(text, Deno.readTextFileSync(path), `${name}: set NYX_UPDATE_GOLDEN=1 when the difference is wanted`);
}

function shop(text = SHOP, more: Record<string, string> = {}, options: ProjectOptions = {}): Promise<ComposeProject> {
  return load(text, options, { "db_password.txt": "hunter2hunter2\n", "web.env": "MODE=prod\n", ...more });
}

const replaced = (from: string, to: string): string => {
  assert.ok(SHOP.includes(from), from);
  return SHOP.replace(from, to);
};

Deno.test("golden: the normalised model as yaml, and as json with the same content", async () => {
  const { model } = await shop();
  golden("config", printModel(model));
  assert.equal(
    printModel(
      (await load(printModel(model, { format: "json" }), {}, { "db_password.txt": "hunter2hunter2\n" })).model,
    ),
    printModel(model),
  );
});

Deno.test("golden: views of the model: services, images, volumes, profiles, variables, hashes", async () => {
  const project = await shop();
  const lines = [
    `services: ${listServices(project.model).join(" ")}`,
    `images: ${listImages(project.model).join(" ")}`,
    `volumes: ${listVolumes(project.model).join(" ")}`,
    `profiles: ${listProfiles(project).join(" ")}`,
    printVariables(project),
  ];
  golden("views", lines.join("\n"));
  const hashes = new Map(listHashes(project));
  assert.equal(hashes.size, 6);
  assert.ok([...hashes.values()].every((hash) => /^[0-9a-f]{64}$/.test(hash)));
});

Deno.test("golden: containers as the engine is asked for them", async () => {
  const project = await shop();
  const configs = ["web", "db", "cache", "worker"].map((name) => {
    const container = desiredContainer(project, name, 1, PLAN);
    assert.deepEqual(container?.problems, []);
    return {
      ...container?.config,
      labels: { ...container?.config.labels, "com.docker.compose.config-hash": "(hash)" },
    };
  });
  golden("containers", `${JSON.stringify(configs, null, 2)}\n`);
});

Deno.test("golden: up from nothing, unchanged up, down", async () => {
  const project = await shop();
  golden("up", printPlan(planProject(project, emptyWorld(), PLAN)));
  const world = upWorld(project);
  golden("unchanged", printPlan(planProject(project, world, PLAN), { all: true }));
  golden("down", printPlan(planDown("shop", world, { volumes: true })));
  golden("stop", printPlan(planDown("shop", world, { stopOnly: true })));
});

Deno.test("golden: one change each, with its reason and fields", async () => {
  const before = await shop();
  const world = upWorld(before);
  const cases: [string, Promise<ComposeProject>][] = [
    ["variable", shop(replaced("LOG_LEVEL: info", "LOG_LEVEL: debug"))],
    ["image", shop(replaced("nginx:1.27", "nginx:1.28"))],
    [
      "limits and restart policy",
      shop(replaced("memory: 256M", "memory: 512M").replace("restart: unless-stopped", "restart: always")),
    ],
    ["limit taken away", shop(replaced('cpus: "0.5", ', ""))],
    ["content of a config", shop(replaced("listen 80", "listen 81"))],
    ["content of a secret", shop(SHOP, { "db_password.txt": "another-password\n" })],
    ["content of an env file", shop(SHOP, { "web.env": "MODE=test\n" })],
    ["secret variable", shop(SHOP, {}, { environment: { DB_PASS: "s3cr3t-value" } })],
    ["port and mount", shop(replaced('"8080:80"', '"8081:80"').replace("./html", "./public"))],
    ["network settings", shop(replaced("10.5.0.0/24", "10.5.0.0/16"))],
    ["volume settings", shop(replaced('backup: "yes"', 'backup: "no"'))],
    ["scaled up", shop(replaced("scale: 2", "scale: 3"))],
    ["scaled down", shop(replaced("scale: 2", "scale: 1"))],
    ["service gone", shop(SHOP.replace(/ {2}worker:\n(?: {4}.*\n)+/, ""))],
  ];
  let text = "";
  for (const [title, changed] of cases) text += `# ${title}\n${printPlan(planProject(await changed, world, PLAN))}\n`;
  assert.ok(!/hunter2|another-password|s3cr3t/.test(text), "no secret is shown");
  golden("changes", text);
});

Deno.test("golden: options of up, and worlds that are not as they should be", async () => {
  const project = await shop();
  const world = upWorld(project);
  const gone = await shop(SHOP.replace(/ {2}worker:\n(?: {4}.*\n)+/, ""));
  const broken = structuredClone(world);
  for (const container of broken.containers) {
    if (container.name === "shop-db-1") Object.assign(container, { status: "exited", exitCode: 137 });
    if (container.name === "shop-migrate-1") Object.assign(container, { status: "exited", exitCode: 0 });
    if (container.name === "shop-cache-1") container.status = "paused";
    if (container.name === "shop-api-2") container.status = "dead";
  }
  broken.networks = broken.networks.filter((n) => n.name !== "shop_front");
  const moved = structuredClone(world);
  moved.images = moved.images.map((i) => i.ref === "redis:7" ? { ...i, id: "sha256:0123456789abcdef" } : i);
  const taken = emptyWorld();
  taken.containers.push({
    id: "f".repeat(64),
    name: "shop-db-1",
    labels: {},
    status: "running",
    config: { image: "other" },
  });
  const parts = [
    [
      "--force-recreate cache --no-deps",
      planProject(project, world, { ...PLAN, forceRecreate: true, services: ["cache"], noDeps: true }),
    ],
    [
      "--always-recreate-deps with another database",
      planProject(await shop(replaced("postgres:16", "postgres:17")), world, { ...PLAN, alwaysRecreateDeps: true }),
    ],
    [
      "--no-recreate with another database",
      planProject(await shop(replaced("postgres:16", "postgres:17")), world, { ...PLAN, noRecreate: true }),
    ],
    ["--remove-orphans", planProject(gone, world, { ...PLAN, removeOrphans: true })],
    ["--scale api=1 --scale web=2", planProject(project, world, { ...PLAN, scale: { api: 1, web: 2 } })],
    ["--build --pull always", planProject(project, world, { ...PLAN, build: true, pull: "always" })],
    ["up db from nothing", planProject(project, emptyWorld(), { ...PLAN, services: ["db"] })],
    ["exited, finished, paused, dead, network missing", planProject(project, broken, PLAN)],
    ["a tag moved", planProject(project, moved, PLAN)],
    ["a name is taken", planProject(project, taken, { ...PLAN, services: ["db"] })],
  ] as const;
  golden("options", parts.map(([title, plan]) => `# ${title}\n${printPlan(plan)}\n`).join(""));
});

Deno.test("golden: a file with every key of the specification: canonical, known, idempotent, reported where nyx cannot honour it", async () => {
  const text = Deno.readTextFileSync(new URL("everything.yaml", here));
  const files = { "labels.env": "FROM=file\nn=overridden\n", "sec.txt": "secret content\n" };
  const options = { profiles: ["*"], environment: { SHOW: "1", HOME: "/home/me" } };
  const project = await load(text, options, files);
  const printed = printModel(project.whole);
  golden("everything", printed);
  assert.equal(printModel((await load(printed, options, files)).whole), printed);
  assert.deepEqual(project.diagnostics.filter((d) => d.code === "unknown-key" || d.code === "extension-key"), []);
  golden("everything-warnings", project.diagnostics.map((d) => `${d.severity} ${d.path}: ${d.message}\n`).join(""));
});
