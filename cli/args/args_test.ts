import assert from "node:assert/strict";
import { completeLine, offerForCommand } from "./complete.ts";
import { type Command, type CommandTable, defineCommand, UsageError } from "./definition.ts";
import { columns, commandHelp, usageLine, wrap } from "./help.ts";
import { checkOperands, parseArgs } from "./parse.ts";
import { didYouMean, editDistance, nearest } from "./suggest.ts";
import { resolveCommand } from "./tree.ts";

const FLAGS = {
  interactive: { type: "bool", short: "i", help: "Keep standard input open" },
  tty: { type: "bool", short: "t", help: "Give it a terminal" },
  publish: { type: "list", short: "p", value: "PORT", help: "Publish a port" },
  name: { type: "value", value: "NAME", help: "Name" },
  adjust: { type: "value", value: "NUMBER", help: "Number" },
  network: { type: "list", value: "NETWORK", aliases: ["net"], help: "Network", complete: "networks" },
  pull: { type: "value", value: "WHEN", help: "When to pull", complete: ["always", "never"] },
  "sig-proxy": { type: "bool", help: "Pass signals on" },
  "no-healthcheck": { type: "bool", help: "No probe" },
  gpus: { type: "value", help: "", refuse: "there are none" },
} as const;

const command = defineCommand({
  summary: "Run something",
  flags: FLAGS,
  operands: [{ name: "IMAGE", complete: "images" }, { name: "ARG", optional: true, variadic: true }],
  optionsFirst: true,
  run: () => Promise.resolve(0),
});

Deno.test("parseArgs: joined short options, values in every form, repeated options", () => {
  const { flags, operands } = parseArgs(FLAGS, [
    "-it",
    "-p80:80",
    "-p",
    "81",
    "-p=82",
    "--publish=83",
    "--name",
    "x",
    "img",
  ]);
  assert.deepEqual(flags, {
    interactive: true,
    tty: true,
    publish: ["80:80", "81", "82", "83"],
    name: "x",
    network: [],
  });
  assert.deepEqual(operands, ["img"]);
});

Deno.test("parseArgs: a value may be negative or look like an option; the last of a single one wins", () => {
  assert.equal(parseArgs(FLAGS, ["--adjust", "-500"]).flags.adjust, "-500");
  assert.equal(parseArgs(FLAGS, ["--name", "--tty"]).flags.name, "--tty");
  assert.equal(parseArgs(FLAGS, ["--name", "a", "--name="]).flags.name, "");
});

Deno.test("parseArgs: optionsFirst ends options at the first operand, -- ends them anywhere", () => {
  assert.deepEqual(parseArgs(FLAGS, ["-i", "img", "-t", "--", "x"], { optionsFirst: true }), {
    flags: { interactive: true, publish: [], network: [] },
    operands: ["img", "-t", "--", "x"],
  });
  assert.deepEqual(parseArgs(FLAGS, ["img", "-t", "--", "-i"]).operands, ["img", "-i"]);
  assert.deepEqual(parseArgs(FLAGS, ["--", "-i", "-"]).operands, ["-i", "-"]);
});

Deno.test("parseArgs: switches with values, --no-x, aliases", () => {
  assert.equal(parseArgs(FLAGS, ["--sig-proxy=false"]).flags["sig-proxy"], false);
  assert.equal(parseArgs(FLAGS, ["--no-sig-proxy"]).flags["sig-proxy"], false);
  assert.equal(parseArgs(FLAGS, ["--no-healthcheck"]).flags["no-healthcheck"], true);
  assert.equal(parseArgs(FLAGS, ["-i=false"]).flags.interactive, false);
  assert.deepEqual(parseArgs(FLAGS, ["--net", "host"]).flags.network, ["host"]);
});

Deno.test("parseArgs: mistakes are told with the nearest option", () => {
  const cases: [string[], RegExp][] = [
    [["--nmae", "x"], /Unknown option --nmae. Did you mean "--name"\?/],
    [["-x"], /Unknown option -x/],
    [["-itx"], /Unknown option -x in "-itx"/],
    [["--name"], /--name needs a value: --name NAME/],
    [["-p"], /-p needs a value/],
    [["--tty=maybe"], /--tty is true or false, not "maybe"/],
    [["--gpus", "all"], /--gpus cannot be honoured: there are none/],
    [["--no-name"], /Unknown option --no-name/],
    [["--constructor"], /Unknown option --constructor/],
  ];
  for (const [argv, pattern] of cases) {
    assert.throws(
      () => parseArgs(FLAGS, argv),
      (e) => e instanceof UsageError && pattern.test(e.message),
      argv.join(" "),
    );
  }
});

Deno.test("parseArgs: operands survive behind --, whatever they are (property)", () => {
  const words = ["-i", "--", "--name", "", "-", "a=b", "--x=y", "img", "-p80"];
  for (let seed = 0; seed < 2000; seed++) {
    const operands = Array.from({ length: seed % 6 }, (_, at) => words[(seed * 31 + at * 17) % words.length] ?? "");
    assert.deepEqual(parseArgs(FLAGS, ["-it", "--", ...operands]).operands, operands);
  }
});

Deno.test("checkOperands: names what is missing and what is too much", () => {
  assert.throws(() => checkOperands(command.operands, []), /IMAGE is missing/);
  checkOperands(command.operands, ["a", "b", "c"]);
  assert.throws(() => checkOperands([], ["x"]), /Unexpected argument "x": the command takes no argument/);
});

Deno.test("nearest: swaps, one letter off, beginnings; nothing for the far", () => {
  const words = ["run", "rename", "restart", "images", "inspect"];
  assert.equal(editDistance("rnu", "run"), 1);
  assert.deepEqual(["rnu", "imgaes", "inspct", "rest", "zzz"].map((word) => nearest(word, words)), [
    "run",
    "images",
    "inspect",
    "restart",
    undefined,
  ]);
  assert.equal(didYouMean("zzz", words), "");
});

Deno.test("help: layout of a command at two widths", () => {
  const small = {
    summary: "Run something in a place that is far away",
    flags: {
      interactive: FLAGS.interactive,
      name: { type: "value", value: "NAME", help: "Name of the container, which must be free" },
    },
    operands: command.operands,
    run: () => Promise.resolve(0),
  } satisfies Command;
  assert.equal(
    commandHelp(["run"], small, ["container run"], 50),
    `Usage:  nyx run [OPTIONS] IMAGE [ARG...]

Run something in a place that is far away

Aliases:
  nyx container run

Options:
  -i, --interactive   Keep standard input open
      --name name     Name of the container, which
                      must be free
`,
  );
  assert.equal(usageLine(["x"], { ...small, flags: {}, operands: [{ name: "C", variadic: true }] }), "nyx x C [C...]");
  for (const width of [40, 60, 80, 200]) {
    for (const line of commandHelp(["run"], command, [], width).split("\n")) {
      assert.ok(line.length <= Math.max(width, 60), line);
    }
  }
});

Deno.test("wrap and columns: no line beyond the width unless a word is", () => {
  assert.deepEqual(wrap("aa bb cc", 5), ["aa bb", "cc"]);
  assert.deepEqual(wrap("abcdefgh i", 4), ["abcdefgh", "i"]);
  assert.equal(columns([["a", "b"]], 80), "  a   b");
});

const TABLE: CommandTable = {
  run: { summary: "Run", load: () => Promise.resolve({ command }) },
  image: {
    summary: "Images",
    children: { ls: { summary: "List", aliases: ["list"], load: () => Promise.resolve({ command }) } },
  },
  __complete: { summary: "", hidden: true },
};

Deno.test("resolveCommand: words, aliases, groups", () => {
  assert.deepEqual(resolveCommand(TABLE, ["image", "list", "x"])?.path, ["image", "ls"]);
  assert.deepEqual(resolveCommand(TABLE, ["image", "nope"])?.rest, ["nope"]);
  assert.equal(resolveCommand(TABLE, ["toString"]), undefined);
});

Deno.test("completeLine: commands, options, values, operands", async () => {
  const words = async (line: string[], current: string) =>
    (await completeLine(TABLE, line, current)).words.map(([word]) => word);
  assert.deepEqual(await words([], ""), ["run", "image"]);
  assert.deepEqual(await words(["--socket", "/x"], ""), ["run", "image"]);
  assert.deepEqual(await words(["image"], ""), ["ls"]);
  const options = await words(["run"], "--");
  assert.ok(options.includes("--name") && !options.includes("--gpus"));
  assert.deepEqual(await words(["run", "--pull"], ""), ["always", "never"]);
  assert.deepEqual(await words(["run"], "--pull="), ["--pull=always", "--pull=never"]);
  assert.equal((await completeLine(TABLE, ["run", "-i"], "")).kind, "images");
  assert.equal((await completeLine(TABLE, ["run", "--net"], "")).kind, "networks");
  assert.equal((await completeLine(TABLE, ["--socket"], "")).kind, "files");
  assert.deepEqual(await completeLine(TABLE, ["nope"], ""), { words: [] });
  assert.deepEqual(offerForCommand(command, ["img"], "--"), { words: [] });
  assert.deepEqual(offerForCommand(command, ["-p"], ""), { words: [] });
});
