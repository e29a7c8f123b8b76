/** Which addresses of a network are taken, and which one is next. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { NetworkAttachment } from "../../daemon/spec/container.ts";
import {
  cidrBounds,
  formatCidr,
  formatIp,
  formatMac,
  ipToNumber,
  numberToIp,
  tryParseIp,
  tryParseMac,
} from "../../ffi/ip_address.ts";
import { macOf, type Network, type Subnet } from "./definition.ts";
import type { Lease } from "./leases.ts";

/** Addresses of one subnet. The next one is looked for behind the last, so an address rests before it comes again. */
class SubnetAddresses {
  readonly #subnet: Subnet;
  readonly #first: bigint;
  readonly #last: bigint;
  /** Ends of what is given out unasked. */
  readonly #from: bigint;
  readonly #to: bigint;
  readonly #holders = new Map<bigint, string>();
  /** Those that are never given back. */
  readonly #kept = new Map<bigint, string>();
  #cursor: bigint;

  constructor(subnet: Subnet) {
    this.#subnet = subnet;
    const { first, last } = cidrBounds(subnet.block);
    this.#first = first + 1n;
    this.#last = last - 1n;
    const range = subnet.range === undefined ? { first, last } : cidrBounds(subnet.range);
    this.#from = range.first < this.#first ? this.#first : range.first;
    this.#to = range.last > this.#last ? this.#last : range.last;
    this.#cursor = this.#from - 1n;
    this.#kept.set(ipToNumber(subnet.gateway), "the gateway");
    for (const ip of subnet.reserved) this.#kept.set(ipToNumber(ip), "somebody outside nyx (--aux-address)");
    for (const [n, holder] of this.#kept) this.#holders.set(n, holder);
  }

  hold(ip: string, holder: string): void {
    const bytes = tryParseIp(ip);
    if (bytes === undefined) return;
    const n = ipToNumber(bytes);
    if (!this.#holders.has(n)) this.#holders.set(n, holder);
    if (n > this.#cursor && n <= this.#to) this.#cursor = n;
  }

  free(ip: string): void {
    const bytes = tryParseIp(ip);
    const n = bytes === undefined ? undefined : ipToNumber(bytes);
    if (n === undefined) return;
    const kept = this.#kept.get(n);
    if (kept === undefined) this.#holders.delete(n);
    else this.#holders.set(n, kept);
  }

  /** Whether nothing of what is given out unasked is left. Counting all holders first keeps this cheap. */
  #exhausted(): boolean {
    const size = this.#to - this.#from + 1n;
    if (BigInt(this.#holders.size) < size) return false;
    let taken = 0n;
    for (const n of this.#holders.keys()) if (n >= this.#from && n <= this.#to) taken++;
    return taken >= size;
  }

  next(network: string): string {
    if (this.#exhausted()) {
      const { block, range = block } = this.#subnet;
      throw new NyxError(
        "resource_exhausted",
        `Could not get an address in network ${network}: all ${this.#to - this.#from + 1n} of ${
          formatCidr(range)
        } are ` +
          "taken; remove containers, or make a network with a larger subnet",
        { context: { network } },
      );
    }
    do this.#cursor = this.#cursor >= this.#to ? this.#from : this.#cursor + 1n; while (
      this.#holders.has(this.#cursor)
    );
    return formatIp(numberToIp(this.#cursor, this.#subnet.block.address.length));
  }

  check(field: string, text: string, network: string): string {
    const bytes = tryParseIp(text);
    const n = bytes === undefined ? -1n : ipToNumber(bytes);
    if (bytes?.length !== this.#subnet.block.address.length || n < this.#first || n > this.#last) {
      throw invalid(
        field,
        text,
        `it must be a host address in ${formatCidr(this.#subnet.block)} of network ${network}`,
      );
    }
    const holder = this.#holders.get(n);
    if (holder !== undefined) {
      throw new NyxError(
        "already_exists",
        `Could not give ${text} to a container in network ${network}: ${holder} has it; choose another address`,
        { context: { field, value: text, holder } },
      );
    }
    return formatIp(bytes);
  }
}

/** Addresses of one network, both families. */
export class NetworkAddresses {
  readonly #network: Network;
  readonly #v4: SubnetAddresses | undefined;
  readonly #v6: SubnetAddresses | undefined;

  /** @param network a checked network */
  constructor(network: Network) {
    this.#network = network;
    this.#v4 = network.v4 === undefined ? undefined : new SubnetAddresses(network.v4);
    this.#v6 = network.v6 === undefined ? undefined : new SubnetAddresses(network.v6);
  }

  /** Marks a lease that exists already. */
  hold(lease: Lease, holder: string): void {
    if (lease.ip !== undefined) this.#v4?.hold(lease.ip, holder);
    if (lease.ip6 !== undefined) this.#v6?.hold(lease.ip6, holder);
  }

  /** Gives a lease back. */
  free(lease: Lease): void {
    if (lease.ip !== undefined) this.#v4?.free(lease.ip);
    if (lease.ip6 !== undefined) this.#v6?.free(lease.ip6);
  }

  /**
   * Takes addresses as asked for, else the next free ones. Nothing is taken when it throws.
   *
   * @throws NyxError invalid_argument, already_exists with the holder's name, resource_exhausted
   */
  take(attachment: NetworkAttachment, holder: string): Lease {
    const { name } = this.#network;
    const mac = attachment.mac === undefined ? undefined : parseUnicastMac(attachment.mac);
    if (attachment.ip !== undefined && this.#v4 === undefined) {
      throw invalid("ip", attachment.ip, `network ${name} has no IPv4 subnet`);
    }
    if (attachment.ip6 !== undefined && this.#v6 === undefined) {
      throw invalid("ip6", attachment.ip6, `network ${name} has no IPv6 subnet`);
    }
    const ip = attachment.ip === undefined ? this.#v4?.next(name) : this.#v4?.check("ip", attachment.ip, name);
    const ip6 = attachment.ip6 === undefined ? this.#v6?.next(name) : this.#v6?.check("ip6", attachment.ip6, name);
    const lease: Lease = {
      network: name,
      ...(ip === undefined ? {} : { ip }),
      mac: mac ?? formatMac(macOf(tryParseIp(ip ?? ip6 ?? "") ?? new Uint8Array(4))),
      ...(ip6 === undefined ? {} : { ip6 }),
    };
    this.hold(lease, holder);
    return lease;
  }
}

function parseUnicastMac(text: string): string {
  const mac = tryParseMac(text);
  if (mac === undefined || ((mac[0] ?? 1) & 1) !== 0 || mac.every((b) => b === 0)) {
    throw invalid("mac address", text, "write six hex bytes such as 02:42:ac:11:00:02; multicast and zero are refused");
  }
  return formatMac(mac);
}
