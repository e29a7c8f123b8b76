/** What all messages of the netfilter protocol begin with (linux/netfilter/nfnetlink.h). */

/** Number of nftables among the subsystems; it is the upper byte of a message's type. */
export const NFNL_SUBSYS_NFTABLES = 10;
/** Length of {@linkcode nfgenmsg}. */
export const NFGENMSG = 4;

/**
 * struct nfgenmsg.
 *
 * @param family address family or NFPROTO_*
 * @param resource number that its field holds in network order; a batch names its subsystem there
 */
export function nfgenmsg(family: number, resource = 0): Uint8Array {
  return Uint8Array.of(family, 0, resource >> 8, resource & 255);
}
