/**
 * The normalised model of the public corpus beside that of Debian's docker-compose, field by field. By hand, where docker-compose is
 * installed (no daemon is needed):
 *
 *     deno run -A tests/bench/compare_config.ts [FILE …]
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

/** Why a difference is one that should be: by the path of the field. */
const JUSTIFIED: readonly [RegExp, string][] = [
  [
    /\.(ports|volumes)\[\d+\]\.(mode|published|bind)/,
    "docker-compose 1 prints the short notation's defaults in its own way",
  ],
  [/^name$/, "docker-compose 1 has no name:"],
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

/** Lists whose order means nothing are put in one order. */
function settled(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => settled(item));
    const ordered = ["command", "entrypoint", "test", "dns", "dns_search", "env_file"].includes(key);
    return ordered ? items : items.sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, settled(v, k)]));
}

async function load(dir: string, file: string, environment: Record<string, string>): Promise<ComposeProject> {
  const reader = {
    read: (path: string) => Deno.readTextFile(path).catch(() => path.endsWith(".env") ? undefined : ""),
  };
  return await loadProject({
    files: [`${dir}/${file}`],
    reader,
    environment,
    projectName: "corpus",
    profiles: ["*"],
    checkConsistency: false,
  });
}

async function theirConfig(dir: string, environment: Record<string, string>): Promise<string | { refused: string }> {
  const { success, stdout, stderr } = await new Deno.Command("docker-compose", {
    args: ["-p", "corpus", "--profile", "*", "-f", `${dir}/compose.yml`, "config"],
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
    await Deno.copyFile(`${CORPUS}/${name}`, `${dir}/compose.yml`);
    const environment: Record<string, string> = { HOME: "/root" };
    const first = await load(dir, "compose.yml", environment);
    for (const use of first.variables) if (use.defaultValue === undefined) environment[use.name] = stub(use.name);
    for (const path of first.missing) {
      if (!path.startsWith(`${dir}/`)) continue;
      await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(path, "");
    }
    const ours = await load(dir, "compose.yml", environment);
    const text = await theirConfig(dir, environment);
    if (typeof text !== "string") return text.refused;
    await Deno.writeTextFile(`${dir}/theirs.yml`, text);
    const theirs = await load(dir, "theirs.yml", environment);
    const out: Difference[] = [];
    compare(settled(canonicalModel(ours.model)), settled(canonicalModel(theirs.model)), "", out);
    return out.filter(([path]) => !JUSTIFIED.some(([pattern]) => pattern.test(path)));
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
