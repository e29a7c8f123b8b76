/** Debian's dig as a judge of DNS answers. */

/** What dig read out of an answer. */
export interface Dug {
  /** Such as NOERROR; `none` when nothing answered. */
  status: string;
  /** Lower-case header flags. */
  flags: string[];
  /** Lines of the answer section as `name ttl class type data`, single blanks. */
  answers: string[];
  authority: string[];
  /** EDNS line, if any. */
  edns?: string;
  text: string;
}

function section(text: string, name: string): string[] {
  const part = text.split(`;; ${name} SECTION:\n`)[1];
  return part === undefined ? [] : (part.split("\n\n")[0] ?? "").split("\n").map((l) => l.trim().replace(/\s+/g, " "))
    .filter((l) => l !== "" && !l.startsWith(";"));
}

/**
 * Runs dig once, without retries, for at most 6 s.
 *
 * @param server address and port
 * @param args name, type and options
 */
export async function dig(server: { address: string; port: number }, ...args: string[]): Promise<Dug> {
  const { stdout } = await new Deno.Command("dig", {
    args: [`@${server.address}`, "-p", String(server.port), "+tries=1", "+time=6", "+nocookie", ...args],
    stdout: "piped",
    stderr: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  const edns = /; (EDNS: .*)/.exec(text)?.[1];
  return {
    status: /status: ([A-Z]+)/.exec(text)?.[1] ?? "none",
    flags: (/;; flags: ([a-z ]*);/.exec(text)?.[1] ?? "").split(" "),
    answers: section(text, "ANSWER"),
    authority: section(text, "AUTHORITY"),
    ...(edns === undefined ? {} : { edns }),
    text,
  };
}

/** Data of the answers, such as addresses. */
export function dataOf(dug: Dug): string[] {
  return dug.answers.map((line) => line.split(" ").slice(4).join(" "));
}
