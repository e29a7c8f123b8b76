import assert from "node:assert/strict";
import { NyxError } from "../errors.ts";
import { parseBlkioWeight, parseCpus, parseCpuset, parseCpuShares, parseInteger } from "./cpus.ts";
import { parseCsvLine } from "./csv.ts";
import { parseDevice, parseDeviceCgroupRule } from "./device.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import { parseEnv, parseEnvFile } from "./env_file.ts";
import { formatIpv6, ipVersion, tryIpv6, tryMac, tryNormalizeIp } from "./ip.ts";
import { parseLabel, parseLabelFile } from "./label_file.ts";
import { parseLogDriver, parseLogOpts } from "./log_opt.ts";
import { parseCgroupParent } from "./paths.ts";
import { formatRestart, parseRestart } from "./restart.ts";
import { parseSecurityOpts } from "./security_opt.ts";
import { parseSignal, signalName, SIGNALS } from "./signal.ts";
import { formatBinarySize, formatSize, parseMemory, parseMemorySwap, parseSize } from "./size.ts";
import { parseSysctl } from "./sysctl.ts";
import { parseUlimit } from "./ulimit.ts";

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

const utf8 = (text: string) => new TextEncoder().encode(text);

Deno.test("parseSize: suffixes are powers of 1024 in any case, fractions are rounded down", () => {
  const cases: [string, number][] = [["0", 0], ["1024", 1024], ["1k", 1024], ["1KB", 1024], ["1KiB", 1024], [
    "64m",
    67108864,
  ], ["1.5g", 1610612736]];
  for (const [text, bytes] of [...cases, ["2 t", 2 * 1024 ** 4], [".5k", 512], ["1b", 1]] as [string, number][]) {
    assert.equal(parseSize(text), bytes, text);
  }
  refuses(
    (text) => parseSize(text),
    "",
    "-1",
    "k",
    "1x",
    "1kk",
    "1e3",
    "0x10",
    "1,5g",
    "1i",
    "9007199254740992",
    "99999999p",
  );
});

Deno.test("parseMemory: refuses less than 6 MiB, takes 0 as no limit; parseMemorySwap takes -1", () => {
  assert.equal(parseMemory("6m"), 6291456);
  assert.equal(parseMemory("0"), 0);
  refuses((text) => parseMemory(text), "5m", "4k");
  assert.equal(parseMemorySwap("-1"), -1);
  refuses((text) => parseMemorySwap(text), "-2");
});

Deno.test("formatSize and formatBinarySize: Docker's texts", () => {
  assert.deepEqual([0, 999, 1000, 4_261_502, 1.5e9].map((n) => formatSize(n)), [
    "0B",
    "999B",
    "1kB",
    "4.262MB",
    "1.5GB",
  ]);
  assert.equal(formatSize(4_261_502, 3), "4.26MB");
  assert.deepEqual([1023, 1024, 2097152000].map((n) => formatBinarySize(n)), ["1023B", "1KiB", "1.953GiB"]);
});

Deno.test("parseDuration: Go's notation to milliseconds, bare numbers are seconds", () => {
  const cases: [string, number][] = [["0", 0], ["30", 30000], ["1m30s", 90000], ["1.5h", 5400000], ["250ms", 250], [
    "1h0m0.5s",
    3600500,
  ], ["10us", 0.01]];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text);
  refuses((text) => parseDuration(text), "", "s", "-1s", "1d", "1m30", "1 m", "1e3s", "99999999999999h");
});

Deno.test("formatDuration: what it writes is read back to the same value (property)", () => {
  for (let seed = 1; seed < 3000; seed++) {
    const ms = (seed * 2654435761) % 400_000_000;
    assert.equal(parseDuration(formatDuration(ms)), ms, formatDuration(ms));
  }
  assert.deepEqual([0, 250, 90000, 3600000, 1500].map(formatDuration), ["0s", "250ms", "1m30s", "1h0m0s", "1.5s"]);
});

Deno.test("tryIpv6: RFC 4291 forms in, RFC 5952 out", () => {
  const cases: [string, string][] = [
    ["::", "::"],
    ["::1", "::1"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["::ffff:10.0.0.1", "::ffff:a00:1"],
    ["fe80:0:0:0:0:0:0:0", "fe80::"],
    ["1:2:3:4:5:6:0:8", "1:2:3:4:5:6:0:8"],
  ];
  for (const [text, normal] of cases) assert.equal(tryNormalizeIp(text), normal);
  for (
    const text of [
      "",
      ":",
      "1",
      ":::",
      "1::2::3",
      "12345::",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "::1%eth0",
      "[::1]",
      "1:2:3:4:5:6:7::8",
      "::1.2.3",
    ]
  ) {
    assert.equal(tryIpv6(text), undefined, text);
  }
});

Deno.test("formatIpv6: read back to the same groups (property)", () => {
  for (let seed = 1; seed < 3000; seed++) {
    const groups = Array.from({ length: 8 }, (_, at) => (seed >> at) % 3 === 0 ? 0 : (seed * (at + 7919)) % 65536);
    assert.deepEqual(tryIpv6(formatIpv6(groups)), groups);
  }
});

Deno.test("ipVersion: no octal, short or named forms", () => {
  assert.equal(ipVersion("10.0.0.1"), 4);
  for (const text of ["010.0.0.1", "10.1", "256.0.0.1", "localhost", "1.2.3.4.5", "1.2.3.", " 1.2.3.4"]) {
    assert.equal(ipVersion(text), undefined, text);
  }
  assert.equal(tryMac("02-42-AC-11-00-02"), "02:42:ac:11:00:02");
  assert.equal(tryMac("01:00:5e:00:00:01"), undefined);
});

Deno.test("parseCsvLine: quotes as in RFC 4180", () => {
  assert.deepEqual(parseCsvLine('a,"b,c","d""e",', "f"), ["a", "b,c", 'd"e', ""]);
  refuses((text) => parseCsvLine(text, "f"), '"a', 'a"b', '"a"b');
});

Deno.test("parseDevice: source, target and permissions", () => {
  assert.deepEqual(parseDevice("/dev/fuse"), { source: "/dev/fuse", target: "/dev/fuse", permissions: "rwm" });
  assert.deepEqual(parseDevice("/dev/sda:/dev/x:r"), { source: "/dev/sda", target: "/dev/x", permissions: "r" });
  assert.deepEqual(parseDevice("/dev/sda:rw"), { source: "/dev/sda", target: "/dev/sda", permissions: "rw" });
  refuses(
    (text) => parseDevice(text),
    "",
    "fuse",
    "/dev/a:/dev/b:x",
    "/dev/a:rr",
    "/dev/a:b:c:d",
    "vendor.com/gpu=all",
    "/dev/a:r:w",
  );
  assert.equal(parseDeviceCgroupRule("c 42:* rmw"), "c 42:* rmw");
  refuses((text) => parseDeviceCgroupRule(text), "x 1:1 r", "c 1 r", "c 1:1 z", "c 1:1 rr");
});

Deno.test("parseUlimit: one number is both limits, soft stays within hard", () => {
  assert.deepEqual(parseUlimit("nofile=1024:4096"), { name: "nofile", soft: 1024, hard: 4096 });
  assert.deepEqual(parseUlimit("core=-1"), { name: "core", soft: -1, hard: -1 });
  assert.deepEqual(parseUlimit("memlock=1024:unlimited"), { name: "memlock", soft: 1024, hard: -1 });
  refuses(
    (text) => parseUlimit(text),
    "nofile",
    "nofile=",
    "bogus=1",
    "nofile=10:5",
    "nofile=-1:5",
    "nofile=1:2:3",
    "nofile=-5",
  );
});

Deno.test("parseRestart: policies and retries", () => {
  assert.deepEqual(parseRestart("on-failure:3"), { name: "on-failure", maxRetries: 3 });
  assert.deepEqual(parseRestart(""), { name: "no" });
  for (const text of ["no", "always", "unless-stopped", "on-failure", "on-failure:5"]) {
    assert.equal(formatRestart(parseRestart(text)), text);
  }
  refuses((text) => parseRestart(text), "never", "always:3", ":3", "on-failure:-1", "on-failure:x", "ALWAYS");
});

Deno.test("parseEnvFile: Docker's rules on comments, blanks, values and the caller's environment", () => {
  const file =
    '\ufeff# comment\n\n  A=1\nB= two words # not a comment \nC="quoted"\nHOST\nABSENT\nE=\r\nF=a=b\n\t# also\n';
  const lookup = (name: string) => name === "HOST" ? "here" : undefined;
  assert.deepEqual(parseEnvFile(utf8(file), "f", lookup), [
    "A=1",
    "B= two words # not a comment ",
    'C="quoted"',
    "HOST=here",
    "E=",
    "F=a=b",
  ]);
  refuses((text) => parseEnvFile(utf8(text), "f", lookup), "=x", "A B=1", "ok=1\nA\tB=1", "A=\0");
  assert.throws(() => parseEnvFile(Uint8Array.of(0x41, 0x3d, 0xff), "f", lookup), /not valid UTF-8/);
  assert.throws(() => parseEnvFile(utf8("A=1\n=x"), "f", lookup), /line 2/);
});

Deno.test("parseEnv: a name alone takes the caller's value, else stays to remove the image's", () => {
  const lookup = (name: string) => name === "HOME" ? "/root" : undefined;
  assert.deepEqual(["A=b", "HOME", "NOPE", "A="].map((text) => parseEnv(text, lookup)), [
    "A=b",
    "HOME=/root",
    "NOPE",
    "A=",
  ]);
  refuses((text) => parseEnv(text, lookup), "", "=x", "A=\0");
});

Deno.test("parseLabel and parseLabelFile: a key alone has the empty value", () => {
  assert.deepEqual([parseLabel("a=b=c"), parseLabel("a")], [["a", "b=c"], ["a", ""]]);
  assert.deepEqual(parseLabelFile(utf8("a=1\nb\n#c\n"), "f"), [["a", "1"], ["b", ""]]);
  refuses((text) => parseLabel(text), "", "=x");
});

Deno.test("parseCgroupParent: a cleaned path below the root; an attacker's way up to other cgroups is refused", () => {
  assert.equal(parseCgroupParent("/web//a/"), "/web/a");
  assert.equal(parseCgroupParent("web"), "/web");
  for (const bad of ["../../x", "/a/../../b", "/", "", ".", "a\0b"]) {
    assert.throws(() => parseCgroupParent(bad), /Invalid cgroup-parent/, JSON.stringify(bad));
  }
});

Deno.test("parseSysctl: only parameters of a namespace, slashes as in sysctl(8)", () => {
  assert.deepEqual(parseSysctl("net.core.somaxconn=1024"), ["net.core.somaxconn", "1024"]);
  assert.deepEqual(parseSysctl("net/ipv4/conf/eth0.1/forwarding=1"), ["net.ipv4.conf.eth0/1.forwarding", "1"]);
  assert.deepEqual(parseSysctl("fs.mqueue.msg_max=10"), ["fs.mqueue.msg_max", "10"]);
  refuses(
    (text) => parseSysctl(text),
    "kernel.panic=1",
    "vm.swappiness=1",
    "net.core.somaxconn",
    "=1",
    "net=1",
    "net..x=1",
    "net.ipv4/../../kernel=1",
    "kernel.shmmaxx=1",
  );
});

Deno.test("parseSecurityOpts: each kind, both separators; what cannot be honoured is refused", () => {
  const read = (path: string) => path === "p.json" ? '{"defaultAction":"SCMP_ACT_ERRNO"}' : "not json";
  assert.deepEqual(
    parseSecurityOpts([
      "seccomp=unconfined",
      "apparmor:foo",
      "no-new-privileges",
      "systempaths=unconfined",
      "label=disable",
    ], read),
    {
      seccomp: "unconfined",
      apparmor: "foo",
      noNewPrivileges: true,
      maskedPaths: [],
      readonlyPaths: [],
    },
  );
  assert.deepEqual(parseSecurityOpts(["seccomp=p.json"], read), { seccomp: '{"defaultAction":"SCMP_ACT_ERRNO"}' });
  assert.deepEqual(parseSecurityOpts(["seccomp=unconfined", "seccomp=builtin", "no-new-privileges=false"], read), {
    noNewPrivileges: false,
  });
  refuses(
    (text) => parseSecurityOpts([text], read),
    "seccomp=other",
    "label=type:x",
    "bogus=1",
    "seccomp",
    "no-new-privileges=maybe",
  );
});

Deno.test("parseLogOpts: sizes, counts, modes; options of other drivers are refused", () => {
  assert.deepEqual(
    parseLogOpts(["max-size=10m", "max-file=3", "compress=true", "mode=non-blocking", "max-age=1h"], "json-file"),
    {
      driver: "json",
      maxSizeBytes: 10485760,
      maxFile: 3,
      compress: true,
      mode: "drop",
      maxAgeMs: 3600000,
    },
  );
  assert.equal(parseLogDriver("none"), "none");
  refuses((text) => parseLogOpts([text]), "tag=x", "max-file=0", "max-size=x", "max-size", "compress=perhaps");
  assert.throws(() => parseLogOpts(["max-size=1m"], "none"), NyxError);
  assert.throws(() => parseLogOpts([], "syslog"), /nyx keeps logs itself/);
});

Deno.test("parseSignal: names in any form and numbers, and back (all signals)", () => {
  for (const [name, number] of Object.entries(SIGNALS)) {
    for (const text of [name, `SIG${name}`, name.toLowerCase(), String(number)]) {
      assert.deepEqual(parseSignal(text), { name: `SIG${name}`, number });
    }
  }
  assert.deepEqual(parseSignal("RTMIN+3"), { name: "SIGRTMIN+3", number: 37 });
  assert.deepEqual(parseSignal("SIGRTMAX-1"), { name: "SIGRTMIN+29", number: 63 });
  assert.equal(parseSignal("SIGRTMAX").number, 64);
  assert.equal(signalName(parseSignal("IOT").number), "SIGABRT");
  refuses(
    (text) => parseSignal(text),
    "",
    "0",
    "32",
    "33",
    "65",
    "-9",
    "SIGFOO",
    "RTMIN+31",
    "RTMAX+1",
    "constructor",
    "9.0",
  );
});

Deno.test("parseCpus: exact billionths", () => {
  assert.deepEqual(["1.5", "0.1", "2", ".25", "0", "0.123456789"].map((text) => parseCpus(text)), [
    1.5e9,
    1e8,
    2e9,
    2.5e8,
    0,
    123456789,
  ]);
  refuses((text) => parseCpus(text), "", ".", "-1", "1e3", "0.001", "0.1234567891", "a");
});

Deno.test("cpuset, shares, weights and integers keep their bounds", () => {
  assert.equal(parseCpuset("0-3,6"), "0-3,6");
  refuses((text) => parseCpuset(text), "", "3-1", "a", "1,,2", "1-", "0-3 ");
  refuses((text) => parseCpuShares(text), "1", "-2", "262145");
  refuses((text) => parseBlkioWeight(text), "5", "1001");
  assert.equal(parseInteger("-500", "x", -1000, 1000), -500);
  refuses((text) => parseInteger(text, "x", 0, 10), "11", "1.0", "", "0x1", "1e1");
});
