/**
 * A release: everything that users download, in one directory, with notes, a bill of materials and checksums. What it takes is checked
 * first, so that nothing is published under a version that means something else.
 */

import { VERSION } from "../../daemon/spec/version.ts";
import { NyxError } from "../../mod.ts";
import { type Bundles, writeLaunchers } from "./bundle.ts";
import { type Release, releaseNotes } from "./changelog.ts";
import { programGraph } from "./graph.ts";
import { licencesOf, lockedPackages, type LockFile, sbom } from "./sbom.ts";
import { buildOf, output, PROGRAMS } from "./stage.ts";

/** What a release says of itself, after its checks. */
export interface ReleasePlan {
  version: string;
  notes: Release;
}

/**
 * Checks that deno.json, the source and the changelog agree on the version, and that the source is what is committed.
 *
 * @param allowDirty of a source with changes: for a trial
 * @throws NyxError failed_precondition naming what does not agree
 */
export async function planRelease(root: string, allowDirty: boolean): Promise<ReleasePlan> {
  const { version } = JSON.parse(Deno.readTextFileSync(`${root}/deno.json`)) as { version: string };
  if (version !== VERSION) {
    throw new NyxError(
      "failed_precondition",
      `Could not release ${version}: daemon/spec/version.ts says ${VERSION} and deno.json ${version}; write the same into both`,
    );
  }
  const { commit } = await buildOf(root);
  if (!allowDirty && !/^[0-9a-f]+$/.test(commit)) {
    throw new NyxError(
      "failed_precondition",
      `Could not release ${version}: the source is ${
        commit === "unknown" ? "no git checkout" : "not what is committed"
      }; commit first, or try with --allow-dirty`,
    );
  }
  return { version, notes: releaseNotes(Deno.readTextFileSync(`${root}/docs/CHANGELOG.md`), version) };
}

/** The bill of materials as text. */
export async function billOfMaterials(root: string): Promise<string> {
  const lock: LockFile = JSON.parse(Deno.readTextFileSync(`${root}/deno.lock`));
  const graphs = await Promise.all(Object.values(PROGRAMS).map((entry) => programGraph(root, entry)));
  const facts = {
    version: VERSION,
    build: await buildOf(root),
    deno: Deno.version.deno,
    imported: [...new Set(graphs.flatMap((graph) => graph.packages))],
    licences: await licencesOf(lockedPackages(lock)),
  };
  return `${JSON.stringify(sbom(lock, facts), undefined, 2)}\n`;
}

/** Packs the bundles with unit, licence and changelog; the same files give the same archive. */
export async function archiveBundles(root: string, bundles: Bundles, version: string): Promise<string> {
  const name = `nyx-${version}`;
  const scratch = Deno.makeTempDirSync({ prefix: "nyx-release-" });
  try {
    Deno.mkdirSync(`${scratch}/${name}`);
    for (const file of [...bundles.programs, ...bundles.workers]) {
      Deno.copyFileSync(`${bundles.dir}/${file}`, `${scratch}/${name}/${file}`);
    }
    writeLaunchers(`${scratch}/${name}`);
    for (const path of ["LICENSE", "README.md", "docs/CHANGELOG.md", "daemon/nyxd.service"]) {
      Deno.copyFileSync(`${root}/${path}`, `${scratch}/${name}/${path.split("/").at(-1)}`);
    }
    const seconds = Date.parse(bundles.build.buildDate) / 1000;
    const sameForAll = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"];
    const file = `${name}.tar.gz`;
    await output("tar", [
      ...sameForAll,
      `--mtime=@${Number.isNaN(seconds) ? 0 : seconds}`,
      "-czf",
      `${bundles.dir}/${file}`,
      "-C",
      scratch,
      name,
    ]);
    return file;
  } finally {
    Deno.removeSync(scratch, { recursive: true });
  }
}

/** Writes SHA256SUMS of files in a directory, in the form that `sha256sum -c` reads. */
export async function writeChecksums(dir: string, files: readonly string[]): Promise<void> {
  const sums = await output("sha256sum", ["--", ...files.toSorted()], { cwd: dir });
  Deno.writeTextFileSync(`${dir}/SHA256SUMS`, `${sums}\n`);
}
