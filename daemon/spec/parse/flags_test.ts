import assert from "node:assert/strict";
import { NyxError } from "../errors.ts";
import { parseCapability } from "./capability.ts";
import { parseHealthFlags } from "./healthcheck.ts";
import { parseName, parseNamespaceMode, parsePlatform, parseUser, parseWorkdir } from "./modes.ts";
import { parseExtraHost, parseHostname, parseMac, parseNetwork, parseSearchDomain } from "./network.ts";

/** Every text is refused as invalid_argument, and the message names the text. */
function refuses(parse: (text: string) => unknown, ...texts: string[]): void {
  for (const text of texts) {
    assert.throws(
      () => parse(text),
      (e) => e instanceof NyxError && e.code === "invalid_argument",
      `accepted ${JSON.stringify(text)}`,
    );
  }
}

Deno.test("parseHealthFlags: a shell command with its times; contradictions are refused", () => {
  assert.equal(parseHealthFlags({}), undefined);
  assert.deepEqual(parseHealthFlags({ disabled: true }), { type: "none" });
  assert.deepEqual(parseHealthFlags({ cmd: "curl -f x", interval: "1m30s", retries: "5", startPeriod: "10" }), {
    type: "exec",
    command: ["curl -f x"],
    shell: true,
    intervalMs: 90000,
    retries: 5,
    startPeriodMs: 10000,
  });
  assert.throws(() => parseHealthFlags({ disabled: true, cmd: "x" }), /conflicts/);
  refuses((text) => parseHealthFlags({ interval: text }), "x", "-1s", "10us");
  refuses((text) => parseHealthFlags({ cmd: "x", retries: text }), "-1", "1.5");
});

Deno.test("parseCapability: any case, prefix optional, unknown ones refused", () => {
  assert.deepEqual(["net_admin", "CAP_SYS_PTRACE", "all"].map((text) => parseCapability(text)), [
    "CAP_NET_ADMIN",
    "CAP_SYS_PTRACE",
    "ALL",
  ]);
  refuses((text) => parseCapability(text), "", "NET", "CAP_ALL_THINGS");
});

Deno.test("parseNetwork: modes, names, long form", () => {
  assert.deepEqual(parseNetwork("default"), { kind: "mode", mode: "bridge" });
  assert.deepEqual(parseNetwork("container:web"), { kind: "mode", mode: "container:web" });
  assert.deepEqual(parseNetwork("name=n1,alias=a,alias=b,ip=10.0.0.2,gw-priority=-1"), {
    kind: "attachment",
    attachment: { network: "n1", aliases: ["a", "b"], ip: "10.0.0.2", gatewayPriority: -1 },
  });
  refuses(
    (text) => parseNetwork(text),
    "",
    "container:",
    "container:../x",
    "a b",
    "name=n,ip=x",
    "n1,x",
    "name=n,bogus=1",
    "../etc",
  );
});

Deno.test("parseExtraHost, parseMac, parseHostname, parseSearchDomain", () => {
  assert.deepEqual(
    ["db:10.0.0.5", "db=10.0.0.5", "v6:[::1]", "v6:::1", "h:host-gateway"].map((text) => parseExtraHost(text)),
    [
      "db:10.0.0.5",
      "db:10.0.0.5",
      "v6:::1",
      "v6:::1",
      "h:host-gateway",
    ],
  );
  refuses((text) => parseExtraHost(text), "db", "db:", ":1.2.3.4", "db:1.2.3", "a b:1.2.3.4", "x\ny:1.2.3.4");
  refuses((text) => parseMac(text), "02:42:ac:11:00", "zz:42:ac:11:00:02", "01:00:5e:00:00:01");
  refuses((text) => parseHostname(text), "", "-a", "a-", "a..b", "a b", "a\nb", "x".repeat(65));
  assert.equal(parseHostname("web_1.example.org"), "web_1.example.org");
  assert.equal(parseSearchDomain("."), ".");
  refuses((text) => parseSearchDomain(text), "", "a b", "a\nnameserver 1.2.3.4");
});

Deno.test("modes, platforms, users, work directories and names", () => {
  assert.equal(parseNamespaceMode("container:x", "pid"), "container:x");
  assert.equal(parseNamespaceMode("", "pid"), undefined);
  refuses((text) => parseNamespaceMode(text, "pid"), "shareable", "container:", "container:../x", "HOST");
  refuses((text) => parseNamespaceMode(text, "uts"), "container:x");
  assert.equal(parsePlatform("Linux/ARM64/v8"), "linux/arm64/v8");
  refuses((text) => parsePlatform(text), "", "windows/amd64", "a/b/c/d", "linux/");
  assert.equal(parseUser("1000:staff"), "1000:staff");
  refuses((text) => parseUser(text), "", ":", "a:", ":b", "a b", "a:b:c");
  assert.equal(parseWorkdir("/a/../b/"), "/b");
  refuses((text) => parseWorkdir(text), "a", "", "/a\0");
  assert.equal(parseName("/web"), "web");
  refuses((text) => parseName(text), "", "-x", "a/b", "../x", "x".repeat(129), "a b");
});
