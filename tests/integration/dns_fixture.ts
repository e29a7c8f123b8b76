/** A resolver of nyx on loopback addresses, with upstreams of the test's own. */

import { DnsBackend } from "../../daemon/dns/backend.ts";
import { Logger } from "../../daemon/log/logger.ts";
import { type DnsUpstream, startUpstream } from "../support/dns_upstream.ts";

/** A resolver under test. */
export interface Fixture extends Disposable {
  readonly dns: DnsBackend;
  /** Where networks `red` (which holds 127.0.0.0/8) and `blue` (internal) listen. */
  readonly red: { address: string; port: number };
  readonly blue: { address: string; port: number };
  readonly upstreams: DnsUpstream[];
  readonly resolvConf: string;
  /** Lines logged. */
  readonly log: string[];
}

/** A free port on loopback, for both transports. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  return listener.addr.port;
}

/** Id of the n-th container. */
export function id(n: number): string {
  return n.toString(16).padStart(12, "0").padEnd(64, "e");
}

/**
 * Starts a resolver and its upstreams, on 127.53.x.1, .2 ….
 *
 * @param upstreams how many answer; the host's list begins with `dead` addresses where nobody does
 */
export async function startResolver(options: { upstreams?: number; dead?: number } = {}): Promise<Fixture> {
  const { upstreams: count = 1, dead = 0 } = options;
  const net = `127.${50 + Math.floor(Math.random() * 200)}.${Math.floor(Math.random() * 250)}`;
  const dir = Deno.makeTempDirSync({ prefix: "nyx-dns-" });
  const resolvConf = `${dir}/resolv.conf`;
  const upstreamPort = freePort();
  const port = freePort();
  const upstreams = Array.from({ length: count }, (_, i) => startUpstream(`${net}.${10 + i}`, upstreamPort));
  const addresses = [
    ...Array.from({ length: dead }, (_, i) => `${net}.${200 + i}`),
    ...upstreams.map((u) => u.address),
  ];
  Deno.writeTextFileSync(resolvConf, addresses.map((a) => `nameserver ${a}\n`).join(""));
  const log: string[] = [];
  const dns = new DnsBackend({
    mode: "embedded",
    resolvConfPath: resolvConf,
    log: new Logger("debug", { write: (line) => log.push(new TextDecoder().decode(line)) }),
    port,
    upstreamPort,
  });
  const red = { name: "red", subnet: "127.0.0.0/8", gateway: `${net}.1` };
  const blue = { name: "blue", subnet: "127.0.0.0/8", gateway: `${net}.2`, internal: true };
  await dns.addNetwork(red);
  await dns.addNetwork(blue);
  return {
    dns,
    red: { address: red.gateway, port },
    blue: { address: blue.gateway, port },
    upstreams,
    resolvConf,
    log,
    [Symbol.dispose]: () => {
      dns.close();
      for (const u of upstreams) u[Symbol.dispose]();
      Deno.removeSync(dir, { recursive: true });
    },
  };
}

/** A UDP socket of the test's own on loopback. */
export function openDatagram(): Deno.DatagramConn & Disposable {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  return Object.assign(socket, { [Symbol.dispose]: () => socket.close() });
}
