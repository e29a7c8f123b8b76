/**
 * The one error family of nyx: what crosses threads, the HTTP API and the terminal.
 *
 * Codes follow the canonical RPC status codes. An error says what was attempted, the value, the state and the fix.
 */

/** The closed set of error classes. Every failure anywhere in nyx is one of these. */
export const ERROR_CODES = [
  "invalid_argument",
  "not_found",
  "already_exists",
  "failed_precondition",
  "unauthenticated",
  "permission_denied",
  "resource_exhausted",
  "unavailable",
  "deadline_exceeded",
  "canceled",
  "data_loss",
  "unimplemented",
  "internal",
] as const;

/** One of {@linkcode ERROR_CODES}. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** HTTP status for each error code (RFC 9110 semantics; 499 is the customary "client closed request"). */
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_argument: 400,
  not_found: 404,
  already_exists: 409,
  failed_precondition: 409,
  unauthenticated: 401,
  permission_denied: 403,
  resource_exhausted: 507,
  unavailable: 503,
  deadline_exceeded: 504,
  canceled: 499,
  data_loss: 502,
  unimplemented: 501,
  internal: 500,
};

/** An error as plain data: survives postMessage and JSON, unlike an Error subclass. */
export interface ErrorData {
  /** Error class. */
  code: ErrorCode;
  /** Sentence for a person: attempted action, value, state, fix. */
  message: string;
  /** Operation during which it happened, such as `extract.layer`. */
  op?: string;
  /** Small machine-readable facts (field, value, id, digest, exitCode…). Never credentials. */
  context?: Record<string, string | number | boolean>;
  /** System call that failed, such as `mount`. */
  syscall?: string;
  /** errno name of that call, such as `ENOSPC`. */
  errno?: string;
  /** Whether the same request may succeed when repeated. */
  retryable?: boolean;
  /** What lay beneath. */
  cause?: ErrorData;
}

/** Fields of a {@linkcode NyxError} beside code and message. */
export type ErrorDetails = Omit<ErrorData, "code" | "message" | "cause"> & { cause?: unknown };

/** The Error subclass that carries {@linkcode ErrorData} inside one thread. */
export class NyxError extends Error {
  /** Tells it from other errors where `instanceof` cannot, such as across module copies. */
  override readonly name = "NyxError";
  /** Error class. */
  readonly code: ErrorCode;
  /** The other fields. */
  readonly details: ErrorDetails;

  /**
   * Makes an error; {@linkcode fromErrorData} makes one from plain data.
   *
   * @param code error class
   * @param message attempted action, value, state, fix
   * @param details op, context, syscall, errno, retryable, cause
   */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.details = details;
  }
}

/** Shape of an error thrown by the kernel edge, matched structurally so that this module imports nothing. */
interface SyscallLike {
  syscall: string;
  errno: number;
  code: string;
}

function isSyscallLike(e: unknown): e is Error & SyscallLike {
  return e instanceof Error && typeof (e as Partial<SyscallLike>).syscall === "string" &&
    typeof (e as Partial<SyscallLike>).code === "string" && typeof (e as Partial<SyscallLike>).errno === "number";
}

const ERRNO_CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "not_found",
  EEXIST: "already_exists",
  EPERM: "permission_denied",
  EACCES: "permission_denied",
  ENOSPC: "resource_exhausted",
  EDQUOT: "resource_exhausted",
  EMFILE: "resource_exhausted",
  ENFILE: "resource_exhausted",
  ENOMEM: "resource_exhausted",
  EBUSY: "failed_precondition",
  EROFS: "failed_precondition",
};

/**
 * Turns anything thrown into plain {@linkcode ErrorData}.
 *
 * @param e what was thrown: NyxError, a syscall error, an AbortError, a Deno error, or anything
 * @param op operation to record when the error names none
 */
export function toErrorData(e: unknown, op?: string): ErrorData {
  if (e instanceof NyxError) {
    const { cause, ...rest } = e.details;
    const data: ErrorData = { code: e.code, message: e.message, ...rest };
    if (data.op === undefined && op !== undefined) data.op = op;
    if (cause !== undefined) data.cause = toErrorData(cause);
    return data;
  }
  const base: { op?: string } = op === undefined ? {} : { op };
  if (isSyscallLike(e)) {
    return {
      code: ERRNO_CODES[e.code] ?? "internal",
      message: e.message,
      syscall: e.syscall,
      errno: e.code,
      ...base,
    };
  }
  if (e instanceof Error) {
    if (e.name === "AbortError") return { code: "canceled", message: e.message || "Canceled", ...base };
    if (e.name === "TimeoutError") return { code: "deadline_exceeded", message: e.message, ...base };
    const code: ErrorCode = e instanceof Deno.errors.NotFound
      ? "not_found"
      : e instanceof Deno.errors.AlreadyExists
      ? "already_exists"
      : e instanceof Deno.errors.PermissionDenied || e instanceof Deno.errors.NotCapable
      ? "permission_denied"
      : "internal";
    return { code, message: e.message, ...base };
  }
  return { code: "internal", message: String(e), ...base };
}

/** Rebuilds a {@linkcode NyxError} from plain data, causes included. */
export function fromErrorData(data: ErrorData): NyxError {
  const { code, message, cause, ...rest } = data;
  return new NyxError(code, message, cause === undefined ? rest : { ...rest, cause: fromErrorData(cause) });
}

/** The NyxError that stands for whatever was thrown; a NyxError is returned as it is. */
export function toNyxError(e: unknown, op?: string): NyxError {
  return e instanceof NyxError ? e : fromErrorData(toErrorData(e, op));
}

/** Error for a malformed or unacceptable value: names the field, the value and the fix. */
export function invalid(field: string, value: unknown, fix: string): NyxError {
  const shown = typeof value === "string" ? value : JSON.stringify(value) ?? String(value);
  const short = shown.length > 200 ? `${shown.slice(0, 200)}…` : shown;
  return new NyxError("invalid_argument", `Invalid ${field} ${JSON.stringify(short)}: ${fix}`, {
    context: { field, value: short },
  });
}
