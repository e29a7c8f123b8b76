import assert from "node:assert/strict";
import { ALL_CAPABILITIES, capabilitySets, DEFAULT_CAPABILITIES, resolveCapabilities } from "./capabilities.ts";

const resolve = (add: string[], drop: string[], privileged = false, host = ALL_CAPABILITIES, warnings: string[] = []) =>
  resolveCapabilities({ add, drop, privileged }, host, warnings);

Deno.test("resolveCapabilities: the default set has Docker's fourteen", () => {
  assert.equal(DEFAULT_CAPABILITIES.length, 14);
  assert.deepEqual(new Set(resolve([], [])), new Set(DEFAULT_CAPABILITIES));
});

Deno.test("resolveCapabilities: names go with or without CAP_, in any case", () => {
  assert.ok(resolve(["net_admin"], []).includes("CAP_NET_ADMIN"));
  assert.ok(resolve(["CAP_NET_ADMIN"], []).includes("CAP_NET_ADMIN"));
  assert.ok(!resolve([], ["Cap_Chown"]).includes("CAP_CHOWN"));
});

Deno.test("resolveCapabilities: ALL on either side", () => {
  assert.deepEqual(resolve(["SYS_TIME"], ["ALL"]), ["CAP_SYS_TIME"]);
  assert.deepEqual(resolve([], ["all"]), []);
  assert.deepEqual(resolve(["ALL"], []), ALL_CAPABILITIES);
  assert.equal(resolve(["ALL"], ["SYS_ADMIN"]).length, ALL_CAPABILITIES.length - 1);
  assert.ok(resolve(["CHOWN"], ["CHOWN"]).includes("CAP_CHOWN"));
});

Deno.test("resolveCapabilities: privileged ignores drops", () => {
  assert.deepEqual(resolve([], ["ALL"], true), ALL_CAPABILITIES);
});

Deno.test("resolveCapabilities: what the host lacks is left out with a warning, or refused when named", () => {
  const host = ALL_CAPABILITIES.filter((c) => c !== "CAP_SYS_RESOURCE" && c !== "CAP_CHOWN");
  const warnings: string[] = [];
  assert.ok(!resolve([], [], true, host, warnings).includes("CAP_SYS_RESOURCE"));
  assert.match(warnings.join(), /without CAP_CHOWN, CAP_SYS_RESOURCE/);
  assert.throws(() => resolve(["SYS_RESOURCE"], [], false, host), /Could not add capability CAP_SYS_RESOURCE/);
});

Deno.test("resolveCapabilities: unknown names are refused", () => {
  assert.throws(() => resolve(["NOPE"], []), /Invalid capAdd "NOPE"/);
  assert.throws(() => resolve([], ["CAP_"]), /Invalid capDrop/);
});

Deno.test("capabilitySets: nothing inheritable or ambient; a plain user holds none", () => {
  const root = capabilitySets(["CAP_KILL"], 0);
  assert.deepEqual(root, {
    bounding: ["CAP_KILL"],
    effective: ["CAP_KILL"],
    permitted: ["CAP_KILL"],
    inheritable: [],
    ambient: [],
  });
  assert.deepEqual(capabilitySets(["CAP_KILL"], 5).effective, []);
});
