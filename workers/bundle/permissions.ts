/** What the bundle worker may do: write bundles and nothing else. It holds no secret and reaches no kernel interface. */

/**
 * Permissions for `new Worker(url, { type: "module", deno: { permissions } })`. The daemon must hold them itself, and
 * deno.json must enable `worker-options`.
 *
 * @param bundlesDir absolute path of bundles/ below the base directory
 */
export function bundlePermissions(bundlesDir: string): Deno.PermissionOptionsObject {
  return {
    read: [bundlesDir],
    write: [bundlesDir],
    ffi: false,
    run: false,
    net: false,
    env: false,
    sys: false,
    import: false,
  };
}
