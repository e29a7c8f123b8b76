import assert from "node:assert/strict";
import { baseImages, expandArguments, parseDockerfile, replaceBases } from "./dockerfile.ts";

const refs = (text: string, options = {}) => baseImages(text, options).map((b) => b.ref);

Deno.test("parseDockerfile joins continued lines, leaves out comments and here-documents, knows the escape directive", () => {
  const text =
    "# escape=`\nFROM a\nRUN x `\n# between\n\n  y\nRUN <<EOF\nFROM inside\nEOF\nCOPY <<-'A' <<B /d/\n1\n\tA\n2\nB\nUSER u\n";
  assert.deepEqual(parseDockerfile(text).map((i) => [i.line, i.name, i.rest.replace(/\s+/g, " ")]), [
    [2, "FROM", "a"],
    [3, "RUN", "x y"],
    [7, "RUN", "<<EOF"],
    [10, "COPY", "<<-'A' <<B /d/"],
    [15, "USER", "u"],
  ]);
});

Deno.test("baseImages gives the images that lead to the target, each once, and no stage that nothing uses", () => {
  const text = `ARG V=1
FROM golang:\${V} AS build
COPY --from=tools:2 /t /t
RUN --mount=type=cache,target=/c --mount=from=deps,target=/d,type=bind make
FROM node AS unused
FROM build AS test
FROM scratch
COPY --from=0 /out /out
COPY --from=build /x /x
`;
  assert.deepEqual(refs(text), ["golang:1", "tools:2", "deps"]);
  assert.deepEqual(refs(text, { args: { V: "9" }, target: "test" }), ["golang:9", "tools:2", "deps"]);
  assert.deepEqual(refs(text, { target: "unused" }), ["node"]);
  assert.deepEqual(refs(text, { contexts: ["deps"] }), ["golang:1", "tools:2"]);
  assert.equal(baseImages(text)[0]?.written, "golang:${V}");
  assert.throws(() => refs(text, { target: "nope" }), /no stage "nope"; it has build, unused, test/);
});

Deno.test("baseImages replaces build arguments and platform arguments as the reference says", () => {
  const platform = { os: "linux", architecture: "arm64", variant: "v8" };
  const text = 'ARG R="reg.example/" T\nFROM --platform=$BUILDPLATFORM ${R}app:${T:-dev}-$TARGETARCH AS a\n';
  const [base] = baseImages(text, { platform });
  assert.deepEqual([base?.ref, base?.platform], ["reg.example/app:dev-arm64", "linux/arm64/v8"]);
  assert.equal(baseImages(text, { platform, args: { T: "9" } })[0]?.ref, "reg.example/app:9-arm64");
  assert.throws(() => baseImages("FROM $NOPE"), /names no image/);
  assert.throws(() => baseImages("RUN x"), /no FROM/);
  assert.equal(expandArguments("\\$A ${B:+r}${C-d}", (n) => n === "B" ? "1" : undefined), "$A rd");
});

Deno.test("baseImages takes a name for a stage only when the stage comes before", () => {
  assert.deepEqual(refs("FROM a AS a\nFROM a\n"), ["a"]);
  assert.deepEqual(
    refs("FROM a AS a\nFROM a AS b\nFROM x AS c\nFROM x\nCOPY --from=b / /\nCOPY --from=x / /\nCOPY --from=x /y /\n"),
    [
      "a",
      "x",
      "x",
    ],
  );
  assert.deepEqual(refs("FROM b\nCOPY --from=later /x /x\nFROM c AS later\nFROM scratch\nCOPY --from=0 / /\n"), [
    "b",
    "later",
  ]);
});

Deno.test("replaceBases puts other images into FROM alone; flags, names of stages and numbers of lines stay", () => {
  const text = "# c\nFROM --platform=linux/amd64 a:${V} \\\n  AS a\nRUN x\nfrom a as two\nCOPY --from=a:1 / /\n";
  const replaced = replaceBases(text, new Map([[2, "other:1"], [4, "no"]]));
  assert.equal(
    replaced,
    "# c\nFROM --platform=linux/amd64 other:1 AS a\n\nRUN x\nfrom a as two\nCOPY --from=a:1 / /\n".replace(
      "1 AS",
      "1   AS",
    ),
  );
});
