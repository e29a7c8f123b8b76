import assert from "node:assert/strict";
import { splitWords, WordsError } from "./words.ts";

Deno.test("splitWords: as a shell does, without expansions", () => {
  assert.deepEqual(splitWords("npm run start"), ["npm", "run", "start"]);
  assert.deepEqual(splitWords(`sh -c 'echo "a b"' "c \\"d\\" $E" f\\ g ''`), [
    "sh",
    "-c",
    'echo "a b"',
    'c "d" $E',
    "f g",
    "",
  ]);
  assert.deepEqual(splitWords("a \\\n  b\n\tc"), ["a", "b", "c"]);
  assert.deepEqual(splitWords('"a\\nb" a\\nb'), ["a\\nb", "anb"]);
  assert.deepEqual(splitWords(""), []);
  assert.throws(() => splitWords("a 'b"), WordsError);
  assert.throws(() => splitWords("a\\"), WordsError);
});
