import assert from "node:assert/strict";
import { renderMetrics } from "./metrics.ts";

Deno.test("renderMetrics: labels are escaped, a family without samples is left out", () => {
  const text = renderMetrics([
    { name: "a", type: "gauge", help: "Of a.", samples: [{ value: 1 }] },
    { name: "b", type: "counter", help: "Of b.", samples: [] },
    { name: "c", type: "counter", help: "Of c.", samples: [{ labels: { name: 'x"\n\\' }, value: 0.5 }] },
  ]);
  assert.equal(
    text,
    '# HELP a Of a.\n# TYPE a gauge\na 1\n# HELP c Of c.\n# TYPE c counter\nc{name="x\\"\\n\\\\"} 0.5\n',
  );
});
