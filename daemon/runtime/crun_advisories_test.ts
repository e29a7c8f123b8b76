import assert from "node:assert/strict";
import { advisoriesOf, CRUN_ADVISORIES, crunWarnings } from "./crun_advisories.ts";

const cves = (version: string) => advisoriesOf(version).map((a) => a.cve.slice("CVE-".length));

Deno.test("advisoriesOf: each version has what was published for it, at the edges too", () => {
  const latest = ["2026-88264", "2026-88265"];
  assert.deepEqual(cves("1.8.1"), ["2025-24965", "2026-47766", ...latest]);
  assert.deepEqual(cves("1.4.3"), ["2022-27650", "2025-24965", "2026-47766", ...latest]);
  assert.deepEqual(cves("1.4.4"), cves("1.8.1"));
  assert.deepEqual(cves("1.18.2"), cves("1.8.1"));
  assert.deepEqual(cves("1.19"), ["2025-24965", "2026-30892", "2026-47766", ...latest]);
  assert.deepEqual(cves("1.20"), ["2026-30892", "2026-47766", ...latest]);
  assert.deepEqual(cves("1.27"), ["2026-47766", ...latest]);
  assert.deepEqual(cves("1.28"), latest);
  assert.deepEqual(cves("1.29.1"), latest);
  assert.deepEqual(cves("1.29.2"), []);
  assert.deepEqual(cves("1.30"), []);
  assert.ok(cves("0.10.4").includes("2019-18837") && !cves("0.10.5").includes("2019-18837"));
});

Deno.test("advisoriesOf: versions of distributions and of builds compare by their numbers; others say nothing", () => {
  assert.deepEqual(cves("1.29.1.0.3-ab12cd"), []);
  assert.deepEqual(cves("v1.28-dirty"), ["2026-88264", "2026-88265"]);
  assert.deepEqual(cves("UNKNOWN"), []);
});

Deno.test("crunWarnings: one sentence that names each and its fix; none for a version without", () => {
  const [text = "", ...more] = crunWarnings("1.8.1");
  assert.equal(more.length, 0);
  assert.match(
    text,
    /crun 1\.8\.1 .* CVE-2025-24965 \(.*krun.*; fixed in 1\.20\).*CVE-2026-88265 \(.*known up to 1\.29\.1\)/,
  );
  assert.doesNotMatch(text, /CVE-2024-21626|CVE-2022-27650/);
  assert.deepEqual(crunWarnings("2.0"), []);
});

Deno.test("CRUN_ADVISORIES: each names its source and has the form of a CVE", () => {
  for (const { cve, source } of CRUN_ADVISORIES) {
    assert.match(cve, /^CVE-\d{4}-\d{4,}$/);
    assert.ok(source.length > 8, cve);
  }
});
