/**
 * What the extract worker may do, and how to start it with no more than that. It gets to files by libc alone, so it needs no read or
 * write permission of the runtime's; that a worker with libc is confined by nothing but its code is why archives go through
 * RESOLVE_IN_ROOT.
 */

const DIRECTORIES = Deno.build.arch === "aarch64"
  ? { libc: "/lib/aarch64-linux-gnu", other: "/usr/lib/aarch64-linux-gnu" }
  : { libc: "/lib/x86_64-linux-gnu", other: "/usr/lib/x86_64-linux-gnu" };

/** Libraries the worker opens: libc, and ISA-L and zstd where they are installed. The daemon must hold ffi permission for them. */
export const EXTRACT_LIBRARIES: readonly string[] = [
  `${DIRECTORIES.libc}/libc.so.6`,
  "/lib64/libc.so.6",
  ...[DIRECTORIES.other, "/usr/lib64"].flatMap((dir) =>
    ["libisal.so.2.0.30", "libisal.so.2.0.31", "libzstd.so.1"].map((name) => `${dir}/${name}`)
  ),
];

/** Permissions of the extract worker: ffi for {@linkcode EXTRACT_LIBRARIES}, and nothing else. */
export function extractPermissions(): Deno.PermissionOptionsObject {
  return {
    ffi: [...EXTRACT_LIBRARIES],
    read: false,
    write: false,
    net: false,
    run: false,
    env: false,
    sys: false,
    import: false,
  };
}

/** Starts an extract worker under {@linkcode extractPermissions}. */
export function startExtractWorker(): Worker {
  return new Worker(new URL("./main.ts", import.meta.url), {
    type: "module",
    deno: { permissions: extractPermissions() },
  });
}
