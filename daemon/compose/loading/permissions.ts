/** What the worker that reads compose files may do: nothing, beside two variables that the YAML parser asks for. */

/** Starts it. The daemon must hold the permissions itself, and deno.json must enable `worker-options`. */
export function startLoadingWorker(): Worker {
  return new Worker(new URL("./main.ts", import.meta.url), {
    type: "module",
    deno: { permissions: LOADING_PERMISSIONS },
  });
}

/** Its permissions. */
export const LOADING_PERMISSIONS: Deno.PermissionOptionsObject = {
  env: ["LOG_STREAM", "LOG_TOKENS"],
  ffi: false,
  import: false,
  net: false,
  read: false,
  run: false,
  sys: false,
  write: false,
};
