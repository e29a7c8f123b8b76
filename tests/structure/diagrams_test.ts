import assert from "node:assert/strict";
import {
  COMPONENT_EDGES,
  COMPONENTS,
  COMPOSE_STEPS,
  CONTEXT_EDGES,
  CONTEXT_NODES,
  DATA,
  type Edge,
  RUN_STEPS,
} from "./kit.ts";

const root = new URL("../../", import.meta.url);
const page = Deno.readTextFileSync(new URL("docs/architecture-diagram-kit.md", root));

/** Mermaid blocks of a page, in order. */
function diagrams(text: string): string[] {
  return [...text.matchAll(/^```mermaid\n([\s\S]*?)^```$/gm)].map((m) => m[1] ?? "");
}

/** Entities as Mermaid takes them: `&lt;` in labels; `#lt;` in messages, where the semicolon of the other ends the statement. */
function unescape(text: string): string {
  return text.replaceAll(/[&#]lt;/g, "<").replaceAll(/[&#]gt;/g, ">");
}

interface Parsed {
  kind: string;
  nodes: Record<string, string>;
  edges: { from: string; to: string; text: string }[];
}

/** Reads the subset of Mermaid that the page uses; a line that is not understood is an error, so that none is skipped. */
function parse(diagram: string): Parsed {
  const [head = "", ...lines] = diagram.trimEnd().split("\n");
  const parsed: Parsed = { kind: head.split(" ")[0] ?? "", nodes: {}, edges: [] };
  for (const line of lines) {
    const node = /^ {2}(\w+)(?:\(\["|\[\("|\[")(.*?)(?:"\]\)|"\)\]|"\])$/.exec(line) ??
      /^ {2}(?:actor|participant) (\w+) as (.*)$/.exec(line);
    const edge = /^ {2}(\w+) (?:-->|-\.->)\|"(.*)"\| (\w+)$/.exec(line);
    const message = /^ {2}(\w+)->>(\w+): (.*)$/.exec(line);
    if (edge) parsed.edges.push({ from: edge[1] ?? "", to: edge[3] ?? "", text: unescape(edge[2] ?? "") });
    else if (message) {
      if (/&\w+;/.test(message[3] ?? "")) {
        throw new Error(`A message cannot hold the entity in ${JSON.stringify(line)}`);
      }
      parsed.edges.push({ from: message[1] ?? "", to: message[2] ?? "", text: unescape(message[3] ?? "") });
    } else if (node) parsed.nodes[node[1] ?? ""] = unescape(node[2] ?? "");
    else throw new Error(`Could not read the diagram line ${JSON.stringify(line)}`);
  }
  return parsed;
}

const edgesOf = (edges: readonly Edge[]) =>
  edges.map(([id, from, to, label]) => ({ from, to, text: `${id} ${label}` }));
const named = (id: string) => COMPONENTS[id] === undefined ? CONTEXT_NODES[id] : `${id} ${COMPONENTS[id]}`;
const [context, components, run, compose, data] = diagrams(page).map(parse);

Deno.test("diagrams: the page holds five", () => {
  assert.equal(diagrams(page).length, 5);
});

Deno.test("diagrams: context nodes and edges are the kit's", () => {
  assert.deepEqual(context?.nodes, CONTEXT_NODES);
  assert.deepEqual(context?.edges, edgesOf(CONTEXT_EDGES));
});

Deno.test("diagrams: components and their edges are the kit's", () => {
  assert.deepEqual(components?.nodes, Object.fromEntries(Object.keys(COMPONENTS).map((id) => [id, named(id)])));
  assert.deepEqual(components?.edges, edgesOf(COMPONENT_EDGES));
});

Deno.test("diagrams: both sequences have the kit's steps in its order, and every participant is declared", () => {
  for (const [diagram, steps] of [[run, RUN_STEPS], [compose, COMPOSE_STEPS]] as const) {
    assert.equal(diagram?.kind, "sequenceDiagram");
    assert.deepEqual(diagram?.edges, edgesOf(steps));
    const used = new Set(steps.flatMap(([, from, to]) => [from, to]));
    assert.deepEqual(Object.keys(diagram?.nodes ?? {}).sort(), [...used].sort());
    for (const id of used) assert.equal(diagram?.nodes[id], named(id));
  }
});

Deno.test("diagrams: the data layout names the kit's paths, contents and owners", () => {
  const files = Object.entries(data?.nodes ?? {}).filter(([id]) => id.startsWith("F"));
  assert.deepEqual(files.map(([, path]) => path), DATA.map(([path]) => path));
  const wanted = DATA.flatMap(([, holds, owners], i) => owners.map((o) => ({ from: o, to: `F${i + 1}`, text: holds })));
  assert.deepEqual(data?.edges, wanted);
});

Deno.test("diagrams: every module that the docs name exists", () => {
  const pages = [...Deno.readDirSync(new URL("docs/", root))].filter((e) => e.name.endsWith(".md"));
  let seen = 0;
  for (const { name } of pages) {
    const text = Deno.readTextFileSync(new URL(`docs/${name}`, root));
    for (const [, path = ""] of text.matchAll(/`((?:daemon|workers|ffi|cli|tests)\/[\w./-]*)`/g)) {
      seen++;
      assert.ok(Deno.statSync(new URL(path, root)), `${name} names ${path}`);
    }
  }
  assert.ok(seen > 15);
});
