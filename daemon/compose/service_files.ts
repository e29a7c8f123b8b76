/** Configs and secrets of a service as files on the host, under names that their content decides. */

import type { ComposeFileReference } from "../spec/compose.ts";
import { own } from "./dictionary.ts";
import type { FileContent } from "./files.ts";
import { sha256 } from "./hash.ts";
import type { ComposeProject } from "./project.ts";

/**
 * One file to lay out before a container starts. Its path holds the digest of content, owner and mode: what changes gets another path,
 * what runs keeps its own. Secrets belong on a tmpfs.
 */
export interface ServiceFile {
  kind: "config" | "secret";
  /** Key under configs: or secrets:. */
  source: string;
  /** Path in the container. */
  target: string;
  /** Path on the host. */
  hostPath: string;
  uid: number;
  gid: number;
  /** Such as 0o444. */
  mode: number;
  content: FileContent;
}

function numericId(text: string | undefined): number | undefined {
  if (text === undefined) return 0;
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/**
 * Files that a service needs.
 *
 * @param filesDir absolute directory; below it lies configs/
 * @param secretsDir absolute directory; below it lies secrets/
 */
export function serviceFiles(
  project: Pick<ComposeProject, "model" | "contents">,
  name: string,
  filesDir: string,
  secretsDir = filesDir,
): { files: ServiceFile[]; problems: string[] } {
  const service = own(project.model.services, name);
  const files: ServiceFile[] = [];
  const problems: string[] = [];
  const add = (kind: "config" | "secret", reference: ComposeFileReference) => {
    const where = `services.${name}.${kind}s.${reference.source}`;
    const content = project.contents.get(`${kind}s.${reference.source}`);
    const uid = numericId(reference.uid);
    const gid = numericId(reference.gid);
    if (uid === undefined || gid === undefined) {
      problems.push(`${where}: uid and gid are numbers; names of the image's users are not known here`);
      return;
    }
    if (content === undefined) {
      problems.push(`${where}: its content could not be read`);
      return;
    }
    const mode = reference.mode === undefined ? 0o444 : Number.parseInt(reference.mode, 8);
    const digest = sha256(`${sha256(content)} ${uid} ${gid} ${mode}`).slice(0, 32);
    files.push({
      kind,
      source: reference.source,
      target: reference.target,
      hostPath: `${kind === "secret" ? secretsDir : filesDir}/${kind}s/${digest}`,
      uid,
      gid,
      mode,
      content,
    });
  };
  for (const reference of service?.configs ?? []) add("config", reference);
  for (const reference of service?.secrets ?? []) add("secret", reference);
  return { files, problems };
}
