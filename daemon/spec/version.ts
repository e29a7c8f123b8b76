/** Version of nyx: the one in deno.json, as a constant, so that `nyx --version` reads no file. */

/** Semantic version, without a leading v. */
export const VERSION = "0.1.0";
/** Version of the HTTP API, the first part of every route. */
export const API_VERSION = "1";

/** Where a build comes from. */
export interface Build {
  /** Commit of the source, with `-dirty` when files differed from it; `unknown` when nyx runs from source. */
  readonly commit: string;
  /** Date of that commit, RFC 3339; `unknown` when nyx runs from source. */
  readonly buildDate: string;
}

/** Of this build: cli/packaging/stage.ts writes over this one line. */
export const BUILD: Build = { commit: "unknown", buildDate: "unknown" };

/** As `--version` prints it: `0.1.0`, with commit and date where they are known. */
export function versionText(version: string = VERSION, build: Build = BUILD): string {
  return build.commit === "unknown" ? version : `${version} (commit ${build.commit}, ${build.buildDate.slice(0, 10)})`;
}
