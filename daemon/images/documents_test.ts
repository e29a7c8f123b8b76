import { strict as assert } from "node:assert";
import { NyxError } from "../spec/errors.ts";
import { pairLayers, parseConfig, parseIndex, parseManifest } from "./documents.ts";

const bytes = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const digest = (c: string) => `sha256:${c.repeat(64)}`;
const descriptor = (c: string, mediaType = "application/vnd.oci.image.layer.v1.tar+gzip") => ({
  mediaType,
  digest: digest(c),
  size: 10,
});
const manifest = { schemaVersion: 2, config: descriptor("c", "x"), layers: [descriptor("a")] };
const config = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [digest("d")] } };

function refuses(code: string, work: () => unknown): void {
  assert.throws(work, (e) => e instanceof NyxError && e.code === code);
}

Deno.test("parseManifest refuses what is ambiguous, malformed, or no container image", () => {
  assert.equal(parseManifest(bytes(manifest)).layers.length, 1);
  const bad: unknown[] = [
    "",
    "null",
    "[]",
    "{",
    { ...manifest, manifests: [] },
    { ...manifest, layers: undefined },
    { ...manifest, schemaVersion: 1 },
    { ...manifest, config: undefined },
    { ...manifest, layers: [{ ...descriptor("a"), size: -1 }] },
    { ...manifest, layers: [{ ...descriptor("a"), size: 1.5 }] },
    { ...manifest, layers: [{ ...descriptor("a"), digest: "sha256:../../x" }] },
    { ...manifest, layers: Array(501).fill(descriptor("a")) },
    { schemaVersion: 2, manifests: [] },
  ];
  for (const b of bad) refuses("data_loss", () => parseManifest(bytes(b)));
  refuses("data_loss", () => parseManifest(new Uint8Array(4 * 1024 * 1024 + 1).fill(32)));
  refuses("data_loss", () => parseManifest(new Uint8Array([0x7b, 0xff, 0x7d])));
  refuses("unimplemented", () => parseManifest(bytes({ ...manifest, layers: [descriptor("a", "application/helm")] })));
  refuses("data_loss", () => parseIndex(bytes({ ...manifest, manifests: [] })));
});

Deno.test("parseConfig takes Docker's nulls and single strings, keeps known fields only, refuses wrong types", () => {
  const parsed = parseConfig(bytes({
    ...config,
    config: { Entrypoint: "/init", Cmd: null, Env: ["A=1"], Volumes: null, Unknown: 1, ExposedPorts: { "80/tcp": {} } },
    history: null,
  }));
  assert.deepEqual(parsed.config, { Entrypoint: ["/init"], Env: ["A=1"], ExposedPorts: { "80/tcp": {} } });
  for (
    const bad of [{ Env: 5 }, { Env: [1] }, { User: {} }, { Labels: { a: 1 } }, { Healthcheck: { Interval: "1s" } }]
  ) {
    refuses("data_loss", () => parseConfig(bytes({ ...config, config: bad })));
  }
  refuses("data_loss", () => parseConfig(bytes({ ...config, rootfs: { diff_ids: ["sha256:x"] } })));
  refuses("data_loss", () => parseConfig(bytes({ ...config, os: undefined })));
});

Deno.test("pairLayers refuses a config with another number of layers than its manifest", () => {
  const parsed = parseConfig(bytes(config));
  assert.equal(pairLayers(parseManifest(bytes(manifest)), parsed)[0]?.diffId, digest("d"));
  refuses("data_loss", () => pairLayers(parseManifest(bytes({ ...manifest, layers: [] })), parsed));
});
