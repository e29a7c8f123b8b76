import { strict as assert } from "node:assert";
import { EndpointFinder } from "./endpoint.ts";
import { loginDomain } from "./registry_client.ts";
import { displayUrl, isLoopbackHost } from "./transport.ts";

Deno.test("EndpointFinder: docker.io has another host, loopback speaks http, everything else https", async () => {
  const finder = new EndpointFinder(1000);
  const { signal } = new AbortController();
  const origin = async (domain: string) => (await finder.find(domain, false, signal)).origin.origin;
  assert.equal(await origin("docker.io"), "https://registry-1.docker.io");
  assert.equal(await origin("ghcr.io"), "https://ghcr.io");
  assert.equal(await origin("registry:5000"), "https://registry:5000");
  assert.equal(await origin("10.0.0.1:5000"), "https://10.0.0.1:5000");
  for (const host of ["localhost:5000", "127.0.0.1:5000", "127.9.9.9:5000", "[::1]:5000", "x.localhost:5000"]) {
    assert.equal(await origin(host), `http://${host}`);
  }
});

Deno.test("isLoopbackHost: names and addresses that only look like loopback are not", () => {
  for (
    const host of [
      "localhost.example.org",
      "127.0.0.1.example.org",
      "notlocalhost",
      "128.0.0.1",
      "[::2]:5000",
      "0.0.0.0",
    ]
  ) {
    assert.ok(!isLoopbackHost(host), host);
  }
  assert.ok(isLoopbackHost("LOCALHOST:1"));
});

Deno.test("displayUrl: shows neither signature nor user", () => {
  assert.equal(displayUrl(new URL("https://u:p@cdn.io/blob?X-Signature=abc#f")), "https://cdn.io/blob");
});

Deno.test("loginDomain: what people type as a registry", () => {
  const cases: Record<string, string> = {
    "docker.io": "docker.io",
    "https://index.docker.io/v1/": "docker.io",
    "ghcr.io": "ghcr.io",
    "http://localhost:5000/": "localhost:5000",
    "[::1]:5000": "[::1]:5000",
  };
  for (const [text, domain] of Object.entries(cases)) assert.equal(loginDomain(text), domain);
  for (const bad of ["", "a b", "x@y.z", "-x.y", "registry"]) {
    assert.throws(() => loginDomain(bad), /Invalid registry/, bad);
  }
});
