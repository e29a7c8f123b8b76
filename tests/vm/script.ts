/**
 * Scripted runs: a plain text file says what is typed, in the guest or on this machine, and what must come back.
 *
 * ```text
 * # What holds, in one sentence: the title
 * @vm data=256 systemd append=ipv6.disable=1   how the guest is made (see below)
 * @ci                                          the normal test command runs it, too
 *
 * $ nyx run --rm busybox sh -c 'echo a; exit 3'     typed in the guest; "> " goes on with it
 * a                                            its output, standard error included, line by line
 * [3]                                          its exit code, when it is not 0
 *
 * ~$ nyx ps --format '{{.Status}}'             typed again and again until the output is right
 * Up .* (healthy) (re)                         a line that ends with (re) is a regular expression
 * ...                                          any number of lines
 *
 * host$ curl -s http://127.0.0.1:$WEB          typed on this machine, in the repository; $DENO is the deno that runs
 * guest2$ wget -qO- http://192.0.2.1/          typed in a second, small guest (see neighbour.ts) on a wire with the first
 *
 * @restart                                     the guest is restarted; @cut takes its power away and starts it again
 * ```
 *
 * `@vm` takes `data=MiB`, `memory=MiB`, `keep`, `systemd`, `append=WORD` (again and again), `forward=NAME:PORT` (the host's port is
 * `$NAME` there). `@registry` starts a registry on this machine that holds busybox; it is `$REGISTRY` in the guest.
 */

/** How the guest of a run is made. */
export interface RunMachine {
  dataMiB?: number;
  memoryMiB?: number;
  keepRoot?: boolean;
  systemd?: boolean;
  append: string[];
  /** Name of the variable and port in the guest. */
  forward: { name: string; guest: number }[];
  /** A second guest is on a wire with this one. */
  neighbour?: boolean;
}

/** One thing that is done. */
export interface Step {
  /** Line in the file, from 1. */
  line: number;
  kind: "guest" | "guest2" | "host" | "restart" | "cut";
  command: string;
  /** Lines of output as written in the file. */
  expected: string[];
  code: number;
  /** Repeat until it is right. */
  eventually: boolean;
}

/** A parsed file. */
export interface Run {
  name: string;
  title: string;
  ci: boolean;
  registry: boolean;
  machine: RunMachine;
  steps: Step[];
}

const COMMAND = /^(~)?(host|guest2)?\$ (.*)$/;

/** Takes the words of `@vm` in. */
function machineWords(words: readonly string[], machine: RunMachine, fail: (why: string) => never): void {
  for (const word of words) {
    const at = word.indexOf("=");
    const [key, value] = at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1)];
    const number = Number(value);
    if (key === "data" && number > 0) machine.dataMiB = number;
    else if (key === "memory" && number > 0) machine.memoryMiB = number;
    else if (word === "keep") machine.keepRoot = true;
    else if (word === "systemd") machine.systemd = true;
    else if (key === "append" && value !== "") machine.append.push(value);
    else if (key === "forward" && /^[A-Z]+:\d+$/.test(value)) {
      machine.forward.push({ name: value.split(":")[0] ?? "", guest: Number(value.split(":")[1]) });
    } else fail(`@vm does not know ${JSON.stringify(word)}`);
  }
}

/**
 * Reads a file.
 *
 * @throws Error naming file and line for what is none of the above
 */
export function parseRun(name: string, text: string): Run {
  const lines = text.split("\n").map((l) => l.trimEnd());
  const run: Run = {
    name,
    title: /^# (.+)/.exec(lines[0] ?? "")?.[1] ?? "",
    ci: false,
    registry: false,
    machine: { append: [], forward: [] },
    steps: [],
  };
  let last: Step | undefined;
  lines.forEach((text, i) => {
    const fail = (why: string): never => {
      throw new Error(`${name}:${i + 1}: ${why}`);
    };
    const [, eventually, where, command] = COMMAND.exec(text) ?? [];
    if (command !== undefined) {
      const kind = where === "host" || where === "guest2" ? where : "guest";
      if (kind === "guest2") run.machine.neighbour = true;
      last = { line: i + 1, kind, command, expected: [], code: 0, eventually: eventually !== undefined };
      run.steps.push(last);
    } else if (text.startsWith("> ") && last !== undefined && last.expected.length === 0) {
      last.command += `\n${text.slice(2)}`;
    } else if (text.startsWith("@")) {
      last = undefined;
      directive(run, text, i + 1, fail);
    } else if (/^#( |$)/.test(text) || (text === "" && last === undefined)) {
      last = undefined;
    } else if (last === undefined) fail(`a line of output without a command: ${JSON.stringify(text)}`);
    else if (/^\[\d+\]$/.test(text)) last.code = Number(text.slice(1, -1));
    else last.expected.push(text);
  });
  if (run.title === "") throw new Error(`${name}:1: the first line has to be "# " and a title`);
  // Empty lines part steps: those at the end of the output are none of it.
  for (const step of run.steps) while (step.expected.at(-1) === "") step.expected.pop();
  return run;
}

function directive(run: Run, text: string, line: number, fail: (why: string) => never): void {
  const [word = "", ...rest] = text.split(/\s+/);
  if (word === "@vm") machineWords(rest, run.machine, fail);
  else if (word === "@ci") run.ci = true;
  else if (word === "@registry") run.registry = true;
  else if (word === "@restart" || word === "@cut") {
    const kind = word === "@cut" ? "cut" : "restart";
    run.steps.push({ line, kind, command: word, expected: [], code: 0, eventually: false });
  } else fail(`unknown directive ${word}`);
}

function lineMatches(expected: string, got: string): boolean {
  if (!expected.endsWith(" (re)")) return expected === got;
  return new RegExp(`^(?:${expected.slice(0, -" (re)".length)})$`).test(got);
}

/** Whether lines are as expected; `...` stands for any number of them. */
export function linesMatch(expected: readonly string[], got: readonly string[]): boolean {
  const [first, ...rest] = expected;
  if (first === undefined) return got.length === 0;
  if (first === "...") return got.some((_, i) => linesMatch(rest, got.slice(i))) || linesMatch(rest, []);
  return got.length > 0 && lineMatches(first, got[0] ?? "") && linesMatch(rest, got.slice(1));
}

/** What differs, line by line: `-` is missing, `+` is too much. */
export function difference(expected: readonly string[], got: readonly string[]): string {
  const e = expected.filter((l) => l !== "...");
  // Longest common subsequence: table[i][j] is its length for what lies behind i and j.
  const table = Array.from({ length: e.length + 1 }, () => new Array<number>(got.length + 1).fill(0));
  const at = (i: number, j: number) => table[i]?.[j] ?? 0;
  for (let i = e.length - 1; i >= 0; i--) {
    const row = table[i] ?? [];
    for (let j = got.length - 1; j >= 0; j--) {
      const same = lineMatches(e[i] ?? "", got[j] ?? "");
      row[j] = same ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const out: string[] = [];
  let [i, j] = [0, 0];
  while (i < e.length || j < got.length) {
    if (i < e.length && j < got.length && lineMatches(e[i] ?? "", got[j] ?? "")) out.push(`  ${got[j++]}`), i++;
    else if (j < got.length && (i === e.length || at(i, j + 1) >= at(i + 1, j))) out.push(`+ ${got[j++]}`);
    else out.push(`- ${e[i++]}`);
  }
  return out.join("\n");
}

/** Compares what a step gave with what it should; undefined when it is right, else a report. */
export function compare(step: Step, code: number, output: string): string | undefined {
  const got = output.split("\n").map((l) => l.trimEnd());
  while (got.at(-1) === "") got.pop();
  const codeRight = code === step.code;
  if (codeRight && linesMatch(step.expected, got)) return undefined;
  const codes = codeRight ? "" : `\n- [${step.code}]\n+ [${code}]`;
  return `${difference(step.expected, got)}${codes}`;
}
