/** Manual pages, made from the definitions that parsing, `--help` and completion come from: they cannot say anything else. */

import { FLAGS } from "../../daemon/config.ts";
import { type Command, type CommandNode, type CommandTable, type FlagSpecs, GLOBAL_FLAGS } from "../args/definition.ts";
import { usageLine } from "../args/help.ts";
import { COMMANDS } from "../commands/table.ts";
import { bold, entries, escapeRoff, heading, italic, section, verbatim } from "./roff.ts";

/** A page's text, or the file name of the page that it is another name of: a link to be. */
export type Page = { text: string } | { linkTo: string };
/** Pages by file name, such as `nyx-run.1`. */
export type Pages = Map<string, Page>;

/** What stands in every page. */
interface Issue {
  /** Version of nyx. */
  version: string;
  /** Day of its source, YYYY-MM-DD. */
  date: string;
}

/** A command at one of its places in the tree. */
interface Place {
  path: string[];
  node: CommandNode;
  command?: Command;
}

async function walk(table: CommandTable, above: string[] = []): Promise<Place[]> {
  const places: Place[] = [];
  for (const [name, node] of Object.entries(table)) {
    if (node.hidden === true) continue;
    const path = [...above, name];
    const command = (await node.load?.())?.command;
    places.push({ path, node, ...(command === undefined ? {} : { command }) });
    if (node.children !== undefined) places.push(...await walk(node.children, path));
  }
  return places;
}

const pageName = (path: readonly string[]) => ["nyx", ...path].join("-");

function flagEntries(specs: FlagSpecs): string {
  const shown = Object.entries(specs).filter(([, spec]) => spec.hidden !== true && spec.refuse === undefined);
  return entries(
    shown.sort(([a], [b]) => a < b ? -1 : 1).map(([name, spec]) => {
      const value = spec.type === "bool" ? "" : ` ${italic(spec.value ?? "VALUE")}`;
      const names = [...(spec.short === undefined ? [] : [`-${spec.short}`]), `--${name}`].map(bold).join(", ");
      const again = spec.type === "list" ? " May be given again." : "";
      return [`${names}${value}`, `${escapeRoff(spec.help)}.${again}`];
    }),
  );
}

function refusedEntries(specs: FlagSpecs): string {
  const refused = Object.entries(specs).filter(([, spec]) => spec.refuse !== undefined && spec.hidden !== true);
  if (refused.length === 0) return "";
  const list = refused.sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, spec]) => [bold(`--${name}`), `${escapeRoff(spec.refuse ?? "")}.`] as const);
  return `Docker's options that nyx does not honour end the command with their reason:\n${entries(list)}`;
}

/** Synopsis with the program and its commands in bold. */
function synopsis(path: readonly string[], command: Command): string {
  const words = ["nyx", ...path].join(" ");
  return `${bold(words)}${escapeRoff(usageLine(path, command).slice(words.length))}\n`;
}

function seeAlso(pages: readonly (readonly [string, number])[]): string {
  return section("SEE ALSO", pages.map(([name, number]) => `${bold(name)}(${number})`).join(",\n"));
}

function commandPage({ path, command, node }: Place & { command: Command }, also: string[], issue: Issue): string {
  const parent = path.length > 1 ? [[pageName(path.slice(0, -1)), 1] as const] : [];
  const names = also.length === 0 ? "" : `\nAlso called ${also.map(bold).join(", ")}.\n`;
  return heading(pageName(path), 1, issue.date, issue.version) +
    section("NAME", `${escapeRoff(pageName(path))} \\- ${escapeRoff(lowerFirst(node.summary))}`) +
    section("SYNOPSIS", synopsis(path, command)) +
    section("DESCRIPTION", `${escapeRoff(command.summary)}.${names}`) +
    section("OPTIONS", `${flagEntries(command.flags)}${globalNote(command)}`) +
    section("REFUSED OPTIONS", refusedEntries(command.flags)) +
    section("NOTES", command.notes === undefined ? "" : verbatim(command.notes.trim())) +
    seeAlso([["nyx", 1], ...parent, ["nyxd", 8]]);
}

function globalNote(command: Command): string {
  const paragraph = Object.keys(command.flags).length === 0 ? "" : ".PP\n";
  return `${paragraph}The options of ${bold("nyx")}(1) that go with every command are not repeated here.\n`;
}

function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}

function tableEntries(table: CommandTable, above: readonly string[], pages: ReadonlyMap<string, string>): string {
  return entries(
    Object.entries(table).filter(([, node]) => node.hidden !== true).map(([name, node]) => {
      const page = pageName([...above, name]);
      return [
        `${bold(pages.get(page) ?? page)}(1)`,
        `${bold(["nyx", ...above, name].join(" "))}: ${escapeRoff(lowerFirst(node.summary))}.`,
      ];
    }),
  );
}

function groupPage({ path, node }: Place, pages: ReadonlyMap<string, string>, issue: Issue): string {
  return heading(pageName(path), 1, issue.date, issue.version) +
    section("NAME", `${escapeRoff(pageName(path))} \\- ${escapeRoff(lowerFirst(node.summary))}`) +
    section(
      "SYNOPSIS",
      `${bold(["nyx", ...path].join(" "))} ${escapeRoff(node.flags === undefined ? "COMMAND" : "[OPTIONS] COMMAND")}\n`,
    ) +
    section("COMMANDS", tableEntries(node.children ?? {}, path, pages)) +
    section("OPTIONS", node.flags === undefined ? "" : flagEntries(node.flags)) +
    seeAlso([["nyx", 1], ["nyxd", 8]]);
}

function rootPage(pages: ReadonlyMap<string, string>, issue: Issue): string {
  return heading("nyx", 1, issue.date, issue.version) +
    section("NAME", "nyx \\- run containers on this host") +
    section("SYNOPSIS", `${bold("nyx")} ${escapeRoff("[OPTIONS] COMMAND")}\n`) +
    section(
      "DESCRIPTION",
      `Tells ${
        bold("nyxd")
      }(8), over its socket, what to do with containers, images, volumes, networks and compose projects.\n` +
        `${bold("nyx COMMAND --help")} shows a command's options.`,
    ) +
    section("COMMANDS", tableEntries(COMMANDS, [], pages)) +
    section(
      "OPTIONS",
      flagEntries({ ...GLOBAL_FLAGS, version: { type: "bool", help: "Print the version and quit" } }),
    ) +
    section(
      "EXIT STATUS",
      `What a container's program returned passes through ${bold("run")}, ${bold("exec")} and ${
        bold("attach")
      } unchanged.\n` + entries([
        ["0", "Done."],
        ["1", "The daemon refused, or something failed: standard error says what."],
        ["2", "A mistake on the command line."],
        [
          "125, 126, 127",
          `Of ${bold("run")} and ${bold("exec")}: nyx failed; the program cannot be executed; it does not exist.`,
        ],
        ["130", "Interrupted before anything ran."],
      ]),
    ) +
    section(
      "ENVIRONMENT",
      entries([[bold("NYXD_SOCKET"), "Socket of nyxd, unless \\fB\\-\\-socket\\fR says otherwise."]]),
    ) +
    section(
      "FILES",
      entries([[
        italic("/run/nyxd/nyxd.sock"),
        "Socket of nyxd. Members of the group nyx may use it, which makes them equal to root.",
      ]]),
    ) +
    seeAlso([["nyxd", 8]]);
}

/** nyxd(8). */
function daemonPage(issue: Issue): string {
  const flags = FLAGS.map(({ name, value, help }) =>
    [`${bold(`--${name}`)}${value === undefined ? "" : ` ${italic(value)}`}`, `${escapeRoff(help)}.`] as const
  );
  return heading("nyxd", 8, issue.date, issue.version) +
    section("NAME", "nyxd \\- daemon of the nyx container engine") +
    section("SYNOPSIS", `${bold("nyxd")} ${escapeRoff("[OPTIONS]")}\n`) +
    section(
      "DESCRIPTION",
      `Runs containers for ${
        bold("nyx")
      }(1), which reaches it by a socket. It needs root. Containers outlive it: stopping, killing or\n` +
        "upgrading nyxd stops no container, and the next one takes them over with all that they printed meanwhile.",
    ) +
    section("OPTIONS", entries(flags)) +
    section(
      "SIGNALS",
      entries([[
        "SIGTERM, SIGINT",
        "nyxd stops; containers go on, unless \\fB\\-\\-stop\\-containers\\-on\\-exit\\fR. A second one ends it at once.",
      ]]),
    ) +
    section(
      "EXIT STATUS",
      entries([["0", "Stopped as asked."], ["1", "Could not start, or not stop cleanly: standard error says why."], [
        "2",
        "A mistake on the command line.",
      ]]),
    ) +
    section(
      "ENVIRONMENT",
      entries([
        [
          bold("NYXD_CONTAINER_SUBNET, NYXD_GATEWAY_IP"),
          "Subnet and gateway of the default network, unless flags say otherwise.",
        ],
        [bold("HTTP_PROXY, HTTPS_PROXY, NO_PROXY"), "Proxies for registries."],
        [
          bold("DENO_TLS_CA_STORE"),
          "Whose certificates registries may have: by default the host's and Mozilla's (system,mozilla).",
        ],
        [bold("DENO_DIR"), "Where compiled code is kept; it can be deleted at any time."],
      ]),
    ) +
    section(
      "FILES",
      entries([
        [italic("/var/lib/nyxd"), "Images, containers, volumes and records, for root alone."],
        [italic("/run/nyxd/nyxd.sock"), "API socket."],
      ]),
    ) +
    seeAlso([["nyx", 1], ["crun", 1], ["nft", 8]]);
}

/**
 * All pages. A command with several places in the tree has its page at the shortest, and links to it at the others.
 *
 * @param issue version and day that stand in each page
 */
export async function manualPages(issue: Issue): Promise<Pages> {
  const places = await walk(COMMANDS);
  const home = new Map<Command, Place>();
  for (const place of places.toSorted((a, b) => a.path.length - b.path.length)) {
    if (place.command !== undefined && !home.has(place.command)) home.set(place.command, place);
  }
  const homeOf = new Map(places.map((place) => [
    pageName(place.path),
    pageName((place.command === undefined ? place : home.get(place.command) ?? place).path),
  ]));
  const pages: Pages = new Map([
    ["nyx.1", { text: rootPage(homeOf, issue) }],
    ["nyxd.8", { text: daemonPage(issue) }],
  ]);
  for (const place of places) {
    const { command } = place;
    const file = `${pageName(place.path)}.1`;
    if (command === undefined) pages.set(file, { text: groupPage(place, homeOf, issue) });
    else if (home.get(command) !== place) pages.set(file, { linkTo: `${homeOf.get(pageName(place.path))}.1` });
    else {
      const others = places.filter((p) => p.command === command && p !== place).map((p) =>
        ["nyx", ...p.path].join(" ")
      );
      const aliases = places.filter((p) => p.command === command)
        .flatMap((p) => (p.node.aliases ?? []).map((alias) => ["nyx", ...p.path.slice(0, -1), alias].join(" ")));
      pages.set(file, { text: commandPage({ ...place, command }, [...new Set([...others, ...aliases])], issue) });
    }
  }
  return pages;
}
