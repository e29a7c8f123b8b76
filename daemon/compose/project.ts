/** What loading a project takes and gives. */

import type { ComposeDiagnostic, ComposeModel } from "../spec/compose.ts";
import type { FileContent, FileReader } from "./files.ts";
import type { VariableUse } from "./interpolate.ts";

/** What to load, and how. */
export interface LoadRequest {
  /** Compose files in their order of precedence; absolute paths. At least one. */
  files: string[];
  /** Where all contents come from, those of the compose files too. */
  reader: FileReader;
  /** The caller's environment. */
  environment?: Readonly<Record<string, string>>;
  /** `--env-file`, absolute; missing means `.env` in the project directory, if there is one. */
  envFiles?: string[];
  /** `-p`. */
  projectName?: string;
  /** `--project-directory`, absolute; missing means the first file's directory. */
  projectDirectory?: string;
  /** `--profile`; COMPOSE_PROFILES counts beside them. */
  profiles?: string[];
  /** Services named on the command line: their own profiles count as enabled. */
  services?: string[];
  /** The caller's home directory, for `~`; default HOME of the environment. */
  home?: string;
  /** Default true; false keeps variables as written. */
  interpolate?: boolean;
  /** Default true; false keeps relative paths as written. */
  resolvePaths?: boolean;
  /** Default true; false keeps env files and valueless variables as written. */
  resolveEnv?: boolean;
  /** Default true; false accepts references to what is not defined (for `config --no-consistency`). */
  checkConsistency?: boolean;
}

/** A loaded project. `diagnostics` may hold errors: then the model is what could be understood. */
export interface ComposeProject {
  /** Services of enabled profiles, and what they use. */
  model: ComposeModel;
  /** What the files say, merged and in long form, without anything implied: for `config --no-normalize`. */
  written: ComposeModel;
  /** All services and objects, as `config --profile "*"` shows them. */
  whole: ComposeModel;
  diagnostics: ComposeDiagnostic[];
  /** Compose files that took part, included and extended ones too. */
  files: string[];
  /** Project directory, absolute. */
  directory: string;
  /** Profiles that were asked for. */
  profiles: string[];
  /** Variables of the environment and .env, as interpolation saw them. */
  environment: ReadonlyMap<string, string>;
  /** Variables that the files use. */
  variables: VariableUse[];
  /**
   * Contents of configs and secrets by `configs.NAME` or `secrets.NAME`, and of seccomp profiles by `security./PATH`; absent when they
   * could not be read.
   */
  contents: ReadonlyMap<string, FileContent>;
  /** Files that were asked for and do not exist. */
  missing: string[];
}
