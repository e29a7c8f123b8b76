import { strict as assert } from "node:assert";
import { parseChallenges } from "./challenge.ts";

function parse(header: string | null): [string, Record<string, string>][] {
  return parseChallenges(header).map((c) => [c.scheme, { ...c.params }]);
}

Deno.test("parseChallenges: a Bearer challenge with quoted commas and spaces", () => {
  assert.deepEqual(
    parse('Bearer realm="https://auth.example/token?x=1,2",service="reg, one",scope="repository:a/b:pull,push"'),
    [["bearer", {
      realm: "https://auth.example/token?x=1,2",
      service: "reg, one",
      scope: "repository:a/b:pull,push",
    }]],
  );
});

Deno.test("parseChallenges: several challenges in one header, in either order", () => {
  assert.deepEqual(parse('Basic realm="x", Bearer realm="https://a/t" , service=s'), [
    ["basic", { realm: "x" }],
    ["bearer", { realm: "https://a/t", service: "s" }],
  ]);
  assert.deepEqual(parse('Bearer realm="https://a/t",service="s", BASIC realm=plain'), [
    ["bearer", { realm: "https://a/t", service: "s" }],
    ["basic", { realm: "plain" }],
  ]);
});

Deno.test("parseChallenges: escapes, spaces around =, empty elements, token68, schemes without parameters", () => {
  assert.deepEqual(parse('Basic realm = "a \\"quoted\\" \\\\ b"'), [["basic", { realm: 'a "quoted" \\ b' }]]);
  assert.deepEqual(parse(", , Basic realm=x, ,"), [["basic", { realm: "x" }]]);
  assert.deepEqual(parse("Negotiate, Basic realm=x"), [["negotiate", {}], ["basic", { realm: "x" }]]);
  assert.deepEqual(parse("Negotiate YWJj=, Basic realm=x"), [["negotiate", {}], ["basic", { realm: "x" }]]);
});

Deno.test("parseChallenges: the first of a repeated parameter counts, so a later realm cannot replace it", () => {
  assert.deepEqual(parse('Bearer realm="https://good/",realm="https://evil/"'), [["bearer", {
    realm: "https://good/",
  }]]);
});

Deno.test("parseChallenges: __proto__ as a parameter is a plain parameter", () => {
  const [challenge] = parseChallenges('Bearer __proto__="x",realm="y"');
  assert.equal(challenge?.params["realm"], "y");
  assert.equal(({} as Record<string, unknown>)["x"], undefined);
});

Deno.test("parseChallenges: missing, malformed and oversized headers give what was readable", () => {
  assert.deepEqual(parse(null), []);
  assert.deepEqual(parse(""), []);
  assert.deepEqual(parse('"'), []);
  assert.deepEqual(parse('Bearer realm="unterminated'), [["bearer", {}], ["realm", {}]]);
  assert.deepEqual(parse(`Bearer realm="${"a".repeat(9000)}"`), []);
});
