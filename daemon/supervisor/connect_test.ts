import assert from "node:assert/strict";
import { changedHosts } from "./connect.ts";
import { resolveNetworks } from "./create.ts";

Deno.test("changedHosts: lines of addresses that went are gone, new ones come last, the container's own stay", () => {
  const text = "127.0.0.1\tlocalhost\n10.89.0.2\tweb www\n192.0.2.1 mine # kept\n";
  assert.equal(
    changedHosts(text, ["10.89.0.2"], ["10.89.1.2", "fd00::2"], ["web", "api"]),
    "127.0.0.1\tlocalhost\n192.0.2.1 mine # kept\n10.89.1.2\tweb api\nfd00::2\tweb api\n",
  );
  assert.equal(changedHosts(text, ["10.89.0.2"], ["10.89.0.2"], ["web"]), text);
});

Deno.test("resolveNetworks: names for ids, the first of listed networks is the mode, contradictions are refused", () => {
  const source = { resolve: (ref: string) => ({ bridge: "nyx", default: "nyx", f00: "shop" })[ref] ?? ref };
  const of = (config: Omit<Parameters<typeof resolveNetworks>[0], "image">) =>
    resolveNetworks({ image: "i", ...config }, source);
  assert.deepEqual(of({}), { config: { image: "i" }, names: ["nyx"] });
  assert.deepEqual(of({ networkMode: "f00" }), { config: { image: "i", networkMode: "shop" }, names: ["shop"] });
  assert.deepEqual(of({ networks: [{ network: "f00" }, { network: "b" }] }), {
    config: { image: "i", networkMode: "shop", networks: [{ network: "shop" }, { network: "b" }] },
    names: ["shop", "b"],
  });
  assert.deepEqual(of({ networkMode: "bridge", networks: [{ network: "b" }] }).names, ["nyx", "b"]);
  assert.deepEqual(of({ networkMode: "host" }).names, []);
  assert.throws(() => of({ networkMode: "host", networks: [{ network: "b" }] }), /choose one of them/);
  assert.throws(() => of({ networks: [{ network: "f00" }, { network: "shop" }] }), /attached to it twice/);
});
