/** errno numbers and names (asm-generic/errno.h: the same on x86-64 and arm64), and the error a failed system call throws. */

const NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  7: "E2BIG",
  8: "ENOEXEC",
  9: "EBADF",
  10: "ECHILD",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  15: "ENOTBLK",
  16: "EBUSY",
  17: "EEXIST",
  18: "EXDEV",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  25: "ENOTTY",
  26: "ETXTBSY",
  27: "EFBIG",
  28: "ENOSPC",
  29: "ESPIPE",
  30: "EROFS",
  31: "EMLINK",
  32: "EPIPE",
  33: "EDOM",
  34: "ERANGE",
  35: "EDEADLK",
  36: "ENAMETOOLONG",
  37: "ENOLCK",
  38: "ENOSYS",
  39: "ENOTEMPTY",
  40: "ELOOP",
  61: "ENODATA",
  62: "ETIME",
  71: "EPROTO",
  75: "EOVERFLOW",
  84: "EILSEQ",
  88: "ENOTSOCK",
  89: "EDESTADDRREQ",
  90: "EMSGSIZE",
  92: "ENOPROTOOPT",
  93: "EPROTONOSUPPORT",
  95: "EOPNOTSUPP",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  100: "ENETDOWN",
  101: "ENETUNREACH",
  103: "ECONNABORTED",
  104: "ECONNRESET",
  105: "ENOBUFS",
  106: "EISCONN",
  107: "ENOTCONN",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  113: "EHOSTUNREACH",
  114: "EALREADY",
  115: "EINPROGRESS",
  116: "ESTALE",
  122: "EDQUOT",
  125: "ECANCELED",
};

/** Name of an errno number, such as `ENOENT`; `E<number>` for one not in the table. */
export function errnoName(errno: number): string {
  return NAMES[errno] ?? `E${errno}`;
}

/** Number of an errno name; undefined for an unknown name. */
export function errnoNumber(name: string): number | undefined {
  for (const [n, s] of Object.entries(NAMES)) if (s === name) return Number(n);
  return undefined;
}

/** A system call returned an error. `code` is the errno name, `errno` its number, `subject` the path or object. */
export class SyscallError extends Error {
  override readonly name = "SyscallError";
  /** errno name, such as `ENOENT`. */
  readonly code: string;

  /**
   * @param syscall name of the call, such as `openat2`
   * @param errno positive errno number
   * @param subject path, interface or other object the call was about
   */
  constructor(readonly syscall: string, readonly errno: number, readonly subject?: string) {
    super(`${syscall}${subject === undefined ? "" : ` ${JSON.stringify(subject)}`} failed: ${errnoName(errno)}`);
    this.code = errnoName(errno);
  }
}

/** Whether `e` is a SyscallError with one of the given errno names. */
export function isErrno(e: unknown, ...codes: string[]): e is SyscallError {
  return e instanceof SyscallError && codes.includes(e.code);
}
