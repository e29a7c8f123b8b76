/** Trees for archive tests: one with everything on it, and random ones by seed. */

import { isErrno } from "../../ffi/errno.ts";
import { AT, AT_FDCWD, O, S } from "../../ffi/file.ts";
import { linuxFile } from "../../ffi/linux/file.ts";

/** A small generator of repeatable numbers (mulberry32). */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Runs a program and gives its standard output; throws with its standard error when it fails. */
export function run(program: string, args: string[], options: Deno.CommandOptions = {}): Uint8Array<ArrayBuffer> {
  const out = new Deno.Command(program, { args, stdout: "piped", stderr: "piped", ...options }).outputSync();
  if (!out.success) throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(out.stderr)}`);
  return out.stdout;
}

/** What a format cannot hold is left out of the tree. */
export interface TreeOptions {
  /** Extended attributes and file capabilities. */
  xattrs?: boolean;
  /** Names and links over 100 bytes, up to the kernel's limits. */
  longNames?: boolean;
  /** Ids over 2,097,151. */
  largeIds?: boolean;
  /** Sparse files. */
  sparse?: boolean;
  /** Times before 1970. */
  negativeTimes?: boolean;
}

/** A tree with one of everything that a layer may hold. `dir` exists and is empty. */
export function fullTree(dir: string, options: TreeOptions = {}): void {
  const k = linuxFile();
  const at = (name: string) => `${dir}/${name}`;
  const write = (name: string, data: string | Uint8Array, mode = 0o644) => {
    Deno.writeFileSync(at(name), typeof data === "string" ? new TextEncoder().encode(data) : data);
    k.fchmodat(AT_FDCWD, at(name), mode);
  };
  Deno.mkdirSync(at("a/b/c"), { recursive: true });
  write("a/plain", "content\n");
  write("a/empty", "");
  write("a/block", new Uint8Array(512).fill(7));
  write("a/big", new Uint8Array(3_000_001).map((_, i) => i * 31));
  write("suid", "#!", 0o4755);
  write("sgid", "#!", 0o2711);
  write("none", "x", 0);
  Deno.mkdirSync(at("tmp"));
  k.fchmodat(AT_FDCWD, at("tmp"), 0o1777);
  Deno.mkdirSync(at("setgid"));
  k.fchownat(AT_FDCWD, at("setgid"), 0, 50, 0);
  k.fchmodat(AT_FDCWD, at("setgid"), 0o2755);
  write("setgid/in", "group is root all the same");
  k.fchownat(AT_FDCWD, at("setgid/in"), 0, 0, 0);
  Deno.linkSync(at("a/plain"), at("a/b/hard"));
  Deno.linkSync(at("a/plain"), at("zhard"));
  Deno.symlinkSync("../plain", at("a/b/soft"));
  Deno.symlinkSync("/nowhere/at/all", at("a/dangling"));
  Deno.linkSync(at("a/dangling"), at("a/hardsoft"));
  k.mknodat(AT_FDCWD, at("null"), S.IFCHR | 0o666, 1, 3);
  k.mknodat(AT_FDCWD, at("disk"), S.IFBLK | 0o660, 8, 17);
  k.mknodat(AT_FDCWD, at("fifo"), S.IFIFO | 0o600, 0, 0);
  k.fchownat(AT_FDCWD, at("fifo"), 1000, 1001, AT.SYMLINK_NOFOLLOW);
  k.fchownat(AT_FDCWD, at("a/b/soft"), 12, 34, AT.SYMLINK_NOFOLLOW);
  k.close(
    k.openat(
      AT_FDCWD,
      new Uint8Array([...new TextEncoder().encode(at("odd-")), 0xff, 0xe9]),
      O.CREAT | O.WRONLY,
      0o600,
    ),
  );
  write('späße ünd "quotes" \\ \n newline', "x");
  if (options.longNames) {
    write("n".repeat(255), "long");
    Deno.mkdirSync(at("p".repeat(120) + "/" + "q".repeat(120)), { recursive: true });
    write(`${"p".repeat(120)}/${"q".repeat(120)}/r`, "deep");
    Deno.linkSync(at(`${"p".repeat(120)}/${"q".repeat(120)}/r`), at("long-hard"));
    Deno.symlinkSync("t/".repeat(400) + "end", at("long-soft"));
  }
  if (options.largeIds) {
    write("ids", "x");
    k.fchownat(AT_FDCWD, at("ids"), 4_000_000_000, 3_000_000, 0);
  }
  if (options.xattrs) {
    k.lsetxattr(at("a/plain"), "user.text", new TextEncoder().encode("value = with\n=and newline"));
    k.lsetxattr(at("tmp"), "trusted.dir", new Uint8Array([0, 1, 255]));
    write("capable", "#!", 0o755);
    k.fchownat(AT_FDCWD, at("capable"), 5, 6, 0);
    const vfsCap = [1, 0, 0, 2, 0, 4, 0, 0, ...new Array<number>(12).fill(0)];
    k.lsetxattr(at("capable"), "security.capability", new Uint8Array(vfsCap));
  }
  if (options.sparse) sparseFiles(dir);
  const times: [string, number, number][] = [["a/plain", 1_234_567_890, 123_456_789], ["a/b", 0, 0], [
    "tmp",
    2_000_000_000,
    1,
  ]];
  if (options.negativeTimes) times.push(["a/empty", -86_401, 500_000_000]);
  for (const [name, sec, nsec] of times) k.utimensat(AT_FDCWD, at(name), { sec, nsec }, { sec, nsec }, 0);
}

function sparseFiles(dir: string): void {
  const k = linuxFile();
  const make = (name: string, size: number, runs: [number, number][]) => {
    const fd = k.openat(AT_FDCWD, `${dir}/${name}`, O.CREAT | O.WRONLY | O.CLOEXEC, 0o644);
    for (const [offset, length] of runs) k.pwrite(fd, new Uint8Array(length).fill(65 + (offset % 26)), offset);
    k.ftruncate(fd, size);
    k.close(fd);
  };
  make("sparse-hole-end", 1 << 20, [[0, 5000]]);
  make("sparse-all", 1 << 20, []);
  make(
    "sparse-many",
    64 << 20,
    Array.from({ length: 40 }, (_, i) => [i * (1 << 20) + 4096, 4096 + i] as [number, number]),
  );
  make("sparse-large", 100_000_000, [[90_000_000, 8192]]);
}

/** A random tree of some dozens of entries; with `short`, all paths fit ustar. */
export function randomTree(dir: string, seed: number, short = false): void {
  const k = linuxFile();
  const next = seeded(seed);
  const dirs = [dir];
  const files: string[] = [];
  const name = () => {
    const length = [1, 8, 30, 99, 100, 101, 155, 200][next(8)] ?? 8;
    return Array.from({ length }, () => String.fromCharCode(97 + next(26))).join("");
  };
  for (let i = 0; i < 60; i++) {
    const parent = dirs[next(dirs.length)] ?? dir;
    const path = `${parent}/${name()}`;
    if (path.length - dir.length > (short ? 95 : 3000)) continue;
    const kind = next(10);
    try {
      if (kind < 3) {
        Deno.mkdirSync(path);
        dirs.push(path);
      } else if (kind < 7) {
        const size = [0, 1, 511, 512, 513, 5000, 70_000][next(7)] ?? 0;
        Deno.writeFileSync(path, new Uint8Array(size).map(() => next(256)));
        files.push(path);
      } else if (kind === 7) Deno.symlinkSync(name().slice(0, short ? 90 : 200), path);
      else if (kind === 8 && files.length > 0) Deno.linkSync(files[next(files.length)] ?? path, path);
      else k.mknodat(AT_FDCWD, path, S.IFIFO | 0o644, 0, 0);
    } catch (e) {
      if (!(e instanceof Deno.errors.AlreadyExists) && !isErrno(e, "EEXIST")) throw e;
    }
  }
  for (const path of [...files, ...dirs.slice(1).reverse()]) {
    k.fchownat(AT_FDCWD, path, next(70_000), next(70_000), 0);
    k.fchmodat(AT_FDCWD, path, next(0o10000));
    const time = { sec: next(2_000_000_000), nsec: 0 };
    k.utimensat(AT_FDCWD, path, time, time, 0);
  }
}
