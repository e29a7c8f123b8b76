/** Go's text/template, as far as `--format` of Docker is used: parsing. See template.ts for what is understood. */

import { invalid } from "../../mod.ts";

/** One value in an action. */
export type Term =
  | { kind: "field"; path: string[] }
  | { kind: "variable"; name: string; path: string[] }
  | { kind: "literal"; value: string | number | boolean | undefined }
  | { kind: "call"; name: string }
  | { kind: "group"; pipeline: Pipeline; path: string[] };

/** Function with arguments, or a single value. */
export type Stage = Term[];
/** Stages joined by `|`; each result is the last argument of the next. */
export type Pipeline = Stage[];

/** Part of a template. */
export type Node =
  | { kind: "text"; text: string }
  | { kind: "output"; pipeline: Pipeline }
  | { kind: "assign"; name: string; pipeline: Pipeline }
  | { kind: "if" | "with"; pipeline: Pipeline; body: Node[]; otherwise: Node[] }
  | { kind: "range"; key?: string; value?: string; pipeline: Pipeline; body: Node[]; otherwise: Node[] };

const TOKEN =
  /\s+|(\$[A-Za-z0-9_]*)|((?:\.[A-Za-z_][A-Za-z0-9_]*)+|\.)|("(?:[^"\\]|\\.)*"|`[^`]*`)|(-?\d+(?:\.\d+)?)|([A-Za-z_][A-Za-z0-9_]*)|(:=|[|(),=])/y;

interface Token {
  kind: "variable" | "field" | "string" | "number" | "word" | "punctuation";
  text: string;
  /** A blank stood before it: `(x).y` and `(x) .y` differ. */
  spaced: boolean;
}

const KINDS = ["variable", "field", "string", "number", "word", "punctuation"] as const;

function tokenize(action: string, fail: (reason: string) => Error): Token[] {
  const tokens: Token[] = [];
  let spaced = false;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < action.length) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(action);
    if (match === null) throw fail(`unexpected "${action.slice(from, from + 10)}"`);
    const at = KINDS.findIndex((_, index) => match[index + 1] !== undefined);
    const kind = KINDS[at];
    if (kind === undefined) spaced = true;
    else {
      tokens.push({ kind, text: match[at + 1] ?? "", spaced });
      spaced = false;
    }
  }
  return tokens;
}

/** Text of a quoted Go string. */
function unquote(text: string): string {
  if (text.startsWith("`")) return text.slice(1, -1);
  const names: Record<string, string> = { n: "\n", t: "\t", r: "\r", '"': '"', "\\": "\\" };
  return text.slice(1, -1).replace(/\\(.)/g, (whole, char: string) => names[char] ?? whole);
}

class ActionParser {
  readonly #tokens: Token[];
  readonly #fail: (reason: string) => Error;
  #at = 0;

  constructor(tokens: Token[], fail: (reason: string) => Error) {
    this.#tokens = tokens;
    this.#fail = fail;
  }

  peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  next(): Token | undefined {
    return this.#tokens[this.#at++];
  }

  done(): void {
    const rest = this.peek();
    if (rest !== undefined) throw this.#fail(`unexpected "${rest.text}"`);
  }

  pipeline(): Pipeline {
    const stages: Pipeline = [this.#stage()];
    while (this.peek()?.text === "|" && this.peek()?.kind === "punctuation") {
      this.next();
      stages.push(this.#stage());
    }
    return stages;
  }

  #stage(): Stage {
    const terms: Term[] = [];
    while (true) {
      const token = this.peek();
      if (token === undefined || (token.kind === "punctuation" && token.text !== "(")) break;
      terms.push(this.#term());
    }
    if (terms.length === 0) throw this.#fail("a value is missing");
    return terms;
  }

  /** `.a.b` that follows a variable or a closing bracket without a blank. */
  #trailingPath(): string[] {
    const token = this.peek();
    if (token?.kind !== "field" || token.spaced || token.text === ".") return [];
    this.next();
    return token.text.slice(1).split(".");
  }

  #term(): Term {
    const token = this.next();
    if (token === undefined) throw this.#fail("a value is missing");
    switch (token.kind) {
      case "field":
        return { kind: "field", path: token.text === "." ? [] : token.text.slice(1).split(".") };
      case "variable":
        return { kind: "variable", name: token.text, path: this.#trailingPath() };
      case "string":
        return { kind: "literal", value: unquote(token.text) };
      case "number":
        return { kind: "literal", value: Number(token.text) };
      case "word":
        if (token.text === "true" || token.text === "false") return { kind: "literal", value: token.text === "true" };
        return token.text === "nil" ? { kind: "literal", value: undefined } : { kind: "call", name: token.text };
      case "punctuation": {
        const pipeline = this.pipeline();
        if (this.next()?.text !== ")") throw this.#fail("a closing bracket is missing");
        return { kind: "group", pipeline, path: this.#trailingPath() };
      }
    }
  }
}

/** Text and actions in turn, with `{{-` and `-}}` having trimmed their neighbours. */
function split(source: string, fail: (reason: string) => Error): { text: string; action: boolean }[] {
  const pieces: { text: string; action: boolean }[] = [];
  let at = 0;
  let trimNext = false;
  while (at <= source.length) {
    const open = source.indexOf("{{", at);
    let text = source.slice(at, open < 0 ? source.length : open);
    if (trimNext) text = text.trimStart();
    if (open < 0) {
      pieces.push({ text, action: false });
      break;
    }
    // A string in an action may hold closing braces.
    const body = /(?:"(?:[^"\\]|\\.)*"|`[^`]*`|(?!\}\})[^"`])*\}\}/y;
    body.lastIndex = open + 2;
    const match = body.exec(source);
    if (match === null) throw fail("an action is not closed by }}");
    let action = match[0].slice(0, -2);
    if (/^-\s/.test(action)) [action, text] = [action.slice(1), text.trimEnd()];
    trimNext = /\s-$/.test(action);
    if (trimNext) action = action.slice(0, -1);
    pieces.push({ text, action: false }, { text: action.trim(), action: true });
    at = body.lastIndex;
  }
  return pieces.filter((piece) => piece.action || piece.text !== "");
}

interface Frame {
  nodes: Node[];
  /** The open block; undefined at the top. */
  block?: Extract<Node, { body: Node[] }>;
}

function openRange(parser: ActionParser, fail: (reason: string) => Error): Extract<Node, { kind: "range" }> {
  const names: string[] = [];
  const first = parser.peek();
  const node: Extract<Node, { kind: "range" }> = { kind: "range", pipeline: [], body: [], otherwise: [] };
  if (first?.kind === "variable") {
    const probe = parser.next();
    const after = parser.peek();
    if (after?.text === "," || after?.text === ":=") {
      names.push(probe?.text ?? "");
      if (parser.next()?.text === ",") {
        names.push(parser.next()?.text ?? "");
        if (parser.next()?.text !== ":=") throw fail("after the variables of range comes :=");
      }
    } else {
      throw fail("range over a variable is written: range $x := .Field");
    }
  }
  const [a, b] = names;
  if (b !== undefined && a !== undefined) [node.key, node.value] = [a, b];
  else if (a !== undefined) node.value = a;
  node.pipeline = parser.pipeline();
  return node;
}

/**
 * Parses a template.
 *
 * @throws NyxError invalid_argument naming the mistake
 */
export function parseTemplate(source: string): Node[] {
  const fail = (reason: string) =>
    invalid("format", source, `${reason}; it is a Go template such as '{{.ID}} {{.Names}}'`);
  const stack: Frame[] = [{ nodes: [] }];
  for (const piece of split(source, fail)) {
    const top = stack.at(-1);
    if (top === undefined) throw fail("unexpected {{end}}");
    if (!piece.action) top.nodes.push({ kind: "text", text: piece.text });
    else if (!piece.text.startsWith("/*")) parseAction(piece.text, stack, top, fail);
  }
  if (stack.length !== 1) throw fail("{{end}} is missing");
  return stack[0]?.nodes ?? [];
}

function parseAction(text: string, stack: Frame[], top: Frame, fail: (reason: string) => Error): void {
  const parser = new ActionParser(tokenize(text, fail), fail);
  const first = parser.peek();
  if (first?.kind === "word" && first.text === "end") {
    parser.next();
    parser.done();
    // `else if` opened frames of their own; each is marked by a block whose parent continues it.
    if (top.block === undefined) throw fail("unexpected {{end}}");
    stack.pop();
  } else if (first?.kind === "word" && first.text === "else") {
    parser.next();
    const block = top.block;
    if (block === undefined) throw fail("{{else}} stands outside of a block");
    if (parser.peek()?.text === "if") {
      parser.next();
      const chained: Extract<Node, { kind: "if" | "with" }> = {
        kind: "if",
        pipeline: parser.pipeline(),
        body: [],
        otherwise: [],
      };
      block.otherwise.push(chained);
      stack[stack.length - 1] = { nodes: chained.body, block: chained };
    } else {
      stack[stack.length - 1] = { nodes: block.otherwise, block };
    }
    parser.done();
  } else if (first?.kind === "word" && (first.text === "if" || first.text === "with" || first.text === "range")) {
    parser.next();
    const node = first.text === "range" ? openRange(parser, fail) : {
      kind: first.text === "if" ? "if" as const : "with" as const,
      pipeline: parser.pipeline(),
      body: [],
      otherwise: [],
    };
    parser.done();
    top.nodes.push(node);
    stack.push({ nodes: node.body, block: node });
  } else {
    top.nodes.push(parseOutput(text, fail));
  }
}

function parseOutput(text: string, fail: (reason: string) => Error): Node {
  const assigned = /^(\$[A-Za-z0-9_]+)\s*:?=\s*/.exec(text);
  const parser = new ActionParser(tokenize(assigned === null ? text : text.slice(assigned[0].length), fail), fail);
  const pipeline = parser.pipeline();
  parser.done();
  return assigned?.[1] === undefined ? { kind: "output", pipeline } : { kind: "assign", name: assigned[1], pipeline };
}
