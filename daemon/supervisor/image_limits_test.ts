import assert from "node:assert/strict";
import type { ContainerConfig } from "../spec/container.ts";
import type { ImageExecConfig } from "../spec/image.ts";
import { imageHealthcheck, newRecord } from "./create.ts";

function record(config: Partial<ContainerConfig>, exec: ImageExecConfig = {}) {
  const image = {
    imageId: "sha256:1",
    ref: "docker.io/library/x:latest",
    manifestDigest: "sha256:2",
    config: {
      os: "linux",
      architecture: "amd64",
      config: exec,
      rootfs: { type: "layers" as const, diff_ids: [] },
    },
    layers: [],
    [Symbol.dispose]: () => {},
  };
  const identity = { id: "a".repeat(64), name: "web", created: "2026-01-01T00:00:00.000000000Z" };
  return newRecord({ image: "x", ...config }, image, identity, { baseDir: "/base", hostname: "box" });
}

const many = (count: number, name: (n: number) => string) =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [name(n), {}]));

Deno.test("newRecord: an annotation tries to order crun about (another handler, a file to write, the host's groups): refused", () => {
  for (const key of ["run.oci.handler", "run.oci.hooks.stdout", "run.oci.keep_original_groups", "run.oci.x"]) {
    assert.throws(() => record({ annotations: { "io.example": "1", [key]: "1" } }), /annotations.*runtime/);
  }
  assert.throws(() => record({ annotations: { "org.systemd.property.X": "1" } }), /annotations/);
  assert.deepEqual(record({ annotations: { "io.example": "1" } }).spec.annotations, { "io.example": "1" });
});

Deno.test("newRecord: an image's labels try to order crun about: they do not become annotations", () => {
  const { spec } = record({}, { Labels: { "run.oci.handler": "krun" } });
  assert.equal(spec.annotations, undefined);
});

Deno.test("newRecord: an image declares a volume over /proc to hide the kernel's files: refused, unless the user mounts there", () => {
  for (const target of ["/proc", "/proc/", "//proc/self", "/./proc/sys"]) {
    assert.throws(() => record({}, { Volumes: { [target]: {} } }), /volume at .*proc/);
  }
  const mounts = [{ type: "tmpfs" as const, target: "/proc/cpuinfo" }];
  assert.equal(record({ mounts }, { Volumes: { "/proc/cpuinfo": {} } }).spec.mounts?.length, 1);
  assert.equal(record({}, { Volumes: { "/process": {} } }).spec.mounts?.length, 1);
});

Deno.test("newRecord: an image declares a volume over /dev, to fill it with links that crun follows to the host: refused", () => {
  for (const target of ["/dev", "/dev/", "/./dev/pts", "/dev/console"]) {
    assert.throws(() => record({}, { Volumes: { [target]: {} } }), /volume at .*dev/);
  }
  assert.equal(record({}, { Volumes: { "/dev/shm": {}, "/development": {} } }).spec.mounts?.length, 2);
});

Deno.test("newRecord: an image declares 100,000 volumes, or 65,535 ports for -P, to exhaust the host: refused", () => {
  assert.throws(() => record({}, { Volumes: many(100_000, (n) => `/v${n}`) }), /100000 volumes/);
  assert.throws(() => record({ publishAll: true }, { ExposedPorts: { "1-65535/tcp": {} } }), /more than 4096/);
  assert.throws(() => record({ publishAll: true }, { ExposedPorts: many(5000, (n) => `${n + 1}/tcp`) }), /4096/);
  assert.equal(record({}, { ExposedPorts: { "1-65535/tcp": {} } }).spec.publish?.length, 0);
});

Deno.test("imageHealthcheck: an image asks for a probe each nanosecond to keep the host busy: it is one each second", () => {
  const check = imageHealthcheck({ Healthcheck: { Test: ["CMD", "x"], Interval: 1e6, StartInterval: 1e6 } });
  assert.deepEqual([check?.intervalMs, check?.startIntervalMs], [1000, 1000]);
});
