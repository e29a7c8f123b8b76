import assert from "node:assert/strict";
import { AT_FDCWD } from "../../ffi/file.ts";
import { linuxFile } from "../../ffi/linux/file.ts";
import { fifoNames, MONITOR_FILES, monitorScript, parseExitFile, removeMonitorDir, SAFE_ID } from "./monitor.ts";
import { execFailure, lastCrunMessage, launchFailureCode } from "./crun.ts";
import { flatValue, parseProcCgroup } from "./cgroup.ts";
import { parseSignal } from "./signals.ts";
import { ociResources } from "./update.ts";
import { normaliseTime } from "./log_read.ts";
import { DEFAULT_LOG_POLICY, resolvePolicy } from "./log_file.ts";

Deno.test("parseExitFile: only a whole line is an exit; blanks and torn writes are not yet", () => {
  assert.equal(parseExitFile(`exit 137\n${" ".repeat(22)}\n`), 137);
  assert.equal(parseExitFile("exit 0\n"), 0);
  for (const torn of ["", " ".repeat(31) + "\n", "exit 13", "exi", "exit 999\n", "exit x\n"]) {
    assert.equal(parseExitFile(torn), undefined, JSON.stringify(torn));
  }
});

Deno.test("SAFE_ID: refuses what could leave a directory or be an option", () => {
  for (const bad of ["", ".", "..", "../x", "a/b", "-v", ".hidden", "a\0b", "a b", "x".repeat(129)]) {
    assert.ok(!SAFE_ID.test(bad), bad);
  }
  assert.ok(SAFE_ID.test("a".repeat(64)) && SAFE_ID.test("exec-1_x.y"));
});

Deno.test("monitorScript: every shape is valid sh and opens only FIFOs that are made", async () => {
  for (const tty of [false, true]) {
    for (const stdin of [false, true]) {
      for (const staged of [false, true]) {
        const shape = { tty, stdin, staged };
        const script = monitorScript(shape);
        const { code } = await new Deno.Command("sh", { args: ["-n", "-c", script] }).output();
        assert.equal(code, 0, script);
        const opened = [...script.matchAll(/\d<>([a-z.]+)/g)].map((m) => m[1]).filter((n) => n !== "exit");
        assert.deepEqual(opened.filter((n) => !fifoNames(shape).includes(n ?? "")), []);
      }
    }
  }
});

Deno.test("launchFailureCode: 127 missing, 126 not executable, 125 all else", () => {
  assert.equal(launchFailureCode("executable file `nope` not found in $PATH: No such file or directory"), 127);
  assert.equal(launchFailureCode("open executable: Permission denied"), 126);
  assert.equal(launchFailureCode("exec container process `/x`: Exec format error"), 126);
  assert.equal(launchFailureCode("exec: Exec format error"), 126);
  assert.equal(launchFailureCode("open `config.json`: No such file or directory"), 125);
});

Deno.test("lastCrunMessage: the last JSON line's message; a line that is no JSON as it is", () => {
  assert.equal(lastCrunMessage('{"msg":"a"}\n{"msg":"b","level":"error"}\n'), "b");
  assert.equal(lastCrunMessage("plain\n"), "plain");
  assert.equal(lastCrunMessage(""), undefined);
  assert.equal(lastCrunMessage(undefined), undefined);
});

Deno.test("parseProcCgroup, flatValue: v1 controllers, v2 path, counters", () => {
  const v1 = parseProcCgroup("5:cpu,cpuacct:/a\n4:memory:/nyx/x\n0::/u\n");
  assert.equal(v1.get("memory"), "/nyx/x");
  assert.equal(v1.get("cpuacct"), "/a");
  assert.equal(v1.get(""), "/u");
  assert.equal(flatValue("low 0\noom 3\noom_kill 2\n", "oom_kill"), 2);
  assert.equal(flatValue("oom_kill_disable 0\nunder_oom 0\n", "oom_kill"), undefined);
  assert.equal(flatValue(undefined, "oom_kill"), undefined);
});

Deno.test("parseSignal: names, numbers and real-time signals; else the field is named", () => {
  assert.deepEqual(["SIGTERM", "hup", "9", "SIGRTMIN+3", "RTMAX-1"].map(parseSignal), [15, 1, 9, 37, 63]);
  for (const bad of ["", "0", "65", "SIGNOPE", "RTMIN-1", "1.5"]) {
    assert.throws(() => parseSignal(bad), { code: "invalid_argument" });
  }
});

Deno.test("ociResources: only what changes; nanoCpus become quota and period", () => {
  assert.deepEqual(ociResources({}), {});
  assert.deepEqual(ociResources({ memoryBytes: 1, nanoCpus: 1_500_000_000, pidsLimit: 0 }), {
    memory: { limit: 1 },
    cpu: { quota: 150_000, period: 100_000 },
    pids: { limit: -1 },
  });
});

Deno.test("normaliseTime: any RFC 3339 becomes the log's form", () => {
  assert.equal(normaliseTime("2026-01-31T12:00:00Z"), "2026-01-31T12:00:00.000000000Z");
  assert.equal(normaliseTime("2026-01-31T12:00:00.1234567891+02:00"), "2026-01-31T10:00:00.123456789Z");
  assert.equal(normaliseTime("yesterday"), undefined);
});

Deno.test("resolvePolicy: container over daemon over built-in", () => {
  const policy = resolvePolicy({ maxFile: 2 }, { maxFile: 9, compress: true });
  assert.deepEqual(policy, { ...DEFAULT_LOG_POLICY, maxFile: 2, compress: true });
});

Deno.test("execFailure: crun's message on stderr makes 126; a program's own exit 1 stays 1", () => {
  const head = '{"msg":"exec container process `/x`: Exec format error","level":"error"}\n';
  assert.deepEqual(execFailure(1, head), { code: 126, error: "exec container process `/x`: Exec format error" });
  assert.deepEqual(execFailure(1, "some error\n"), { code: 1 });
  assert.deepEqual(execFailure(0, head), { code: 0 });
});

Deno.test("removeMonitorDir: a shell that writes its files meanwhile does not keep the directory", () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-monitor-" });
  const late = MONITOR_FILES.map((name) => `${dir}/${name}`);
  const real = linuxFile();
  const kernel = {
    ...real,
    unlinkat: (fd: number, path: string, flags: number) => {
      if (fd === AT_FDCWD && path === dir) {
        const file = late.shift();
        if (file !== undefined) Deno.writeTextFileSync(file, "late");
      }
      real.unlinkat(fd, path, flags);
    },
  };
  try {
    removeMonitorDir(kernel as typeof real, dir);
    assert.throws(() => Deno.lstatSync(dir), Deno.errors.NotFound);
    assert.deepEqual(late, []);

    Deno.mkdirSync(dir);
    Deno.writeTextFileSync(`${dir}/not nyx's`, "");
    assert.throws(() => removeMonitorDir(real, dir), { code: "ENOTEMPTY" });
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
