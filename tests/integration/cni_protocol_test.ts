/**
 * What plugins are told, and what is made of what they say: with plugins that write down how they were run, and with hostile ones.
 * Real plugins are in cni_test.ts.
 */

import assert from "node:assert/strict";
import type { NetworkAttachment, PortMapping } from "../../daemon/spec/container.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { CniHost } from "../support/cni_host.ts";
import { type NetworkWorker, randomId } from "../support/net_hosts.ts";

interface Heard {
  command: string;
  env: Record<string, string>;
  input: Record<string, unknown>;
}

const VERSIONS = '{"cniVersion":"1.1.0","supportedVersions":["0.3.1","0.4.0","1.0.0","1.1.0"]}';
const RESULT = `{"cniVersion":"1.0.0","interfaces":[{"name":"'$CNI_IFNAME'","sandbox":"'$CNI_NETNS'"}],` +
  `"ips":[{"address":"10.5.0.2/24","interface":0}]}`;

/** A plugin that writes down each run, and answers `result` to ADD; `extra` are more cases of the command. */
function recorder(host: CniHost, name: string, options: { result?: string; extra?: string } = {}): () => Heard[] {
  const log = `${host.hosts.baseDir}/${name}.log`;
  const { result = RESULT, extra = "" } = options;
  host.plugin(
    name,
    `if [ "$CNI_COMMAND" != VERSION ]; then { env | tr '\\n' '\\001'; printf '\\002'; cat; printf '\\n'; } >> ${log}; fi
case $CNI_COMMAND in
${extra}
VERSION) echo '${VERSIONS}';;
ADD) printf '%s\\n' '${result}';;
esac`,
  );
  return () => {
    let text: string;
    try {
      text = Deno.readTextFileSync(log);
    } catch {
      return [];
    }
    // What stands behind the last newline is still being written.
    return text.split("\n").slice(0, -1).map((line) => {
      const [env = "", input = ""] = line.split("\u0002");
      const pairs = env.split("\u0001").filter((p) => p !== "").map((p) => p.split(/=(.*)/s).slice(0, 2));
      const all = Object.fromEntries(pairs) as Record<string, string>;
      return { command: all.CNI_COMMAND ?? "", env: all, input: JSON.parse(input) };
    });
  };
}

function list(host: CniHost, name: string, plugins: unknown[], fields: Record<string, unknown> = {}): void {
  host.conf(`${name}.conflist`, { cniVersion: "1.0.0", name, plugins, ...fields });
}

function setup(worker: NetworkWorker, id: string, attachment: NetworkAttachment, ports: PortMapping[] = []) {
  return worker.call("setup", { id, name: "web", mode: "bridge", attachments: [attachment], ports, sysctls: {} });
}

async function failure(promise: Promise<unknown>): Promise<NyxError> {
  try {
    await promise;
  } catch (e) {
    assert.ok(e instanceof NyxError);
    return e;
  }
  assert.fail("it did not fail");
}

Deno.test("a chain: prevResult goes from plugin to plugin, each gets the capabilities it declares, DEL is in reverse order", async () => {
  await using host = new CniHost();
  const order = `${host.hosts.baseDir}/order`;
  const logs = ["one", "two", "three"].map((name) => {
    const extra =
      `ADD|DEL|CHECK) echo "${name} $CNI_COMMAND" >> ${order}; [ $CNI_COMMAND != ADD ] || echo '${RESULT}';;`;
    return recorder(host, name, { extra });
  });
  list(host, "chain", [
    { type: "one", capabilities: { ips: true, mac: true }, own: { deep: [1] } },
    { type: "two", capabilities: { portMappings: true, aliases: true, ips: false } },
    { type: "three" },
  ]);
  const { worker } = await host.start();
  const id = randomId();
  const attachment = { network: "chain", ip: "10.5.0.2", mac: "02:00:00:00:00:05", aliases: ["db"] };
  const { netnsPath } = await setup(worker, id, attachment, [{ hostPort: 8080, containerPort: 80 }]);
  await worker.call("facts", { id, protocol: "tcp" });
  await worker.call("teardown", { id });
  assert.deepEqual(Deno.readTextFileSync(order).trim().split("\n"), [
    ...["one ADD", "two ADD", "three ADD", "one CHECK", "two CHECK", "three CHECK"],
    ...["three DEL", "two DEL", "one DEL"],
  ]);
  const [one = [], two = [], three = []] = logs.map((read) => read());
  const ports = [{ hostPort: 8080, containerPort: 80, protocol: "tcp", hostIP: "0.0.0.0" }];
  for (const { input } of one) {
    assert.deepEqual(input.runtimeConfig, { ips: ["10.5.0.2"], mac: "02:00:00:00:00:05" });
    assert.deepEqual([input.name, input.cniVersion, input.own], ["chain", "1.0.0", { deep: [1] }]);
  }
  for (const { input } of two) assert.deepEqual(input.runtimeConfig, { portMappings: ports, aliases: ["db"] });
  for (const { input } of three) assert.equal(input.runtimeConfig, undefined);
  const result = {
    cniVersion: "1.0.0",
    interfaces: [{ name: "eth0", sandbox: netnsPath }],
    ips: [{ address: "10.5.0.2/24", interface: 0 }],
  };
  assert.deepEqual(one.map((h) => h.input.prevResult), [undefined, result, result]);
  assert.deepEqual(two.map((h) => h.input.prevResult), [result, result, result]);
  const { env } = one[0] ?? { env: {} };
  assert.deepEqual(
    Object.fromEntries(Object.entries(env).filter(([k]) => k.startsWith("CNI_"))),
    {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: id,
      CNI_NETNS: netnsPath,
      CNI_IFNAME: "eth0",
      CNI_PATH: host.binDir,
      CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=nyx;K8S_POD_NAME=web",
    },
  );
  const others = Object.keys(env).filter((k) => !/^(CNI_\w+|PATH|PWD|OLDPWD|SHLVL|_)$/.test(k));
  assert.deepEqual(others, [], "nothing of nyxd's own environment reaches a plugin");
});

Deno.test("versions: no CHECK and no prevResult at DEL before 0.4.0; a list of a version that a plugin lacks is refused", async () => {
  await using host = new CniHost();
  const heard = recorder(host, "old");
  list(host, "old", [{ type: "old" }], { cniVersion: "0.3.1" });
  list(host, "quiet", [{ type: "old" }], { disableCheck: true });
  list(host, "new", [{ type: "bridge" }], { cniVersion: "1.1.0" });
  const { worker } = await host.start();
  for (const network of ["old", "quiet"]) {
    const id = randomId();
    await setup(worker, id, { network });
    await worker.call("facts", { id, protocol: "tcp" });
    await worker.call("teardown", { id });
  }
  assert.deepEqual(heard().map((h) => h.command), ["ADD", "DEL", "ADD", "DEL"]);
  assert.deepEqual(heard().map((h) => h.input.prevResult !== undefined), [false, false, false, true]);
  const { message } = await failure(setup(worker, randomId(), { network: "new" }));
  assert.match(message, /plugin bridge speaks CNI 0\.1\.0.*1\.0\.0.*is of 1\.1\.0/);
});

Deno.test("1.1.0: GC at the start names who is attached; STATUS of a plugin that is not ready is told by diagnose", async () => {
  await using host = new CniHost();
  const extra =
    `STATUS) echo '{"cniVersion":"1.1.0","code":50,"msg":"no plugin daemon","details":"start it"}'; exit 1;;`;
  const heard = recorder(host, "modern", { extra });
  list(host, "modern", [{ type: "modern" }], { cniVersion: "1.1.0" });
  const first = await host.start();
  const id = randomId();
  await setup(first.worker, id, { network: "modern" });
  await first.worker.kill();
  const { worker } = await host.start({ live: [id] });
  const collected = () => heard().filter((h) => h.command === "GC").at(-1)?.input;
  for (let i = 0; i < 200 && heard().filter((h) => h.command === "GC").length < 2; i++) {
    await new Promise((r) => setTimeout(r, 25));
  }
  const valid = [{ containerID: id, ifname: "eth0" }];
  assert.deepEqual(collected()?.["cni.dev/valid-attachments"], valid);
  const { findings } = await worker.call("diagnose", {});
  assert.match(
    findings.join("\n"),
    /CNI plugin modern for network "modern" at STATUS failed \(code 50\): no plugin daemon; start it/,
  );
  await worker.call("teardown", { id });
});

Deno.test("errors of a plugin are passed on in full: code, message, details, what it wrote beside, and the undo", async () => {
  await using host = new CniHost();
  const first = recorder(host, "first");
  const told = `{"cniVersion":"1.0.0","code":103,"msg":"no such master","details":"eth9 is missing"}`;
  recorder(host, "fails", { extra: `ADD) echo '${told}'; echo "warned before" >&2; exit 1;;` });
  recorder(host, "later", { extra: `ADD) echo '{"code":11,"msg":"busy"}'; exit 1;;` });
  recorder(host, "mute", { extra: `ADD) echo "panic: oh" >&2; exit 2;;` });
  for (const name of ["fails", "later", "mute"]) list(host, name, [{ type: "first" }, { type: name }]);
  const { worker } = await host.start();
  const fails = await failure(setup(worker, randomId(), { network: "fails" }));
  assert.match(
    fails.message,
    /CNI plugin fails for network "fails" at ADD failed \(code 103\): no such master; eth9 is missing; it also wrote: warned before/,
  );
  assert.deepEqual(
    [fails.code, fails.details.context],
    ["failed_precondition", { plugin: "fails", command: "ADD", cniCode: 103 }],
  );
  const later = await failure(setup(worker, randomId(), { network: "later" }));
  assert.deepEqual([later.code, later.details.retryable], ["unavailable", true]);
  assert.match((await failure(setup(worker, randomId(), { network: "mute" }))).message, /exit code 2.*panic: oh/);
  assert.deepEqual(first().map((h) => h.command), ["ADD", "DEL", "ADD", "DEL", "ADD", "DEL"]);
  assert.deepEqual(host.cached(), []);
});

Deno.test("hostile plugins: endless output, no end, a child that keeps the pipe, and junk for a result; each is ended and undone", async () => {
  await using host = new CniHost();
  const result = (fields: string) => `{"cniVersion":"1.0.0",${fields}}`;
  const bad: Record<string, [options: { result?: string; extra?: string }, message: RegExp]> = {
    giant: [{ extra: `ADD) exec cat /dev/zero;;` }, /wrote more than 1048576 bytes and was ended/],
    endless: [{ extra: `ADD) sleep 611.7 & exec sleep 611.7;;` }, /took longer than 1500 ms and was ended/],
    nojson: [{ result: "all is well" }, /not valid JSON.*all is well/],
    empty: [{ result: "" }, /Could not use the result/],
    badip: [{ result: result(`"ips":[{"address":"10.5.0.999/24"}]`) }, /"10\.5\.0\.999\/24" is no address/],
    noip: [{ result: result(`"interfaces":[]`) }, /no address/],
    resolv: [
      { result: result(`"ips":[{"address":"10.5.0.2/24"}],"dns":{"nameservers":["1.1.1.1\\nnameserver 6.6.6.6"]}`) },
      /dns\.nameservers/,
    ],
  };
  const logs = Object.entries(bad).map(([name, [options]]) => {
    list(host, name, [{ type: name }]);
    return recorder(host, name, options);
  });
  list(host, "deaf", [{ type: "deaf", padding: "x".repeat(200_000) }]);
  // In the background a shell gives no standard input of its own.
  host.plugin(
    "deaf",
    `case $CNI_COMMAND in
VERSION) echo '${VERSIONS}';;
ADD) echo '{"code":7,"msg":"read nothing"}'; exec 3<&0; sleep 8 <&3 >/dev/null 2>&1 3<&- & exit 1;;
esac`,
  );
  const keeper = recorder(host, "keeper", { extra: `ADD) echo '${RESULT}'; sleep 3 & exit 0;;` });
  list(host, "keeper", [{ type: "keeper" }]);
  const { worker } = await host.start({ timeoutMs: 1500 });
  for (const [name, [, message]] of Object.entries(bad)) {
    assert.match((await failure(setup(worker, randomId(), { network: name }))).message, message, name);
  }
  const processes = new TextDecoder().decode((await new Deno.Command("ps", { args: ["-eo", "args"] }).output()).stdout);
  assert.doesNotMatch(processes, /sleep 611\.7/, "what a plugin started is ended with it");
  for (const read of logs) assert.deepEqual(read().map((h) => h.command), ["ADD", "DEL"]);
  const asked = performance.now();
  assert.match((await failure(setup(worker, randomId(), { network: "deaf" }))).message, /read nothing/);
  assert.ok(performance.now() - asked < 5000, "a child that holds its input, and reads nothing, holds nobody up");
  const id = randomId();
  assert.equal((await setup(worker, id, { network: "keeper" })).endpoints[0]?.ip, "10.5.0.2");
  await worker.call("teardown", { id });
  assert.equal(keeper().length, 2);
  assert.deepEqual(host.cached(), []);
});

Deno.test("hostile files: paths for plugins and names, junk, a pipe, a giant; none runs anything, none hides the others", async () => {
  await using host = new CniHost();
  const marker = `${host.hosts.baseDir}/marker`;
  const sh = {
    cniVersion: "1.0.0",
    name: "shell",
    plugins: [{ type: "../../../../../../bin/sh", a: `touch ${marker}` }],
  };
  host.conf("1.conflist", sh);
  host.conf("2.conflist", { ...sh, plugins: [{ type: "bridge", ipam: { type: "../../bin/sh" } }] });
  host.conf("3.conflist", { cniVersion: "1.0.0", name: "../../evil", plugins: [{ type: "bridge" }] });
  host.conf("4.conflist", "{ not json");
  host.conf("5.conflist", `"${"x".repeat(1024 * 1024)}"`);
  new Deno.Command("mkfifo", { args: [`${host.confDir}/6.conflist`] }).outputSync();
  Deno.mkdirSync(`${host.confDir}/7.conflist`);
  Deno.symlinkSync("8.conflist", `${host.confDir}/8.conflist`);
  host.conf("9.conf", { cniVersion: "1.0.0", name: "good", type: "loopback" });
  host.conf("a.conf", { cniVersion: "1.0.0", name: "good", type: "bridge" });
  host.conf("b.conf", { cniVersion: "1.0.0", name: "nyx", type: "bridge" });
  const { worker, init } = await host.start();
  assert.deepEqual(init.discovered?.map((d) => [d.name, d.driver]), [["good", "loopback"]]);
  const { findings } = await worker.call("diagnose", {});
  const said = findings.filter((w) => w.includes(host.confDir));
  for (const file of ["1", "2", "3", "4", "5", "6", "8"]) {
    assert.equal(said.filter((w) => w.includes(`/${file}.conflist:`)).length, 1, said.join("\n"));
  }
  assert.match(said.join("\n"), /network good is defined by .*9\.conf already/);
  assert.match(said.join("\n"), /nyx has a network nyx of its own/);
  for (const network of ["shell", "../../evil"]) {
    assert.match((await failure(setup(worker, randomId(), { network }))).message, /Could not find network/);
  }
  assert.throws(() => Deno.statSync(marker));
});

Deno.test("hostile caches: a damaged file, and one that names a path for a plugin, are set aside and run nothing", async () => {
  await using host = new CniHost();
  recorder(host, "fine");
  list(host, "fine", [{ type: "fine" }]);
  const first = await host.start();
  const id = randomId();
  await setup(first.worker, id, { network: "fine" });
  await first.worker.kill();
  const dir = `${host.hosts.baseDir}/network/cni/results`;
  const [name = ""] = host.cached();
  const file = JSON.parse(Deno.readTextFileSync(`${dir}/${name}`));
  assert.deepEqual([file.kind, file.ifName, file.networkName], ["cniCacheV1", "eth0", "fine"]);
  const evil = btoa(JSON.stringify({ cniVersion: "1.0.0", name: "fine", plugins: [{ type: "../../../../bin/sh" }] }));
  Deno.writeTextFileSync(`${dir}/${name}`, JSON.stringify({ ...file, config: evil }));
  Deno.writeTextFileSync(`${dir}/other`, "{");
  const { init } = await host.start();
  assert.equal(init.warnings.filter((w) => w.includes("was moved to")).length, 2, init.warnings.join("\n"));
  assert.ok(host.cached().every((n) => n.includes(".damaged-")), host.cached().join());
});

Deno.test("DEL that fails: the container ends all the same, diagnose tells it, the next start does it, with the cached configuration", async () => {
  await using host = new CniHost();
  const broken = `${host.hosts.baseDir}/broken`;
  const extra = `DEL) [ ! -e ${broken} ] || { echo '{"code":999,"msg":"cannot now"}'; exit 1; };;`;
  const heard = recorder(host, "sticky", { extra });
  list(host, "sticky", [{ type: "sticky", mark: "as attached" }]);
  const first = await host.start();
  const id = randomId();
  await setup(first.worker, id, { network: "sticky" });
  host.conf("sticky.conflist", { cniVersion: "1.0.0", name: "sticky", plugins: [{ type: "sticky", mark: "changed" }] });
  Deno.writeTextFileSync(broken, "");
  await first.worker.call("teardown", { id });
  const told = async () => (await first.worker.call("diagnose", {})).findings.join("\n");
  assert.match(await told(), /could not be detached/);
  await setup(first.worker, id, { network: "sticky" });
  assert.doesNotMatch(await told(), /could not be detached/, "one that is attached anew is not to be taken off");
  const second = { network: "sticky2", aliases: ["db"] };
  list(host, "sticky2", [{ type: "sticky" }]);
  const change = (attachments: NetworkAttachment[]) =>
    first.worker.call("change", { id, name: "web", attachments, ports: [] });
  assert.equal((await change([{ network: "sticky" }, second])).endpoints.length, 2);
  assert.equal((await change([{ network: "sticky" }])).endpoints.length, 1);
  assert.match(await told(), /could not be detached from network "sticky2"/);
  assert.deepEqual((await change([{ network: "sticky" }, second])).endpoints.map((e) => e.network), [
    "sticky",
    "sticky2",
  ]);
  await change([{ network: "sticky" }]);
  Deno.removeSync(broken);
  await change([{ network: "sticky" }]);
  assert.equal(host.cached().length, 1, "what was left of it is gone");
  host.conf("sticky.conflist", {
    cniVersion: "1.0.0",
    name: "sticky",
    plugins: [{ type: "sticky", mark: "changed again" }],
  });
  Deno.writeTextFileSync(broken, "");
  await first.worker.call("teardown", { id });
  await first.worker.call("release", { id });
  const { findings } = await first.worker.call("diagnose", {});
  assert.match(findings.join("\n"), /could not be detached from network "sticky".*cannot now/);
  assert.equal(host.cached().length, 1);
  await first.worker.kill();
  Deno.removeSync(broken);
  const { init } = await host.start();
  assert.deepEqual([init.removed, host.cached()], [[id], []]);
  const last = heard().at(-1);
  assert.deepEqual([last?.command, last?.env.CNI_NETNS, last?.input.mark], ["DEL", "", "changed"]);
});

Deno.test("a plugin that came after nyxd's start, or that is missing, is refused with what to do", async () => {
  await using host = new CniHost();
  list(host, "missing", [{ type: "missing" }]);
  list(host, "late", [{ type: "late" }]);
  const { worker } = await host.start();
  recorder(host, "late");
  const missing = await failure(setup(worker, randomId(), { network: "missing" }));
  assert.match(missing.message, /plugins\/missing: .*restart nyxd|plugins\/missing: there is no such program/);
  assert.match(
    (await failure(setup(worker, randomId(), { network: "late" }))).message,
    /plugins\/late: .*restart nyxd/,
  );
});

Deno.test("a configuration directory that is made after nyxd's start: its networks are known within seconds, and told", async () => {
  await using host = new CniHost();
  Deno.removeSync(host.confDir);
  const { worker, init } = await host.start();
  assert.deepEqual(init.discovered, []);
  const id = randomId();
  assert.match((await failure(setup(worker, id, { network: "lo" }))).message, /Could not find network "lo"/);
  Deno.mkdirSync(host.confDir);
  host.conf("lo.conf", { cniVersion: "1.0.0", name: "lo", type: "loopback" });
  assert.equal((await setup(worker, id, { network: "lo" })).endpoints[0]?.interface, "lo");
  await worker.call("teardown", { id });
  for (let i = 0; i < 400 && worker.events.length === 0; i++) await new Promise((r) => setTimeout(r, 25));
  const event = worker.events.at(-1);
  assert.deepEqual(event?.kind === "networks" ? event.networks.map((n) => n.name) : event, ["lo"]);
  Deno.removeSync(host.confDir, { recursive: true });
  const told = async () => {
    const before = worker.events.length;
    for (let i = 0; i < 400 && worker.events.length === before; i++) await new Promise((r) => setTimeout(r, 25));
    return worker.events.slice(before).map((e) => e.kind === "networks" ? e.networks.map((n) => n.name) : e);
  };
  assert.deepEqual(await told(), [[]], "also that it is gone");
  const count = worker.events.length;
  await new Promise((r) => setTimeout(r, 2500));
  assert.equal(worker.events.length, count, "and no more while nothing changes");
  Deno.mkdirSync(host.confDir);
  host.conf("two.conf", { cniVersion: "1.0.0", name: "two", type: "loopback" });
  assert.deepEqual(await told(), [["two"]], "and one that is made again");
  host.conf("three.conf", { cniVersion: "1.0.0", name: "three", type: "loopback" });
  assert.deepEqual(await told(), [["three", "two"]], "and is watched from then on");
});
