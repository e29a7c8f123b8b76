import assert from "node:assert/strict";
import { checkName, imageHealthcheck, newRecord } from "./create.ts";
import type { ContainerConfig } from "../spec/container.ts";
import type { ImageExecConfig } from "../spec/image.ts";
import type { ImageHandle } from "./deps.ts";

const identity = { id: "a".repeat(64), name: "web", created: "2026-01-01T00:00:00.000000000Z" };

function image(exec: ImageExecConfig = {}): ImageHandle {
  return {
    imageId: "sha256:1",
    ref: "docker.io/library/x:latest",
    manifestDigest: "sha256:2",
    config: { os: "linux", architecture: "amd64", config: exec, rootfs: { type: "layers", diff_ids: [] } },
    layers: [],
    [Symbol.dispose]: () => {},
  };
}

const HOST = { baseDir: "/base", hostname: "box", architecture: "amd64" };

const record = (config: Partial<ContainerConfig>, exec: ImageExecConfig = {}) =>
  newRecord({ image: "x", ...config }, image(exec), identity, HOST);

Deno.test("newRecord: args replace CMD, an entrypoint of the user's drops the image's CMD", () => {
  const exec = { Entrypoint: ["/e"], Cmd: ["c"] };
  assert.deepEqual(record({}, exec).argv, ["/e", "c"]);
  assert.deepEqual(record({ args: ["d"] }, exec).argv, ["/e", "d"]);
  assert.deepEqual(record({ entrypoint: ["/f"] }, exec).argv, ["/f"]);
});

Deno.test("newRecord: image volumes become anonymous volumes unless the user mounts there", () => {
  const exec = { Volumes: { "/data": {}, "/log/": {} } };
  const spec = record({ mounts: [{ type: "tmpfs", target: "/log" }] }, exec).spec;
  assert.deepEqual(spec.mounts?.map((m) => [m.type, m.target]), [["tmpfs", "/log"], ["volume", "/data"]]);
});

Deno.test("newRecord: -P publishes exposed ports once, and none that -p publishes already", () => {
  const exec = { ExposedPorts: { "80/tcp": {}, "53/udp": {} } };
  const publish = [{ hostPort: 8080, containerPort: 80 }];
  const ports = record({ publishAll: true, publish, expose: ["53/udp", "90-91"] }, exec).spec.publish;
  assert.deepEqual(ports?.map((p) => `${p.hostPort}:${p.containerPort}/${p.protocol ?? "tcp"}`), [
    "8080:80/tcp",
    "0:53/udp",
    "0:90/tcp",
    "0:91/tcp",
  ]);
});

Deno.test("newRecord: combinations that cannot be honoured are refused with the reason", () => {
  const publish = [{ hostPort: 1, containerPort: 1 }];
  assert.throws(() => record({ networkMode: "none", publish }), /has no network/);
  assert.throws(() => record({ networkMode: "container:x", publish }), /owns the network/);
  const names = [{ dns: ["1.1.1.1"] }, { dnsSearch: ["a"] }, { dnsOptions: ["ndots:1"] }, {
    extraHosts: ["a:1.1.1.1"],
  }];
  for (const rest of names) {
    assert.throws(
      () => record({ networkMode: "container:x", ...rest }),
      /other container's hosts/,
      JSON.stringify(rest),
    );
  }
  assert.throws(() => record({ autoRemove: true, restart: { name: "always" } }), /choose one/);
  assert.throws(() => record({ mounts: [{ type: "tmpfs", target: "/" }] }), /absolute path other than/);
  assert.throws(
    () => record({ mounts: [{ type: "tmpfs", target: "/a" }, { type: "volume", target: "/a/" }] }),
    /two mounts/,
  );
  assert.match(record({ networkMode: "host", publish }).warnings.join(), /discarded/);
});

Deno.test("newRecord: an image of another architecture is warned of, unless the platform was asked for", () => {
  const arm: ImageHandle = { ...image(), config: { ...image().config, architecture: "arm64" } };
  assert.match(
    newRecord({ image: "x" }, arm, identity, HOST).warnings.join(),
    /linux\/arm64 and this host is linux\/amd64/,
  );
  assert.deepEqual(newRecord({ image: "x", platform: "linux/arm64" }, arm, identity, HOST).warnings, []);
  assert.deepEqual(record({}).warnings, []);
});

Deno.test("imageHealthcheck: nanoseconds become milliseconds, NONE is none, flags refine the image's check", () => {
  const exec: ImageExecConfig = { Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 5e9, Retries: 0 } };
  assert.deepEqual(imageHealthcheck(exec), { type: "exec", command: ["true"], shell: true, intervalMs: 5000 });
  assert.equal(imageHealthcheck({ Healthcheck: { Test: ["NONE"] } }), undefined);
  assert.equal(record({ healthcheck: { type: "none" } }, exec).spec.healthcheck, undefined);
  const refined = record({ healthcheck: { type: "exec", retries: 9 } }, exec).spec.healthcheck;
  assert.deepEqual([refined?.command, refined?.retries, refined?.intervalMs], [["true"], 9, 5000]);
  assert.throws(() => record({ healthcheck: { type: "exec", retries: 9 } }), /--health-cmd/);
});

Deno.test("checkName: an attacker's path, flag or id is no name", () => {
  for (const bad of ["../x", "a/b", "-v", "", ".", "a b", "a\n", "f".repeat(64), "x".repeat(129)]) {
    assert.throws(() => checkName(bad), /Invalid name/, JSON.stringify(bad));
  }
  for (const good of ["web", "a_b.c-1", "0"]) checkName(good);
});
