/**
 * The normalised model of the public corpus beside that of Debian's docker-compose, field by field. By hand, where docker-compose is
 * installed (no daemon is needed):
 *
 *     deno run -A tests/bench/compare_config.ts [FILE …]
 *
 * With docker-compose 1.29 all 250 of the 263 files that it takes are the same; what it refuses came after it (include, start_interval,
 * create_host_path, content of volumes), or is no compose file to it.
 *
 * What docker-compose prints is read as a compose file again, so that only meaning counts, not notation. Variables without default and
 * files beside the compose files are made up, the same for both.
 */

import { loadProject } from "../../daemon/compose/load.ts";
import { canonicalModel } from "../../daemon/compose/print.ts";
import type { ComposeProject } from "../../daemon/compose/project.ts";

const CORPUS = Deno.env.get("NYX_COMPOSE_CORPUS") ??
  new URL("../../../shared/compose-corpus", import.meta.url).pathname;

/** A difference: where, ours, theirs. */
type Difference = [path: string, ours: unknown, theirs: unknown];

/** Why a difference is one that should be: by the path of the field and the values. */
const JUSTIFIED: readonly ((path: string, ours: unknown, theirs: unknown) => boolean)[] = [
  // `disable: true` is kept as written, as Docker Compose 2 does; version 1 prints what it comes to.
  (path, ours, theirs) =>
    /\.healthcheck\.(disable|test)/.test(path) &&
    (ours === true || theirs === "NONE" || theirs !== ours && ours === undefined),
  // A build argument without value that the environment has not: version 1 prints it as empty, which it is not.
  (path, ours, theirs) => /\.build\.args\./.test(path) && ours === null && theirs === "",
  // Variables in defaults of variables are the specification's; version 1 does not know them.
  (_, __, theirs) => typeof theirs === "string" && /\$\$?\{/.test(theirs),
];

function stub(name: string): string {
  if (/PATH|DIR|ROOT|FOLDER|LOCATION/.test(name)) return "/stub";
  return /(_IP|HOST_IP|ADDRESS)$|_IP_/.test(name) ? "10.0.0.1" : "8080";
}

function compare(ours: unknown, theirs: unknown, path: string, out: Difference[]): void {
  if (typeof ours === "object" && ours !== null && typeof theirs === "object" && theirs !== null) {
    const [a, b] = [ours as Record<string, unknown>, theirs as Record<string, unknown>];
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      compare(a[key], b[key], Array.isArray(ours) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`, out);
    }
  } else if (ours !== theirs) out.push([path, ours, theirs]);
}

/** Lists whose order means nothing are put in one order; nothing in braces is nothing. */
function settled(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => settled(item));
    const ordered = ["command", "entrypoint", "test", "dns", "dns_search", "env_file"].includes(key);
    return ordered ? items : items.sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  }
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([k, v]) => [k, settled(v, k)]);
  return entries.length === 0 ? null : Object.fromEntries(entries);
}

/** A file as docker-compose 1 takes it: without a name of its own, and truth values of environments in quotes, which mean the same. */
function quoted(text: string): string {
  return text.replace(/^name:.*$/m, "").replace(
    /^(\s+["']?[A-Za-z_][A-Za-z0-9_.]*["']?:[ \t]+)(true|false|yes|no|on|off)([ \t]*)$/gim,
    (whole, key, value) => /^\s+["']?[A-Z][A-Z0-9_]*["']?:/.test(whole) ? `${key}"${value}"` : whole,
  );
}

/** What docker-compose wants beside a file: directories to build in, images of services that name none. */
async function supply(dir: string, { model }: ComposeProject, text: string): Promise<void> {
  const stubs: string[] = [];
  // It takes files of one version together, and 3.9 for a file that names none.
  const version = /^version:\s*(\S+)\s*(#.*)?$/m.exec(text)?.[1] ?? '"3.9"';
  for (const [name, { image, build }] of Object.entries(model.services)) {
    if (image === undefined && build === undefined) stubs.push(`  ${JSON.stringify(name)}: {image: stub}\n`);
    if (build?.context?.startsWith(`${dir}/`) === true) await Deno.mkdir(build.context, { recursive: true });
  }
  const used = Object.values(model.services).flatMap((s) => Object.keys(s.depends_on ?? {}));
  for (const name of new Set(used)) {
    if (!Object.hasOwn(model.services, name)) stubs.push(`  ${JSON.stringify(name)}: {image: stub}\n`);
  }
  const volumes = Object.entries(model.volumes ?? {}).filter(([, v]) => v.external !== true)
    .map(([name]) => `  ${JSON.stringify(name)}: {}\n`);
  const section = (key: string, lines: string[]) => `${key}:${lines.length === 0 ? " {}\n" : `\n${lines.join("")}`}`;
  await Deno.writeTextFile(
    `${dir}/stubs.yml`,
    `version: ${version}\n${section("services", stubs)}${section("volumes", volumes)}`,
  );
}

async function load(
  dir: string,
  file: string,
  environment: Record<string, string>,
  ...more: string[]
): Promise<ComposeProject> {
  const reader = {
    read: (path: string) => Deno.readTextFile(path).catch(() => path.endsWith(".env") ? undefined : ""),
  };
  return await loadProject({
    files: [file, ...more].map((name) => `${dir}/${name}`),
    reader,
    environment,
    projectName: "corpus",
    profiles: ["*"],
    checkConsistency: false,
  });
}

async function theirConfig(dir: string, environment: Record<string, string>): Promise<string | { refused: string }> {
  const { success, stdout, stderr } = await new Deno.Command("docker-compose", {
    args: ["-p", "corpus", "--profile", "*", "-f", `${dir}/compose.yml`, "-f", `${dir}/stubs.yml`, "config"],
    env: environment,
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder().decode(success ? stdout : stderr);
  return success ? text : { refused: text.trim().split("\n").slice(0, 3).join(" ") };
}

/** Differences of one file; why docker-compose refuses it, when it does. */
async function one(name: string): Promise<Difference[] | string> {
  const dir = await Deno.makeTempDir({ prefix: "nyx-compare-" });
  try {
    const text = quoted(await Deno.readTextFile(`${CORPUS}/${name}`));
    await Deno.writeTextFile(`${dir}/compose.yml`, text);
    const environment: Record<string, string> = { HOME: "/root" };
    const first = await load(dir, "compose.yml", environment);
    for (const use of first.variables) if (use.defaultValue === undefined) environment[use.name] = stub(use.name);
    for (const path of first.missing) {
      if (!path.startsWith(`${dir}/`)) continue;
      await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(path, "");
    }
    await supply(dir, first, text);
    const ours = await load(dir, "compose.yml", environment, "stubs.yml");
    const printed = await theirConfig(dir, environment);
    if (typeof printed !== "string") return printed.refused;
    await Deno.writeTextFile(`${dir}/theirs.yml`, printed);
    const theirs = await load(dir, "theirs.yml", environment);
    const out: Difference[] = [];
    compare(settled(canonicalModel(ours.model)), settled(canonicalModel(theirs.model)), "", out);
    return out.filter(([path, a, b]) => !JUSTIFIED.some((justified) => justified(path, a, b)));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const files = Deno.args.length > 0
  ? Deno.args
  : [...Deno.readDirSync(CORPUS)].map((e) => e.name).filter((n) => /\.ya?ml$/.test(n)).sort();
let [same, refused] = [0, 0];
for (const name of files) {
  const found = await one(name);
  if (typeof found === "string") {
    refused++;
    console.log(`refused by docker-compose: ${name}: ${found.slice(0, 200)}`);
  } else if (found.length === 0) same++;
  else {
    console.log(`differs: ${name}`);
    for (const [path, ours, theirs] of found.slice(0, 8)) {
      console.log(`  ${path}: nyx ${JSON.stringify(ours)} · docker-compose ${JSON.stringify(theirs)}`);
    }
  }
}
console.log(
  `\n${same} of ${files.length - refused} files that docker-compose takes have the same model; ${refused} it refuses`,
);
