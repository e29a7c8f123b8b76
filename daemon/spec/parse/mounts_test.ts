import assert from "node:assert/strict";
import type { MountSpec } from "../container.ts";
import { NyxError } from "../errors.ts";
import { parseMount, parseTmpfs, parseVolume } from "./mounts.ts";

const options = { cwd: "/home/me" };

Deno.test("parseVolume: host directories, volumes, anonymous volumes, options", () => {
  const cases: [string, MountSpec][] = [
    ["/data", { type: "volume", target: "/data" }],
    ["vol:/data", { type: "volume", source: "vol", target: "/data" }],
    ["vol:/data:ro,nocopy,Z", { type: "volume", source: "vol", target: "/data", noCopy: true, readOnly: true }],
    ["/srv:/data", { type: "bind", source: "/srv", target: "/data", bind: { createSource: true } }],
    ["./x/../y:/data/:rw", { type: "bind", source: "/home/me/y", target: "/data", bind: { createSource: true } }],
    ["..:/data", { type: "bind", source: "/home", target: "/data", bind: { createSource: true } }],
    ["/srv:/data:rslave,ro", {
      type: "bind",
      source: "/srv",
      target: "/data",
      readOnly: true,
      bind: { createSource: true, propagation: "rslave" },
    }],
    ["/:/host:ro", { type: "bind", source: "/", target: "/host", readOnly: true, bind: { createSource: true } }],
  ];
  for (const [text, mount] of cases) assert.deepEqual(parseVolume(text, options), mount, text);
});

Deno.test("parseVolume: refuses relative and root targets, bad names, contradicting options", () => {
  const bad = [
    "",
    ":",
    "vol:",
    ":/data",
    "vol:data",
    "vol:/",
    "/srv:/a/..",
    "a/b:/data",
    "v!:/data",
    "-v:/data",
    "vol:/data:xx",
    "vol:/data:ro,rw",
  ];
  for (
    const text of [...bad, "/a:/b:shared,slave", "vol:/d:rshared", "/a:/b:nocopy", "a:/b:ro:x", "vol:/da\0ta", "data"]
  ) {
    assert.throws(
      () => parseVolume(text, options),
      (e) => e instanceof NyxError && e.code === "invalid_argument",
      text,
    );
  }
  assert.throws(() => parseVolume("./x:/data"), /must be absolute/);
});

Deno.test("parseMount: the long form of all three types", () => {
  const cases: [string, MountSpec][] = [
    ["type=bind,source=/srv,target=/data,readonly", {
      type: "bind",
      source: "/srv",
      target: "/data",
      readOnly: true,
      bind: {},
    }],
    ["type=bind,src=./x,dst=/data,bind-propagation=rshared,bind-recursive=disabled", {
      type: "bind",
      source: "/home/me/x",
      target: "/data",
      bind: { propagation: "rshared", nonRecursive: true },
    }],
    ["target=/data", { type: "volume", target: "/data" }],
    [
      'source=v,destination=/data,volume-nocopy=true,volume-subpath=a/b,volume-driver=local,"volume-opt=o=uid=1,gid=2",volume-label=k=v,ro=false',
      {
        type: "volume",
        source: "v",
        target: "/data",
        noCopy: true,
        subpath: "a/b",
        driver: "local",
        driverOptions: { o: "uid=1,gid=2" },
        labels: { k: "v" },
      },
    ],
    ["type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770", {
      type: "tmpfs",
      target: "/t",
      sizeBytes: 67108864,
      mode: 0o1770,
    }],
  ];
  for (const [text, mount] of cases) assert.deepEqual(parseMount(text, options), mount, text);
});

Deno.test("parseMount: refuses unknown, doubled and foreign keys, and what is missing", () => {
  const bad = [
    "",
    "type=bind,target=/d",
    "type=bind,source=/s",
    "type=npipe,source=a,target=/d",
    "type=volume,target=/d,tmpfs-size=1m",
    "type=tmpfs,target=/d,source=/x",
    "type=bind,source=/s,target=/d,target=/e",
    "type=bind,source=/s,target=/d,bogus=1",
    "type=bind,source=/s,target=/d,readonly=maybe",
    "type=bind,source=/s,target=/d,bind-propagation=x",
    "type=bind,source=/s,target=/d,bind-recursive=writable",
    "type=volume,source=/abs,target=/d",
    "source=v,target=/d,volume-subpath=../x",
    "source=v,target=/d,volume-subpath=/x",
    "source=v,target=/d,volume-opt==x",
    "type=tmpfs,target=/d,tmpfs-mode=999",
    "source,target=/d",
    '"source=v,target=/d',
  ];
  for (const text of bad) {
    assert.throws(() => parseMount(text, options), (e) => e instanceof NyxError && e.code === "invalid_argument", text);
  }
});

Deno.test("parseTmpfs: target and mount options", () => {
  assert.deepEqual(parseTmpfs("/t"), { type: "tmpfs", target: "/t" });
  assert.deepEqual(parseTmpfs("/t:size=64m,mode=1777,uid=1000,exec,ro,nr_inodes=10k," + "noatime"), {
    type: "tmpfs",
    target: "/t",
    sizeBytes: 67108864,
    mode: 0o1777,
    readOnly: true,
    options: ["uid=1000", "exec", "nr_inodes=10k", "noatime"],
  });
  for (const text of ["", "t", "/", "/t:bogus", "/t:size=x", "/t:uid=a", "/t:lowerdir=/x", "/t:mode=9"]) {
    assert.throws(() => parseTmpfs(text), NyxError, text);
  }
});
