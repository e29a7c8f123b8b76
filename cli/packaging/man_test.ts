import assert from "node:assert/strict";
import { FLAGS } from "../../daemon/config.ts";
import type { CommandNode, CommandTable } from "../args/definition.ts";
import { COMMANDS } from "../commands/table.ts";
import { manualPages, type Pages } from "./man.ts";
import { escapeRoff } from "./roff.ts";

const issue = { version: "1.2.3", date: "2026-01-02" };

function visible(table: CommandTable, above: string[] = []): { path: string[]; node: CommandNode }[] {
  return Object.entries(table).filter(([, node]) => node.hidden !== true).flatMap(([name, node]) => [
    { path: [...above, name], node },
    ...visible(node.children ?? {}, [...above, name]),
  ]);
}

/** Text of a page, through one link. */
function textOf(pages: Pages, file: string): string {
  const page = pages.get(file);
  const end = page !== undefined && "linkTo" in page ? pages.get(page.linkTo) : page;
  return end !== undefined && "text" in end ? end.text : "";
}

Deno.test("manualPages: every command has a page with every option that its help has, or a link to one", async () => {
  const pages = await manualPages(issue);
  const places = visible(COMMANDS);
  assert.equal(pages.size, places.length + 2);
  for (const { path, node } of places) {
    const name = ["nyx", ...path].join("-");
    const page = textOf(pages, `${name}.1`);
    assert.match(page, /^\.TH "NYX-/, name);
    const command = (await node.load?.())?.command;
    for (const [flag, spec] of Object.entries(command?.flags ?? node.flags ?? {})) {
      if (spec.hidden !== true) assert.ok(page.includes(escapeRoff(`--${flag}`)), `${name} lacks --${flag}`);
    }
    for (const child of Object.keys(node.children ?? {})) {
      assert.ok(page.includes(escapeRoff(`nyx ${path.join(" ")} ${child}`)), `${name} lacks ${child}`);
    }
  }
  for (const { name } of FLAGS) assert.ok(textOf(pages, "nyxd.8").includes(escapeRoff(`--${name}`)), name);
});

Deno.test("manualPages: mandoc finds nothing to warn of, and reads back what was meant", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-man-" });
  try {
    for (const [file, page] of await manualPages(issue)) {
      if ("text" in page) Deno.writeTextFileSync(`${dir}/${file}`, page.text);
    }
    const lint = await new Deno.Command("sh", {
      args: ["-c", 'cd "$1" && mkdir man1 && mv *.1 man1 && mandoc -T lint -W warning man1/*.1 nyxd.8', "sh", dir],
    }).output();
    assert.equal(new TextDecoder().decode(lint.stdout) + new TextDecoder().decode(lint.stderr), "");
    const shown = await new Deno.Command("mandoc", {
      args: ["-T", "ascii", "-O", "width=500", `${dir}/man1/nyx-run.1`],
    }).output();
    // Bold is a letter, a backspace and the letter again.
    const plain = new TextDecoder().decode(shown.stdout).split(`${String.fromCharCode(8)}`).map((part, i, all) =>
      i < all.length - 1 ? part.slice(0, -1) : part
    ).join("");
    assert.match(plain, /nyx run \[OPTIONS\] IMAGE \[COMMAND\] \[ARG\.\.\.\]/);
    assert.match(plain, /-p, --publish \[?\S+/);
    assert.match(plain, /Also called nyx container run\./);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("escapeRoff: nothing in a text is taken for a command of roff", () => {
  assert.equal(escapeRoff(".so /etc/shadow\n'x\na\\fB --b"), "\\&.so /etc/shadow\n\\&'x\na\\efB \\-\\-b");
});
