import assert from "node:assert/strict";
import { type Change, ownChanges } from "./changes.ts";

const paths = (changes: Change[]) => changes.map((c) => `${c.kind} ${c.path}`);

Deno.test("ownChanges: mount points that nyx made, and their parents, are not the container's doing", () => {
  const changes: Change[] = [
    { kind: "C", path: "/etc" },
    { kind: "A", path: "/etc/hosts" },
    { kind: "A", path: "/etc/resolv.conf" },
    { kind: "A", path: "/data" },
    { kind: "A", path: "/data/deep" },
  ];
  assert.deepEqual(ownChanges(changes, ["/data/deep"]), []);
});

Deno.test("ownChanges: what the container did beside a mount point stays, with its directory", () => {
  const changes: Change[] = [
    { kind: "C", path: "/etc" },
    { kind: "A", path: "/etc/hosts" },
    { kind: "A", path: "/etc/mine" },
    { kind: "D", path: "/bin/x" },
  ];
  assert.deepEqual(paths(ownChanges(changes, [])), ["C /etc", "A /etc/mine", "D /bin/x"]);
  assert.deepEqual(paths(ownChanges([{ kind: "C", path: "/etc/hosts" }], [])), ["C /etc/hosts"]);
});
