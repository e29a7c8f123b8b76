import assert from "node:assert/strict";
import { linuxFile } from "../../ffi/linux/file.ts";
import { linuxProcess } from "../../ffi/linux/process.ts";
import { AT_FDCWD, type FileKernel, O, S } from "../../ffi/file.ts";
import { SyscallError } from "../../ffi/errno.ts";
import { DEFAULT_LOG_POLICY, listParts, LogFile, type LogPolicy, removeLog } from "./log_file.ts";
import { IntentFile, Scratch, settleIntent, Stage } from "./staging.ts";

const files = linuxFile();
const proc = linuxProcess();
const bytes = (s: string) => new TextEncoder().encode(s);
const fail = (e: unknown) => {
  throw e;
};

function inDir(test: (dir: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const dir = Deno.makeTempDirSync({ prefix: "nyx-logfile-" });
    try {
      await test(dir);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  };
}

function open(path: string, policy: Partial<LogPolicy> = {}, kernel: FileKernel = files, undoTo?: number): LogFile {
  return new LogFile(kernel, path, { ...DEFAULT_LOG_POLICY, ...policy }, fail, undoTo);
}

Deno.test(
  "LogFile: rotates before a record that would exceed the size, numbers parts upwards, keeps max-file files",
  inDir(async (dir) => {
    const path = `${dir}/c.log`;
    const log = open(path, { maxSizeBytes: 20, maxFile: 3 });
    for (let i = 0; i < 6; i++) {
      log.rotateIfDue(10);
      log.append(bytes(`record ${i}\n\n`));
    }
    assert.deepEqual(listParts(path).map((p) => p.number), [1, 2]);
    for (let i = 6; i < 9; i++) {
      log.rotateIfDue(10);
      log.append(bytes(`record ${i}\n\n`));
    }
    await log.settled();
    assert.deepEqual(listParts(path).map((p) => p.number), [3, 4]);
    assert.equal(log.number, 5);
    await log.close();
    const again = open(path, { maxSizeBytes: 20, maxFile: 3 });
    assert.equal(again.number, 5);
    await again.close();
    removeLog(files, path);
    assert.deepEqual([...Deno.readDirSync(dir)], []);
  }),
);

Deno.test(
  "LogFile: max-file 1 keeps one file; max-age rotates and expires; compress leaves a .gz",
  inDir(async (dir) => {
    const single = open(`${dir}/a.log`, { maxSizeBytes: 10, maxFile: 1 });
    single.append(bytes("0123456789"));
    single.rotateIfDue(1);
    assert.equal(single.size, 0);
    assert.deepEqual(listParts(`${dir}/a.log`), []);
    await single.close();

    Deno.writeTextFileSync(`${dir}/b.log`, "old\n");
    Deno.utimeSync(`${dir}/b.log`, 1, 1);
    const aged = open(`${dir}/b.log`, { maxAgeMs: 1000 });
    aged.rotateIfDue(1);
    assert.equal(aged.size, 0);
    await aged.close();
    assert.deepEqual(listParts(`${dir}/b.log`), []);

    const packed = open(`${dir}/c.log`, { compress: true });
    packed.append(bytes("line\n"));
    packed.rotate();
    await packed.close();
    assert.deepEqual(listParts(`${dir}/c.log`).map((p) => p.path.slice(dir.length)), ["/c.log.1.gz"]);
  }),
);

Deno.test(
  "LogFile.append: a write that fails half-way leaves the file as it was",
  inDir(async (dir) => {
    let calls = 0;
    const failing: FileKernel = {
      ...files,
      pwrite: (fd, buffer, offset) => {
        calls++;
        if (calls === 2) return files.pwrite(fd, buffer.subarray(0, 3), offset);
        if (calls === 3) throw new SyscallError("pwrite", 28);
        return files.pwrite(fd, buffer, offset);
      },
    };
    const log = open(`${dir}/c.log`, {}, failing);
    log.append(bytes("first\n"));
    assert.throws(() => log.append(bytes("second\n")), { code: "ENOSPC" });
    assert.equal(Deno.readTextFileSync(`${dir}/c.log`), "first\n");
    log.append(bytes("third\n"));
    assert.equal(Deno.readTextFileSync(`${dir}/c.log`), "first\nthird\n");
    await log.close();
  }),
);

Deno.test(
  "LogFile: a link in place of the log is not followed",
  inDir((dir) => {
    Deno.writeTextFileSync(`${dir}/target`, "precious");
    Deno.symlinkSync(`${dir}/target`, `${dir}/c.log`);
    assert.throws(() => open(`${dir}/c.log`), { code: "ELOOP" });
    assert.equal(Deno.readTextFileSync(`${dir}/target`), "precious");
  }),
);

/** A stage FIFO that something keeps open, with `content` in it, and a log. */
function staged(dir: string, content: string, logged: string): { keep: number; path: string } {
  files.mknodat(AT_FDCWD, `${dir}/out.stage`, S.IFIFO | 0o600, 0, 0);
  const keep = files.openat(AT_FDCWD, `${dir}/out.stage`, O.RDWR | O.NONBLOCK | O.CLOEXEC);
  files.write(keep, bytes(content));
  Deno.writeTextFileSync(`${dir}/c.log`, logged);
  return { keep, path: `${dir}/c.log` };
}

Deno.test(
  "settleIntent: killed before, in the middle of, or after the append, and before or after taking: once and whole",
  inDir(async (dir) => {
    const scratch = new Scratch(files, proc);
    const cases = [
      { stage: "AB", log: "0", undo: 1, left: "AB", why: "before the append" },
      { stage: "AB", log: "0<A", undo: 1, left: "AB", why: "half-way through the append" },
      { stage: "AB", log: "0<A>", undo: 1, left: "AB", why: "after the append" },
      { stage: "B", log: "0<A>", undo: undefined, left: "B", why: "after taking" },
    ];
    for (const [i, c] of cases.entries()) {
      const sub = `${dir}/${i}`;
      Deno.mkdirSync(sub);
      const { keep, path } = staged(sub, c.stage, c.log);
      const intent = new IntentFile(files, `${sub}/intent`);
      intent.set(1, 1, 2, 1);
      const undo = settleIntent(files, proc, scratch, sub, intent);
      assert.equal(undo, c.undo, c.why);
      const log = open(path, {}, files, undo);
      const expected = undo === undefined ? c.log : c.log.slice(0, undo);
      assert.equal(Deno.readTextFileSync(path).trimEnd(), expected, c.why);
      const stage = new Stage(files, proc, scratch, `${sub}/out.stage`);
      assert.equal(new TextDecoder().decode(stage.peek(10)), c.left, c.why);
      stage.close();
      intent.close();
      await log.close();
      files.close(keep);
    }
    scratch.close();
  }),
);

Deno.test(
  "Stage: shows what is new, keeps what was not taken, asks for a flush before it runs out of room",
  inDir((dir) => {
    const scratch = new Scratch(files, proc);
    const { keep } = staged(dir, "", "");
    const stage = new Stage(files, proc, scratch, `${dir}/out.stage`);
    const [source, sink] = proc.pipe();
    files.write(sink, bytes("one\ntw"));
    const first = stage.fill(source);
    assert.equal(new TextDecoder().decode(first.bytes), "one\ntw");
    assert.equal(first.known, 0);
    stage.take(4);
    files.write(sink, bytes("o\n"));
    const second = stage.fill(source);
    assert.equal(new TextDecoder().decode(second.bytes), "two\n");
    assert.equal(second.known, 2);
    stage.take(4);
    assert.equal(stage.held, 0);
    for (let i = 0; i < 12; i++) {
      assert.equal(stage.crowded, false);
      files.write(sink, bytes("."));
      stage.fill(source);
    }
    assert.equal(stage.crowded, true);
    files.close(sink);
    stage.take(12);
    assert.equal(stage.fill(source).ended, true);
    for (const fd of [source, keep]) files.close(fd);
    stage.close();
    scratch.close();
  }),
);

Deno.test(
  "LogFile max-age: a clock set back by years, or forward, ends neither rotation nor writing",
  inDir(async (dir) => {
    const { now } = Date;
    try {
      const log = open(`${dir}/c.log`, { maxAgeMs: 1000, maxFile: 9 });
      const write = (text: string, atMs: number) => {
        Date.now = () => atMs;
        log.rotateIfDue(1);
        log.append(bytes(text));
      };
      const began = now();
      write("a\n", began);
      write("b\n", began - 1e11);
      write("c\n", began - 1e11 + 2000);
      assert.equal(log.number, 2, "a second after the step the file is as old as that");
      write("d\n", began + 1e11);
      assert.equal(log.number, 3);
      await log.close();
    } finally {
      Date.now = now;
    }
  }),
);
