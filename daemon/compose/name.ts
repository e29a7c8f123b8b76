/** Project names: where they come from, and what they may look like. */

import { basename } from "./paths.ts";

/** What a project's name consists of. */
export const PROJECT_NAME = /^[a-z0-9][a-z0-9_-]*$/;
/** The rule in words. */
export const PROJECT_NAME_RULE =
  "a project name consists of lower-case letters, digits, '-' and '_', and begins with a letter or digit";

/** A directory's name as a project name: lower case, without other characters. */
export function normalizeProjectName(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9_-]/g, "").replace(/^[_-]+/, "");
}

/** The name that a directory gives; `default` when nothing of it can be used. */
export function directoryProjectName(directory: string): string {
  return normalizeProjectName(basename(directory)) || "default";
}
