/** From a request to a loaded project. The daemon reads no file for it: contents come with the request. */

import type { ComposePlan } from "../../spec/compose.ts";
import type { ComposeBuildSpec, ComposeContent, ComposeSource } from "../../spec/compose_api.ts";
import { invalid, NyxError } from "../../spec/errors.ts";
import { buildSpecs } from "../builds.ts";
import { composeError } from "../diagnostics.ts";
import { ContentBundle, type FileContent } from "../files.ts";
import { loadProject } from "../load.ts";
import { PROJECT_NAME, PROJECT_NAME_RULE } from "../name.ts";
import type { ComposeProject, LoadRequest } from "../project.ts";

/** Name that the text of `yaml` goes by in messages. */
const UNNAMED_FILE = "compose.yaml";

/** How to load, beyond what the source says. */
export interface SourceOptions
  extends Pick<LoadRequest, "services" | "interpolate" | "resolvePaths" | "resolveEnv" | "checkConsistency"> {
  /** What is being done, for the error. */
  action: string;
  /** Accept errors: only name and services matter. */
  lenient?: boolean;
}

function contentOf({ path, content, base64, missing }: ComposeContent): FileContent | null {
  if (missing === true) return null;
  if (content !== undefined) return content;
  if (base64 === undefined) throw invalid("contents", path, "give content, base64 or missing");
  try {
    return Uint8Array.fromBase64(base64);
  } catch {
    throw invalid("base64", path, "it is not base64");
  }
}

/** Whether a source names files, not a running project alone. */
export function hasFiles(source: ComposeSource): boolean {
  return source.yaml !== undefined || (source.files ?? []).length > 0;
}

/**
 * The name of a project that is named alone.
 *
 * @throws NyxError invalid_argument
 */
export function projectName(source: ComposeSource): string {
  const { project } = source;
  if (project === undefined || project === "") {
    throw new NyxError(
      "invalid_argument",
      "Could not tell which compose project is meant: give files, yaml or project",
    );
  }
  if (!PROJECT_NAME.test(project)) throw invalid("project", project, PROJECT_NAME_RULE);
  return project;
}

/**
 * Loads the project of a request.
 *
 * @throws NyxError invalid_argument with all errors of the files; failed_precondition with `wanted` when the caller asked to be asked
 */
export async function loadSource(source: ComposeSource, options: SourceOptions): Promise<ComposeProject> {
  const { yaml, context_dir = "/" } = source;
  const files = yaml === undefined
    ? source.files ?? []
    : [{ path: `${context_dir === "/" ? "" : context_dir}/${UNNAMED_FILE}`, content: yaml }];
  if (files.length === 0) {
    throw new NyxError("invalid_argument", `Could not ${options.action}: no compose file was sent`);
  }
  const sent = [...files, ...source.contents ?? []];
  const reader = new ContentBundle(sent.map((file) => [file.path, contentOf(file)] as const));
  const { action, lenient, ...load } = options;
  const project = await loadProject({
    ...load,
    files: files.map((file) => file.path),
    reader,
    environment: source.env ?? {},
    ...(source.env_files === undefined ? {} : { envFiles: source.env_files }),
    ...(source.project === undefined || source.project === "" ? {} : { projectName: source.project }),
    ...(source.project_directory === undefined ? {} : { projectDirectory: source.project_directory }),
    ...(source.profiles === undefined ? {} : { profiles: source.profiles }),
  });
  if (source.ask === true && reader.wanted.length > 0) throw wanted(action, { wanted: reader.wanted });
  const errors = project.diagnostics.filter((d) => d.severity === "error");
  const fatal = lenient === true ? errors.filter((d) => d.code === "project-name") : errors;
  if (fatal.length > 0) throw composeError(fatal, action);
  return project;
}

/** What is asked for: paths of files, references of images whose credentials may be needed, images to be built. */
export interface WantedLists {
  wanted?: string[];
  images?: string[];
  builds?: ComposeBuildSpec[];
}

/** The answer that asks for more. */
export function wanted(action: string, lists: WantedLists): NyxError {
  const what = [...lists.wanted ?? [], ...lists.images ?? [], ...(lists.builds ?? []).map((b) => b.image)];
  const entries = Object.entries(lists).map(([key, list]) => [key, JSON.stringify(list)]);
  return new NyxError("failed_precondition", `Could not ${action}: this was not sent: ${what.join(", ")}`, {
    op: "compose.ask",
    context: Object.fromEntries(entries),
  });
}

/**
 * Images that have to be built first: the caller has the files, so he builds. The answer says what, and goes on with `built` next time.
 *
 * @throws NyxError failed_precondition when the plan has builds
 */
export function refuseBuilds(
  plan: ComposePlan,
  project: ComposeProject,
  { action, ask }: { action: string; ask: boolean },
): void {
  const builds = plan.steps.filter((s) => s.action === "build");
  if (builds.length === 0) return;
  const services = builds.flatMap((s) => s.service ?? []);
  if (ask) throw wanted(action, { builds: buildSpecs(project, services) });
  const list = builds.map((s) => `  ${s.service}: image ${s.target}: ${s.reason}`).join("\n");
  throw new NyxError(
    "failed_precondition",
    `Could not ${action}: images are to be built first, by nyx compose build or POST /v1/build\n${list}`,
  );
}

/** A project of which only the name is known. */
export function emptyProject(name: string): ComposeProject {
  const model = { name, services: {} };
  return {
    model,
    written: model,
    whole: model,
    diagnostics: [],
    files: [],
    directory: "/",
    profiles: [],
    environment: new Map(),
    variables: [],
    contents: new Map(),
    missing: [],
  };
}
