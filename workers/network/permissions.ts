/** What the network worker may do, in Deno's terms. It has FFI to libc and is root: this documents its reach, it confines little. */

/**
 * Permissions of the network worker of one daemon.
 *
 * - ffi: libc for sockets, namespaces and mounts, libnftables for rules, by their absolute paths
 * - read, write: the lease file and the pinned namespaces; read of the nft program's path
 * - run: nft, only where libnftables is missing
 *
 * Nothing is asked of env, net or sys: sockets are opened by libc.
 *
 * @param baseDir daemon's base directory, absolute
 */
export function networkPermissions(baseDir: string): Deno.PermissionOptionsObject {
  const programs = ["/usr/sbin/nft", "/sbin/nft"];
  const multiarch = `${Deno.build.arch}-linux-gnu`;
  return {
    ffi: [
      `/lib/${multiarch}/libc.so.6`,
      "/lib64/libc.so.6",
      `/usr/lib/${multiarch}/libnftables.so.1`,
      "/usr/lib64/libnftables.so.1",
    ],
    read: [`${baseDir}/network`, `${baseDir}/run/netns`, ...programs],
    write: [`${baseDir}/network`, `${baseDir}/run/netns`],
    run: programs,
    env: false,
    net: false,
    sys: false,
    import: false,
  };
}
