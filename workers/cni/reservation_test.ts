import assert from "node:assert/strict";
import type { PublishedPort } from "../network/ruleset.ts";
import { samePorts } from "./change.ts";
import { portMappings } from "./reservation.ts";

const PORT: PublishedPort = { hostIp: "0.0.0.0", hostPort: 8080, containerPort: 80, count: 1, protocol: "tcp" };
/** The same with its fields in another order. */
const TURNED: PublishedPort = { protocol: "tcp", count: 1, containerPort: 80, hostPort: 8080, hostIp: "0.0.0.0" };

Deno.test("ports are compared by what they are, in whatever order their fields were written down", () => {
  const mapping = { hostPort: 8080, containerPort: 80, protocol: "tcp" };
  assert.deepEqual(portMappings([PORT, { ...TURNED, hostIp: "::" }]), [mapping], "both halves are one");
  assert.deepEqual(portMappings([PORT]), [{ ...mapping, hostIP: "0.0.0.0" }]);
  assert.equal(portMappings([PORT, { ...TURNED, hostIp: "::", containerPort: 81 }]).length, 2);
  assert.ok(samePorts([PORT], [TURNED]));
  assert.ok(samePorts([{ ...PORT, hostPort: 0 }], [TURNED]), "a host port that the daemon chose is any");
  assert.ok(!samePorts([PORT], [{ ...TURNED, containerPort: 81 }]));
  assert.ok(!samePorts([PORT], []));
});
