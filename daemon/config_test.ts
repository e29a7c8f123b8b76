import assert from "node:assert/strict";
import { helpText, parseArgs } from "./config.ts";

const none = () => undefined;
function run(args: string[], env: (n: string) => string | undefined = none) {
  const invocation = parseArgs(args, env);
  assert.ok("run" in invocation);
  return invocation.run;
}

Deno.test("parseArgs: defaults are those that nyxd's users know", () => {
  const c = run([]);
  assert.equal(c.baseDir, "/var/lib/nyxd");
  assert.equal(c.socket, "/run/nyxd/nyxd.sock");
  assert.deepEqual([c.bridge, c.addresses], ["nyxbr0", undefined]);
});

Deno.test("parseArgs: a gateway follows its subnet, and the environment's subnet counts", () => {
  assert.equal(run(["--subnet", "192.168.5.128/25"]).addresses?.gateway, "192.168.5.129");
  const env = (n: string) => (n === "NYXD_CONTAINER_SUBNET" ? "172.30.0.0/16" : undefined);
  assert.equal(run([], env).addresses?.gateway, "172.30.0.1");
  assert.equal(run(["--subnet=10.1.2.3/24"]).addresses?.gateway, "10.1.2.1");
});

Deno.test("parseArgs: bad values are refused with the flag, the value and what is accepted", () => {
  for (
    const [args, message] of [
      [["--base-dir", "relative"], /--base-dir.*absolute path/],
      [["--base-dir", "/dev/shm/nyx"], /--base-dir.*tmpfs/],
      [["--subnet", "10.0.0.0/31"], /--subnet/],
      [["--subnet", "300.0.0.0/16"], /--subnet/],
      [["--gateway", "10.0.0.1"], /--gateway.*--subnet/],
      [["--log-level", "loud"], /--log-level.*debug, info/],
      [["--bridge", "a-name-that-is-too-long"], /--bridge/],
      [["--nonsense"], /Unknown argument "--nonsense"/],
      [["--socket"], /needs a value/],
      [["--netns-pool", "1e9"], /--netns-pool/],
      [["--log-budget", "much"], /--log-budget/],
      [["--log-budget", "0"], /--log-budget.*off/],
    ] as [string[], RegExp][]
  ) assert.throws(() => parseArgs(args, none), { message }, args.join(" "));
});

Deno.test("parseArgs: --log-budget is a size or off; without it a share of the file system", () => {
  assert.deepEqual(
    [run([]).logBudgetBytes, run(["--log-budget=2g"]).logBudgetBytes, run(["--log-budget", "off"]).logBudgetBytes],
    ["default", 2 * 1024 ** 3, Infinity],
  );
});

Deno.test("helpText: names every flag once", () => {
  const names = [...helpText().matchAll(/^ {2}--([a-z-]+)/gm)].map((m) => m[1]);
  assert.equal(new Set(names).size, names.length);
  assert.ok(names.includes("stop-containers-on-exit"));
});

Deno.test("parseArgs: --dns is auto, embedded, off, or cni with CNI networks; --resolv-conf must be absolute", () => {
  assert.deepEqual([run([]).dns, run([]).resolvConf], ["auto", "/etc/resolv.conf"]);
  assert.equal(run(["--dns", "embedded"]).dns, "embedded");
  assert.equal(run(["--dns=off", "--resolv-conf=/run/r.conf"]).resolvConf, "/run/r.conf");
  assert.throws(() => run(["--dns", "cni"]), /--dns.*--net-driver cni/);
  assert.equal(run(["--net-driver=cni", "--dns", "cni"]).dns, "cni");
  assert.throws(() => run(["--dns", "none"]), /use one of auto, embedded, cni, off/);
  assert.throws(() => run(["--resolv-conf", "r.conf"]), /absolute/);
});

Deno.test("parseArgs: --net-driver cni takes directories, which native refuses, and which no list of permissions would split", () => {
  const c = run(["--net-driver", "cni"]);
  assert.deepEqual([c.netDriver, c.cniConfDir, c.cniBinDir], ["cni", "/etc/cni/net.d", "/usr/lib/cni"]);
  assert.equal(run(["--net-driver=cni", "--cni-bin-dir=/opt/cni/bin/"]).cniBinDir, "/opt/cni/bin");
  assert.throws(() => run(["--cni-bin-dir=/opt/cni/bin"]), /--cni-bin-dir.*--net-driver cni/);
  assert.throws(() => run(["--net-driver=cni", "--cni-conf-dir=/etc/a,b"]), /--cni-conf-dir.*comma/);
  assert.throws(() => run(["--net-driver=cni", "--cni-bin-dir=/opt/a:/bin"]), /--cni-bin-dir.*colon/);
  assert.throws(() => run(["--net-driver=cni", "--cni-bin-dir=bin"]), /absolute/);
});
