import assert from "node:assert/strict";
import type { ContainerSummary } from "../spec/api.ts";
import { passes } from "./view.ts";

const ROW: ContainerSummary = {
  id: "ab".repeat(32),
  short_id: "abababababab",
  name: "web-1",
  image: "registry.test/app:v1",
  image_id: "sha256:feed",
  command: "run",
  created: "2026-01-02T00:00:00.000000000Z",
  status: "running",
  status_text: "Up 1 second",
  ports: [{ hostIp: "0.0.0.0", hostPort: 8090, containerPort: 90, count: 3, protocol: "tcp" }],
  labels: { tier: "front", empty: "" },
  networks: ["nyx"],
  mounts: ["data", "/srv"],
  restart_count: 0,
};

const shown = (filters: Record<string, string[]>) => passes(ROW, filters, ["80/tcp", "53/udp", "7000-7010"]);

Deno.test("passes: every key of ps --filter, values of one key as alternatives, keys together", () => {
  const cases: [Record<string, string[]>, boolean][] = [
    [{ id: ["abab"] }, true],
    [{ until: ["2026-01-02T00:00:00Z"] }, false],
    [{ until: ["2026-01-02T01:00:01+01:00"] }, true],
    [{ until: ["no time"] }, false],
    [{ id: ["ba"] }, false],
    [{ name: ["eb"] }, true],
    [{ name: ["/web-1"] }, true],
    [{ label: ["tier"] }, true],
    [{ label: ["tier=front"] }, true],
    [{ label: ["tier=back"] }, false],
    [{ label: ["empty="] }, true],
    [{ status: ["exited", "running"] }, true],
    [{ status: ["running"], name: ["db"] }, false],
    [{ health: ["none"] }, true],
    [{ network: ["nyx"] }, true],
    [{ volume: ["data"] }, true],
    [{ volume: ["dat"] }, false],
    [{ ancestor: ["registry.test/app:v1"] }, true],
    [{ ancestor: ["feed"] }, true],
    [{ ancestor: ["registry.test/app"] }, false],
    [{ before: ["2026-01-03T00:00:00.000000000Z"] }, true],
    [{ before: [ROW.created] }, false],
    [{ since: ["2026-01-01T00:00:00.000000000Z"] }, true],
    [{ since: [ROW.created] }, false],
    [{}, true],
  ];
  for (const [filters, wanted] of cases) assert.equal(shown(filters), wanted, JSON.stringify(filters));
  assert.throws(() => shown({ "no-such": ["x"] }), /use one of id, name, .*since/);
});

Deno.test("passes: publish and expose match a port, a range that touches, and the protocol", () => {
  for (const publish of ["8090", "8092/tcp", "8000-8090", "8092-9000"]) {
    assert.ok(shown({ publish: [publish] }), publish);
  }
  for (const publish of ["8093", "90", "8090/udp", "x"]) assert.ok(!shown({ publish: [publish] }), publish);
  for (const expose of ["80", "80/tcp", "53/udp", "7005", "7010-7020"]) assert.ok(shown({ expose: [expose] }), expose);
  for (const expose of ["53", "81", "7011"]) assert.ok(!shown({ expose: [expose] }), expose);
});
