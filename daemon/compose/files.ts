/** Files that a project consists of: who reads them, and the bundle in which a client sends their contents. */

import { cleanAbsolute } from "../spec/parse/paths.ts";

/** What a file holds: text, or bytes that need not be text. */
export type FileContent = string | Uint8Array;

/**
 * Reads the caller's files. Paths are absolute and clean; which of them may be read is the reader's decision. undefined means that
 * there is no such file.
 */
export interface FileReader {
  read(path: string): Promise<FileContent | undefined>;
}

/** Text of a content; undefined when it is not UTF-8. */
export function contentText(content: FileContent): string | undefined {
  if (typeof content === "string") return content;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    return undefined;
  }
}

/**
 * Contents that a client sent. What the model asks for beyond them is remembered in {@linkcode ContentBundle.wanted}: the client
 * sends those too, and the model is loaded again. The daemon itself reads nothing.
 */
export class ContentBundle implements FileReader {
  readonly #files = new Map<string, FileContent | null>();
  readonly #wanted = new Set<string>();

  /** @param files contents by absolute path; null for a file that the client found missing */
  constructor(files: Iterable<readonly [string, FileContent | null]>) {
    for (const [path, content] of files) this.#files.set(cleanAbsolute(path), content);
  }

  /** Paths that were asked for and not sent, in the order of asking. */
  get wanted(): string[] {
    return [...this.#wanted];
  }

  /** The content that was sent. */
  read(path: string): Promise<FileContent | undefined> {
    const content = this.#files.get(path);
    if (content === undefined) this.#wanted.add(path);
    return Promise.resolve(content ?? undefined);
  }
}
