/** Connection tracking: finds and forgets entries over nfnetlink (linux/netfilter/nfnetlink_conntrack.h). */

import type { IpBytes } from "../ip_address.ts";
import { AF_INET, AF_INET6, type SocketKernel } from "../socket.ts";
import { Attributes, type NetlinkMessage } from "./codec.ts";
import { nfgenmsg } from "./nfnetlink.ts";
import { NETLINK_NETFILTER, NetlinkError, type NetlinkRequest, NetlinkSocket } from "./socket.ts";

const SUBSYS_CTNETLINK = 1 << 8;
const IPCTNL_MSG_CT_GET = SUBSYS_CTNETLINK | 1;
const IPCTNL_MSG_CT_DELETE = SUBSYS_CTNETLINK | 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_PROTOINFO = 4;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
/** Of the flags of a filter: the source address counts. */
const CTA_FILTER_F_IP_SRC = 1;
const CTA_PROTOINFO_TCP = 1;
const CTA_PROTOINFO_TCP_STATE = 1;
const IPS_SEEN_REPLY = 1 << 1;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;

/** One direction of a tracked connection. */
export interface FlowTuple {
  source: IpBytes;
  destination: IpBytes;
  /** IP protocol number. */
  protocol: number;
  /** 0 for protocols without ports. */
  sourcePort: number;
  destinationPort: number;
}

/** A tracked connection: as the first packet looked, and as answers look. */
export interface Flow {
  original: FlowTuple;
  reply: FlowTuple;
}

function parseTuple(attributes: Attributes): FlowTuple | undefined {
  const ip = attributes.nested(CTA_TUPLE_IP);
  const proto = attributes.nested(CTA_TUPLE_PROTO);
  const source = ip.bytes(CTA_IP_V4_SRC) ?? ip.bytes(CTA_IP_V6_SRC);
  const destination = ip.bytes(CTA_IP_V4_DST) ?? ip.bytes(CTA_IP_V6_DST);
  const protocol = proto.u8(CTA_PROTO_NUM);
  if (source === undefined || destination === undefined || protocol === undefined) return undefined;
  const sourcePort = proto.be16(CTA_PROTO_SRC_PORT) ?? 0;
  return { source, destination, protocol, sourcePort, destinationPort: proto.be16(CTA_PROTO_DST_PORT) ?? 0 };
}

function deleteRequest(message: NetlinkMessage): NetlinkRequest {
  const attributes = new Attributes(message.payload, 4);
  const family = message.payload[0] ?? AF_INET;
  return {
    name: "IPCTNL_MSG_CT_DELETE",
    type: IPCTNL_MSG_CT_DELETE,
    flags: 0,
    write: (w) => {
      w.header(nfgenmsg(family));
      for (const type of [CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE]) {
        const value = attributes.bytes(type);
        if (value !== undefined) w.bytes(type === CTA_TUPLE_ORIG ? type | 0x8000 : type, value);
      }
    },
  };
}

/** A flow with what is known of its state. */
export interface TrackedFlow extends Flow {
  /** Both directions have been seen. */
  replied: boolean;
  /** State of a TCP connection: linux/netfilter/nf_conntrack_tcp.h. */
  tcpState?: number;
}

/** Connection tracking table of the network namespace in which it was opened. */
export class Conntrack extends NetlinkSocket {
  /** @param kernel where to open the socket */
  constructor(kernel: SocketKernel) {
    super(kernel, NETLINK_NETFILTER);
  }

  /**
   * Flows whose answers come from an address. Of IPv4 the kernel leaves the others out, from Linux 5.8; of IPv6 its filter leaves out
   * those that match (seen on 6.18), so there, and before 5.8, they are left out here. One call at a time.
   */
  async answeredBy(ip: IpBytes): Promise<TrackedFlow[]> {
    const four = ip.length === 4;
    const messages = await this.dumpAsync({
      name: "IPCTNL_MSG_CT_GET",
      type: IPCTNL_MSG_CT_GET,
      flags: 0,
      write: (w) => {
        w.header(nfgenmsg(four ? AF_INET : AF_INET6));
        if (!four) return;
        w.nest(CTA_TUPLE_REPLY, () => {
          w.nest(CTA_TUPLE_IP, () => w.bytes(CTA_IP_V4_SRC, ip));
        });
        w.nest(CTA_FILTER, () => {
          w.u32(CTA_FILTER_ORIG_FLAGS, 0);
          w.u32(CTA_FILTER_REPLY_FLAGS, CTA_FILTER_F_IP_SRC);
        });
      },
    });
    const wanted = ip.join();
    return messages.flatMap((message): TrackedFlow[] => {
      const attributes = new Attributes(message.payload, 4);
      const original = parseTuple(attributes.nested(CTA_TUPLE_ORIG));
      const reply = parseTuple(attributes.nested(CTA_TUPLE_REPLY));
      if (original === undefined || reply?.source.join() !== wanted) return [];
      const tcpState = attributes.nested(CTA_PROTOINFO).nested(CTA_PROTOINFO_TCP).u8(CTA_PROTOINFO_TCP_STATE);
      const status = attributes.be32(CTA_STATUS) ?? 0;
      return [{
        original,
        reply,
        replied: (status & IPS_SEEN_REPLY) !== 0,
        ...(tcpState === undefined ? {} : { tcpState }),
      }];
    });
  }

  /**
   * Forgets every flow of a family that `match` picks; one that ended meanwhile is no error. Finding them walks the whole
   * table of the machine, about 10 ms for its default size, on a pool thread. One call at a time.
   *
   * @returns how many were forgotten
   */
  async forget(family: 4 | 6, match: (flow: Flow) => boolean): Promise<number> {
    const messages = await this.dumpAsync({
      name: "IPCTNL_MSG_CT_GET",
      type: IPCTNL_MSG_CT_GET,
      flags: 0,
      write: (w) => w.header(nfgenmsg(family === 4 ? AF_INET : AF_INET6)),
    });
    let forgotten = 0;
    for (const message of messages) {
      const attributes = new Attributes(message.payload, 4);
      const original = parseTuple(attributes.nested(CTA_TUPLE_ORIG));
      const reply = parseTuple(attributes.nested(CTA_TUPLE_REPLY));
      if (original === undefined || reply === undefined || !match({ original, reply })) continue;
      try {
        this.run(deleteRequest(message));
        forgotten++;
      } catch (e) {
        if (!(e instanceof NetlinkError && e.code === "ENOENT")) throw e;
      }
    }
    return forgotten;
  }
}
