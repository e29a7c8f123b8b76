/**
 * What third-party code is in nyx: a software bill of materials in CycloneDX 1.5 (JSON), made from deno.lock. Packages that the programs
 * load are `required`; what only tests use is `excluded`.
 */

import { NyxError } from "../../mod.ts";
import type { Build } from "../../daemon/spec/version.ts";
import { output } from "./stage.ts";

/** The part of deno.lock that is read. */
export interface LockFile {
  npm?: Record<string, { integrity: string; dependencies?: string[] }>;
}

/** One package of the lock file. */
interface Package {
  /** Key in the lock file. */
  key: string;
  name: string;
  version: string;
  purl: string;
}

/** What the document is about, besides the lock file. */
export interface SbomFacts {
  /** Version of nyx, and where it comes from. */
  version: string;
  build: Build;
  /** Version of the runtime, which the Debian package and the executables carry. */
  deno: string;
  /** Packages that the programs import, such as `npm:/hono@4.13.19`. */
  imported: readonly string[];
  /** SPDX licence of a package by `name@version`. */
  licences: ReadonlyMap<string, string>;
}

/** Splits `@scope/name@1.2.3_peer@4.5.6`; what is behind `_` tells which peers it was resolved with. */
function packageOf(key: string): Package {
  const [, name = "", version = ""] = /^(@?[^@]+)@([^_]+)/.exec(key) ?? [];
  if (name === "" || version === "") {
    throw new NyxError("failed_precondition", `Could not read deno.lock: no version in "${key}"`);
  }
  return { key, name, version, purl: `pkg:npm/${name.replace("@", "%40")}@${version}` };
}

function dependenciesOf(lock: LockFile, packages: readonly Package[], key: string): Package[] {
  return (lock.npm?.[key]?.dependencies ?? []).map((wanted) => {
    const found = packages.find((p) => p.key === wanted || p.name === wanted || `${p.name}@${p.version}` === wanted);
    if (found === undefined) {
      throw new NyxError("failed_precondition", `Could not read deno.lock: ${key} needs ${wanted}, which is not in it`);
    }
    return found;
  });
}

/** Hash in hex from `sha512-<base64>`. */
function hashOf(integrity: string): { alg: string; content: string } {
  const [algorithm = "", base64 = ""] = integrity.split(/-(.*)/);
  const bytes = Uint8Array.fromBase64(base64);
  return { alg: algorithm.toUpperCase().replace("SHA", "SHA-"), content: bytes.toHex() };
}

/** Packages of a lock file. */
export function lockedPackages(lock: LockFile): { name: string; version: string }[] {
  return Object.keys(lock.npm ?? {}).sort().map(packageOf).map(({ name, version }) => ({ name, version }));
}

/** The document as an object; the same input gives the same document. */
export function sbom(lock: LockFile, facts: SbomFacts): Record<string, unknown> {
  const packages = Object.keys(lock.npm ?? {}).sort().map(packageOf);
  const shipped = new Set<Package>();
  const add = (one: Package): void => {
    if (shipped.has(one)) return;
    shipped.add(one);
    for (const next of dependenciesOf(lock, packages, one.key)) add(next);
  };
  const imported = facts.imported.map((specifier) => {
    const wanted = specifier.replace(/^npm:\/?/, "");
    const found = packages.find((p) => `${p.name}@${p.version}` === wanted);
    if (found === undefined) {
      throw new NyxError("failed_precondition", `Could not read deno.lock: ${wanted} is imported and not in it`);
    }
    add(found);
    return found;
  });
  const nyx = `pkg:generic/nyx@${facts.version}`;
  const runtime = `pkg:npm/deno@${facts.deno}`;
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: {
      ...(facts.build.buildDate === "unknown" ? {} : { timestamp: facts.build.buildDate }),
      component: {
        type: "application",
        "bom-ref": nyx,
        name: "nyx",
        version: facts.version,
        purl: nyx,
        licenses: [{ license: { id: "MIT" } }],
        properties: [{ name: "nyx:commit", value: facts.build.commit }],
      },
    },
    components: [
      {
        type: "platform",
        "bom-ref": runtime,
        name: "deno",
        version: facts.deno,
        scope: "required",
        purl: runtime,
        licenses: [{ license: { id: "MIT" } }],
      },
      ...packages.map((one) => {
        const licence = facts.licences.get(`${one.name}@${one.version}`);
        return {
          type: "library",
          "bom-ref": one.purl,
          name: one.name,
          version: one.version,
          scope: shipped.has(one) ? "required" : "excluded",
          purl: one.purl,
          hashes: [hashOf(lock.npm?.[one.key]?.integrity ?? "")],
          ...(licence === undefined
            ? {}
            : { licenses: [/\s/.test(licence) ? { expression: licence } : { license: { id: licence } }] }),
        };
      }),
    ],
    dependencies: [
      { ref: nyx, dependsOn: [runtime, ...imported.map((p) => p.purl)] },
      { ref: runtime },
      ...packages.map((one) => {
        const dependsOn = dependenciesOf(lock, packages, one.key).map((p) => p.purl);
        return { ref: one.purl, ...(dependsOn.length === 0 ? {} : { dependsOn }) };
      }),
    ],
  };
}

/**
 * Licences of packages, from their own package.json in Deno's cache; those that are not there are fetched first.
 *
 * @returns SPDX expressions by `name@version`
 */
export async function licencesOf(packages: readonly { name: string; version: string }[]): Promise<Map<string, string>> {
  const specs = packages.map(({ name, version }) => `npm:${name}@${version}`);
  await output(Deno.execPath(), ["cache", "--quiet", "--no-config", "--no-lock", ...specs], { env: { NO_COLOR: "1" } });
  const { npmCache } = JSON.parse(await output(Deno.execPath(), ["info", "--json"])) as { npmCache: string };
  const registries = [...Deno.readDirSync(npmCache)].filter((e) => e.isDirectory).map(({ name }) =>
    `${npmCache}/${name}`
  );
  const found = new Map<string, string>();
  for (const { name, version } of packages) {
    for (const registry of registries) {
      try {
        const { license } = JSON.parse(Deno.readTextFileSync(`${registry}/${name}/${version}/package.json`));
        if (typeof license === "string") found.set(`${name}@${version}`, license);
      } catch (e) {
        if (!(e instanceof Deno.errors.NotFound)) throw e;
      }
    }
  }
  return found;
}
