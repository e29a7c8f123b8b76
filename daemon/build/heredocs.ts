/**
 * Here-documents of a Dockerfile in words that any buildah knows: those of before 1.33 refuse them. RUN becomes the same command for the
 * shell, which has here-documents of its own; COPY and ADD take files that lie beside the context.
 */

import { type Instruction, parseDockerfile, splitFlags } from "../spec/dockerfile.ts";
import { NyxError } from "../spec/errors.ts";

/** Name of the additional context in which the files of COPY lie. */
export const HEREDOC_CONTEXT = "nyx-heredocs";
/** Where a script with an interpreter of its own lies while it runs: memory. */
const SCRIPT_PATH = "/dev/shm/nyx-heredoc";

/** A Dockerfile without here-documents, and the files that it copies in their place, by path. */
export interface Rewritten {
  text: string;
  files: Map<string, string>;
}

/** The shell's command for a RUN with here-documents. */
function script(operand: string, { documents, line }: Instruction): string {
  const [first] = documents;
  const alone = documents.length === 1 && /^\d?<<-?["']?\w+["']?$/.test(operand);
  if (!alone || first === undefined) {
    return [operand, ...documents.map(({ body, word }) => `${body}${word}`)].join("\n");
  }
  const interpreter = /^#!\s*(\S.*)\n/.exec(first.body)?.[1];
  if (interpreter === undefined) return first.body;
  const path = `${SCRIPT_PATH}-${line}`;
  return `cat > ${path} <<'${first.word}'\n${first.body}${first.word}\n${interpreter} ${path}; r=$?; rm -f ${path}; exit $r`;
}

/** COPY of files that stand for the here-documents. */
function copied(instruction: Instruction, files: Map<string, string>): string {
  const { name, rest, line, documents } = instruction;
  for (const { word, body, quoted } of documents) {
    if (!quoted && /\$[A-Za-z_{]/.test(body)) {
      throw new NyxError(
        "unimplemented",
        `Line ${line} of the Dockerfile: variables in a here-document of ${name} are not replaced here; quote its word ` +
          `(<<"${word}") to copy the text as it is, or write the file by RUN`,
      );
    }
    files.set(`${line}/${word}`, body);
  }
  const { flags, operand } = splitFlags(rest);
  const words = operand.split(/\s+/);
  const plain = words.slice(0, -1).filter((word) => !/^\d?<</.test(word));
  if (plain.length > 0) {
    throw new NyxError(
      "unimplemented",
      `Line ${line} of the Dockerfile: ${name} mixes here-documents with files; write two instructions`,
    );
  }
  const sources = documents.map(({ word }) => `/${line}/${word}`);
  return ["COPY", ...flags, `--from=${HEREDOC_CONTEXT}`, ...sources, words.at(-1)].join(" ");
}

/** Words of a SHELL instruction; undefined for one that buildah will refuse. */
function shellOf(rest: string): string[] | undefined {
  try {
    const words: unknown = JSON.parse(rest);
    return Array.isArray(words) && words.every((w) => typeof w === "string") ? words : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Replaces all here-documents; a file without any stays as it is.
 *
 * @throws NyxError unimplemented for one whose meaning cannot be kept
 */
export function rewriteHeredocs(text: string): Rewritten {
  const files = new Map<string, string>();
  const instructions = parseDockerfile(text);
  if (instructions.every((i) => i.documents.length === 0)) return { text, files };
  const lines = text.split(/\r?\n/);
  const out: string[] = [];
  let shell = ["/bin/sh", "-c"];
  let at = 0;
  for (const instruction of instructions) {
    const { name, rest, line, endLine, documents } = instruction;
    if (name === "FROM") shell = ["/bin/sh", "-c"];
    if (name === "SHELL") shell = shellOf(rest) ?? shell;
    if (documents.length === 0) continue;
    out.push(...lines.slice(at, line - 1));
    if (name === "RUN") {
      const { flags, operand } = splitFlags(rest);
      out.push(["RUN", ...flags, JSON.stringify([...shell, script(operand, instruction)])].join(" "));
    } else if (name === "COPY" || name === "ADD") out.push(copied(instruction, files));
    else {
      throw new NyxError(
        "unimplemented",
        `Line ${line} of the Dockerfile: ${name} with a here-document is not known here`,
      );
    }
    at = endLine;
  }
  out.push(...lines.slice(at));
  return { text: out.join("\n"), files };
}
