/** What the network worker may do, in Deno's terms. It has FFI to libc and is root: this documents its reach, it confines little. */

/**
 * Permissions of the network worker of one daemon.
 *
 * - ffi: libc for sockets, namespaces and mounts, libnftables for rules; whole, because reading memory behind a pointer
 *   (errno, nft's output) cannot be granted by path
 * - read, write: the lease file and the pinned namespaces; read of the nft program's path
 * - run: nft, only where libnftables is missing
 *
 * Nothing is asked of env, net or sys: sockets are opened by libc.
 *
 * @param baseDir daemon's base directory, absolute
 */
export function networkPermissions(baseDir: string): Deno.PermissionOptionsObject {
  const programs = ["/usr/sbin/nft", "/sbin/nft"];
  return {
    ffi: true,
    read: [`${baseDir}/network`, `${baseDir}/run/netns`, ...programs],
    write: [`${baseDir}/network`, `${baseDir}/run/netns`],
    run: programs,
    env: false,
    net: false,
    sys: false,
    import: false,
  };
}
