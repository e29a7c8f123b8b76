import assert from "node:assert/strict";
import { DotenvError, parseDotenv } from "./dotenv.ts";

const read = (text: string, env: Record<string, string> = {}) =>
  Object.fromEntries(parseDotenv(text, (name) => Object.hasOwn(env, name) ? env[name] : undefined));

Deno.test("parseDotenv: the rules of Compose", () => {
  const text = [
    "# comment",
    "",
    "PLAIN=value",
    "  INDENTED = spaced  ",
    "export EXPORTED=yes",
    "YAML: style",
    "EMPTY=",
    "INLINE=a # comment",
    "HASH=a#b",
    "ONLY_COMMENT=# nothing",
    "SINGLE='$PLAIN # kept \\n'",
    'DOUBLE="$PLAIN # kept\\n\\"q\\" \\$x"',
    "MULTI='first",
    "second'",
    'MULTID="first',
    'second" # after',
    "REF=${PLAIN}-$SINGLE",
    "DEF=${NOPE:-fallback}",
    "FROM_ENV=$SHELL_VAR",
    "INHERITED",
    "MISSING",
    "DOTTED.name-x[0]=1",
    "EQ=a=b=c",
    "PLAIN2=a 'b' \"c\"",
  ].join("\n");
  assert.deepEqual(read(text, { SHELL_VAR: "sh", INHERITED: "from-env" }), {
    PLAIN: "value",
    INDENTED: "spaced",
    EXPORTED: "yes",
    YAML: "style",
    EMPTY: "",
    INLINE: "a",
    HASH: "a#b",
    ONLY_COMMENT: "",
    SINGLE: "$PLAIN # kept \\n",
    DOUBLE: 'value # kept\n"q" $x',
    MULTI: "first\nsecond",
    MULTID: "first\nsecond",
    REF: "value-$PLAIN # kept \\n",
    DEF: "fallback",
    FROM_ENV: "sh",
    INHERITED: "from-env",
    "DOTTED.name-x[0]": "1",
    EQ: "a=b=c",
    PLAIN2: "a 'b' \"c\"",
  });
});

Deno.test("parseDotenv: line ends of Windows, a byte order mark, the caller's environment before the file", () => {
  assert.deepEqual(read('\ufeffA=1\r\nB="x"\r\n'), { A: "1", B: "x" });
  assert.deepEqual(read("A=file\nB=$A\n", { A: "shell" }), { A: "file", B: "shell" });
});

Deno.test("parseDotenv: faults name their line; __proto__ is an ordinary name", () => {
  assert.throws(() => read("A=1\nnot a name=2"), (e) => e instanceof DotenvError && e.line === 2);
  assert.throws(() => read('A=1\n\nB="open'), (e) => e instanceof DotenvError && e.line === 3);
  assert.throws(() => read("A=${X:?no x}"), /required variable X/);
  assert.equal(JSON.stringify(read("__proto__=1\nconstructor=2")), '{"__proto__":"1","constructor":"2"}');
});
