/** Extended attributes on Linux: the half of the file area that speaks xattr(7). */

import { isErrno, SyscallError } from "../errno.ts";
import type { FileKernel, PathArg } from "../file.ts";
import { pathBytes } from "./file_codec.ts";
import { check, cstr, lastErrno, subject } from "./libc.ts";

/** libc's xattr functions. */
export const ATTRIBUTE_SYMBOLS = {
  fgetxattr: { parameters: ["i32", "buffer", "buffer", "usize"], result: "i32" },
  lgetxattr: { parameters: ["buffer", "buffer", "buffer", "usize"], result: "i32" },
  fsetxattr: { parameters: ["i32", "buffer", "buffer", "usize", "i32"], result: "i32" },
  lsetxattr: { parameters: ["buffer", "buffer", "buffer", "usize", "i32"], result: "i32" },
  flistxattr: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  llistxattr: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  fremovexattr: { parameters: ["i32", "buffer"], result: "i32" },
  lremovexattr: { parameters: ["buffer", "buffer"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Symbols = Deno.DynamicLibrary<typeof ATTRIBUTE_SYMBOLS>["symbols"];
type Bytes = Uint8Array<ArrayBuffer>;
type XattrCalls = Pick<
  FileKernel,
  | "fgetxattr"
  | "fsetxattr"
  | "flistxattr"
  | "fremovexattr"
  | "lgetxattr"
  | "lsetxattr"
  | "llistxattr"
  | "lremovexattr"
>;

/** XATTR_SIZE_MAX and XATTR_LIST_MAX (linux/limits.h). */
const MAX_VALUE = 65_536;
const SIZE = BigInt(MAX_VALUE);

/** The attribute calls over loaded symbols; one 64 KiB buffer serves all reads. */
export function linuxXattr(c: Symbols): XattrCalls {
  let shared: Bytes | undefined;
  const scratch = () => shared ??= new Uint8Array(MAX_VALUE);
  const decoder = new TextDecoder();

  const value = (read: (b: Bytes) => number, call: string, about: string): Bytes | undefined => {
    const buffer = scratch();
    try {
      return buffer.slice(0, check(read(buffer), call, about));
    } catch (e) {
      if (isErrno(e, "ENODATA")) return undefined;
      throw e;
    }
  };
  const names = (read: (b: Bytes) => number, call: string, about: string): string[] => {
    const buffer = scratch();
    try {
      return decoder.decode(buffer.subarray(0, check(read(buffer), call, about))).split("\0").slice(0, -1);
    } catch (e) {
      if (isErrno(e, "EOPNOTSUPP")) return [];
      throw e;
    }
  };
  const on = (fd: number) => `fd ${fd}`;
  const of = (p: PathArg) => subject(-1, p);
  // Worded only after errno was read, see check.
  const change = (ret: number, call: string, name: string, object: number | PathArg): void => {
    if (ret >= 0) return;
    const errno = lastErrno();
    throw new SyscallError(`${call}(${name})`, errno, typeof object === "number" ? on(object) : of(object));
  };

  return {
    fgetxattr: (fd, name) => value((b) => c.fgetxattr(fd, cstr(name), b, SIZE), "fgetxattr", on(fd)),
    fsetxattr: (fd, name, v, flags = 0) =>
      change(c.fsetxattr(fd, cstr(name), v, BigInt(v.byteLength), flags), "fsetxattr", name, fd),
    flistxattr: (fd) => names((b) => c.flistxattr(fd, b, SIZE), "flistxattr", on(fd)),
    fremovexattr: (fd, name) => change(c.fremovexattr(fd, cstr(name)), "fremovexattr", name, fd),
    lgetxattr: (p, name) => value((b) => c.lgetxattr(pathBytes(p), cstr(name), b, SIZE), "lgetxattr", of(p)),
    lsetxattr: (p, name, v, flags = 0) =>
      change(c.lsetxattr(pathBytes(p), cstr(name), v, BigInt(v.byteLength), flags), "lsetxattr", name, p),
    llistxattr: (p) => names((b) => c.llistxattr(pathBytes(p), b, SIZE), "llistxattr", of(p)),
    lremovexattr: (p, name) => change(c.lremovexattr(pathBytes(p), cstr(name)), "lremovexattr", name, p),
  };
}
