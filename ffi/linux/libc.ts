/**
 * The way into libc: opens it, encodes C strings, and turns -1 into a SyscallError.
 *
 * errno is thread-local and this module is instantiated once per thread (main or worker), so the address that
 * `__errno_location` gives is taken once; reading it is the very next foreign call, so that nothing can overwrite it. After a
 * nonblocking call errno belongs to a pool thread and is not read at all.
 */

import { SyscallError } from "../errno.ts";
import type { PathArg } from "../file.ts";

/** Candidate absolute paths of the C library; a worker with scoped ffi permission must be granted these. */
export const LIBC_PATHS: readonly string[] = Deno.build.arch === "aarch64"
  ? ["/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6"]
  : ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"];

/**
 * Opens the first library of `paths` that loads.
 *
 * @throws Error naming every path tried and why it failed
 */
export function openLibrary<S extends Deno.ForeignLibraryInterface>(
  paths: readonly string[],
  symbols: S,
): Deno.DynamicLibrary<S> {
  const failures: string[] = [];
  for (const path of paths) {
    try {
      return Deno.dlopen(path, symbols);
    } catch (e) {
      failures.push(`${path}: ${e instanceof Error ? e.message : String(e)}`);
    }
  }
  throw new Error(`Could not load a shared library; tried ${failures.join("; ")}`);
}

/** Opens libc with the given symbols. */
export function openLibc<S extends Deno.ForeignLibraryInterface>(symbols: S): Deno.DynamicLibrary<S> {
  return openLibrary(LIBC_PATHS, symbols);
}

const base = openLibc({
  __errno_location: { parameters: [], result: "pointer" },
  strlen: { parameters: ["pointer"], result: "usize" },
  copyOut: { name: "memcpy", parameters: ["buffer", "pointer", "usize"], result: "void" },
  address: { name: "memcpy", parameters: ["buffer", "buffer", "usize"], result: "usize" },
}).symbols;
const location = base.__errno_location();
if (location === null) throw new Error("__errno_location returned null");
const errnoCopy = new Int32Array(1);

/*
 * Memory is read and addresses are taken by memcpy, because Deno.UnsafePointer and UnsafePointerView ask for permission to
 * load any library, while nyxd holds it for those that it names.
 */

/** Address of a view's bytes, for a structure that holds pointers. The view must be kept until the call is over. */
export function addressOf(view: Uint8Array<ArrayBuffer> | BigUint64Array<ArrayBuffer>): bigint {
  if (view.byteLength === 0) return 0n;
  // Asking for the buffer moves a small array off the collected heap, so that its address stays.
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  return BigInt(base.address(bytes, bytes, 0n));
}

/** Text of a NUL-terminated string that a library returned; "" for a null pointer. */
export function stringAt(pointer: Deno.PointerValue): string {
  if (pointer === null) return "";
  const bytes = new Uint8Array(Number(base.strlen(pointer)));
  base.copyOut(bytes, pointer, BigInt(bytes.length));
  return new TextDecoder().decode(bytes);
}

/** errno of the calling thread as the last synchronous foreign call left it. */
export function lastErrno(): number {
  base.copyOut(errnoCopy, location, 4n);
  return errnoCopy[0] ?? 0;
}

/** A path for an error message. */
export function pathText(path: PathArg): string {
  if (typeof path === "string") return path;
  return new TextDecoder().decode(path.at(-1) === 0 ? path.subarray(0, -1) : path);
}

/** A path below a descriptor for an error message. */
export function subject(dirFd: number, path: PathArg): string {
  const text = pathText(path);
  return dirFd < 0 || text.startsWith("/") ? text : `fd ${dirFd}/${text}`;
}

/*
 * What a call was about is put into words only once it has failed and errno has been read: anything that allocates between a
 * call and the read may run the collector, whose threads' futexes leave an EAGAIN in errno.
 */
function failed(call: string, at?: number | string, path?: PathArg): SyscallError {
  const errno = lastErrno();
  if (typeof at === "string") return new SyscallError(call, errno, at);
  if (path === undefined) return new SyscallError(call, errno, at === undefined ? undefined : `fd ${at}`);
  return new SyscallError(call, errno, subject(at ?? -1, path));
}

/**
 * Returns `ret`, or throws the SyscallError of errno when it is negative. `ret` must come from a synchronous call.
 *
 * @param at what the call was about in words, or its descriptor
 * @param path path below the descriptor `at` (-1 for none)
 */
export function check(ret: number, call: string, at?: number | string, path?: PathArg): number {
  if (ret < 0) throw failed(call, at, path);
  return ret;
}

/** As {@linkcode check}, for calls that return ssize_t or long as bigint; the result must fit a safe integer. */
export function checkBig(ret: bigint, call: string, at?: number | string, path?: PathArg): number {
  if (ret < 0n) throw failed(call, at, path);
  return Number(ret);
}

const encoder = new TextEncoder();

/**
 * NUL-terminated bytes of a string for a `buffer` parameter.
 *
 * @throws SyscallError EINVAL when the string holds a NUL, which would silently shorten a path
 */
export function cstr(s: string): Uint8Array<ArrayBuffer> {
  if (s.includes("\0")) throw new SyscallError("cstr", 22, s);
  const bytes = new Uint8Array(s.length * 3 + 1);
  const { written } = encoder.encodeInto(s, bytes);
  return bytes.subarray(0, written + 1);
}
