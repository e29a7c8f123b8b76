/**
 * Connections that share an interface of the host (macvlan, ipvlan): the container is on the host's own LAN, with an address there
 * and no bridge of nyx in between. The kernel lets it and the host not reach each other through the interface they share.
 */

import { NyxError } from "../../daemon/spec/errors.ts";
import { isErrno } from "../../ffi/errno.ts";
import { tryParseMac } from "../../ffi/ip_address.ts";
import { deleteLink, newSubLink, setLink } from "../../ffi/netlink/requests.ts";
import type { Link, RtNetlink } from "../../ffi/netlink/rtnetlink.ts";
import { IFF_LOOPBACK, IFF_UP } from "../../ffi/netlink/rtnetlink_constants.ts";
import { modeNumber, type Network } from "./definition.ts";
import type { Bridge } from "./host.ts";
import type { Lease } from "./leases.ts";
import type { Netns } from "./pool.ts";

/**
 * What an interface is called until it has its name. Linux before 6.14 takes the name of a new one for taken when a link of the
 * namespace that asks has it, though it is to be made in another: and most hosts have an eth0.
 */
const NEW_NAME = "nyxnew0";

function refuse(network: Network, why: string): NyxError {
  return new NyxError(
    "failed_precondition",
    `Could not use network ${network.name}: its parent ${network.parent} ${why}`,
    {
      context: { network: network.name, parent: network.parent ?? "" },
    },
  );
}

function parentOf(rt: RtNetlink, network: Network): Link {
  const link = rt.link(network.parent ?? "");
  if (link === undefined) {
    throw refuse(
      network,
      'is no interface of this host; see "ip link" (a VLAN is made with: ip link add link eth0 name eth0.7 type vlan id 7)',
    );
  }
  if ((link.flags & IFF_LOOPBACK) !== 0) throw refuse(network, "is the loopback; name one that leads to a LAN");
  return link;
}

/** The interface that a network shares, as it is now. Not nyx's, so it is never taken away. */
export function findParent(rt: RtNetlink, network: Network): Bridge {
  const { index, mac } = parentOf(rt, network);
  return { index, owned: false, mac };
}

/** Gives a new interface its name; one that cannot have it goes again. */
function rename(rt: RtNetlink, name: string): void {
  const made = rt.link(NEW_NAME);
  if (made === undefined) throw new NyxError("unavailable", `Interface ${NEW_NAME} went away while it was set up`);
  try {
    rt.run(setLink(made.index, { name }));
  } catch (e) {
    rt.run(deleteLink(made.index));
    throw e;
  }
}

/** Makes a container's interface; up and addresses are the caller's. */
export function makeSubLink(
  home: RtNetlink,
  { network, lease, name, netns }: { network: Network; lease: Lease; name: string; netns: Netns },
): void {
  const parent = parentOf(home, network);
  if ((parent.flags & IFF_UP) === 0) throw refuse(network, `is down; run: ip link set ${network.parent} up`);
  const kind = network.driver === "ipvlan" ? "ipvlan" : "macvlan";
  const mac = kind === "macvlan" ? tryParseMac(lease.mac) : undefined;
  const halfMade = netns.rt.link(NEW_NAME);
  if (halfMade !== undefined) netns.rt.run(deleteLink(halfMade.index));
  try {
    home.run(newSubLink({
      kind,
      name: NEW_NAME,
      parent: parent.index,
      netnsFd: netns.fd,
      mode: modeNumber(network),
      ...(mac === undefined ? {} : { mac }),
      ...(network.mtu === undefined ? {} : { mtu: network.mtu }),
    }));
  } catch (e) {
    if (isErrno(e, "EOPNOTSUPP")) {
      throw new NyxError("failed_precondition", `Could not use network ${network.name}: this kernel has no ${kind}`);
    }
    if (isErrno(e, "EBUSY")) {
      throw refuse(
        network,
        "is in use in another way, such as by the other of macvlan and ipvlan, or in mode passthru",
      );
    }
    throw e;
  }
  rename(netns.rt, name);
}
