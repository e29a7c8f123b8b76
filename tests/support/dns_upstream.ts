/** A DNS server for tests, in the host's namespace on a loopback address: answers what a test says, and counts. */

import { CLASS_IN, decode, encode, type Message, type Question, replyTo, TYPE } from "../../daemon/dns/message.ts";
import { nameText, tryName } from "../../daemon/dns/name.ts";

/** Raw datagrams to send instead of an answer, each as long as it is; or an answer; or nothing. */
export type Scripted = Message | Uint8Array<ArrayBuffer>[] | undefined;

/** Makes the answer to a question. `asked` is the whole message. */
export type Script = (question: Question, asked: Message, over: "udp" | "tcp") => Scripted | Promise<Scripted>;

/** A running server. */
export interface DnsUpstream extends Disposable {
  readonly address: string;
  readonly port: number;
  /** Names asked so far, as `name type transport`. */
  readonly asked: string[];
  /** Source ports and ids seen over UDP. */
  readonly seen: { port: number; id: number }[];
  script: Script;
}

/** Reply with A records of `name`. */
export function withAddresses(asked: Message, addresses: string[], ttl = 60): Message {
  const reply = replyTo(asked, 0);
  const name = asked.questions[0]?.name ?? "";
  reply.answers = addresses.map((ip) => ({
    name,
    type: TYPE.A,
    class: CLASS_IN,
    ttl,
    data: [Uint8Array.from(ip.split(".").map(Number))],
  }));
  return reply;
}

/** Reply that says there is no such name, with an SOA of the given negative time to live. */
export function withoutName(asked: Message, negativeTtl: number): Message {
  const reply = replyTo(asked, 3);
  const numbers = new Uint8Array(20);
  new DataView(numbers.buffer).setUint32(16, negativeTtl);
  reply.authority = [{
    name: tryName("example") ?? "",
    type: TYPE.SOA,
    class: CLASS_IN,
    ttl: negativeTtl,
    data: ["", "", numbers],
  }];
  return reply;
}

/** Starts one on `address`, with every answer 192.0.2.1 until a script is set. */
export function startUpstream(address: string, port = 0): DnsUpstream {
  const udp = Deno.listenDatagram({ transport: "udp", hostname: address, port });
  const bound = udp.addr.transport === "udp" ? udp.addr.port : 0;
  const tcp = Deno.listen({ hostname: address, port: bound });
  const conns = new Set<Deno.Conn>();
  const server: DnsUpstream = {
    address,
    port: bound,
    asked: [],
    seen: [],
    script: (_, asked) => withAddresses(asked, ["192.0.2.1"]),
    [Symbol.dispose]: () => {
      udp.close();
      tcp.close();
      for (const c of conns) c.close();
    },
  };
  const run = async (bytes: Uint8Array, over: "udp" | "tcp"): Promise<Uint8Array<ArrayBuffer>[]> => {
    const asked = decode(bytes);
    const [question] = asked.questions;
    if (question === undefined) return [];
    server.asked.push(`${nameText(question.name)} ${question.type} ${over}`);
    const answer = await server.script(question, asked, over);
    return answer === undefined ? [] : Array.isArray(answer) ? answer : [encode(answer)];
  };
  const serveUdp = async () => {
    for await (const [bytes, from] of udp) {
      const copy = bytes.slice();
      if (from.transport === "udp") server.seen.push({ port: from.port, id: (copy[0] ?? 0) << 8 | (copy[1] ?? 0) });
      void run(copy, "udp").then(async (all) => {
        for (const one of all) await udp.send(one, from).catch(() => {});
      });
    }
  };
  const serveTcp = async () => {
    for await (const conn of tcp) {
      conns.add(conn);
      void (async () => {
        const buffer = new Uint8Array(4096);
        const n = await conn.read(buffer).catch(() => null);
        if (n === null) return;
        for (const one of await run(buffer.slice(2, n), "tcp")) {
          await conn.write(Uint8Array.from([one.length >> 8, one.length & 255, ...one])).catch(() => {});
        }
      })();
    }
  };
  void serveUdp().catch(() => {});
  void serveTcp().catch(() => {});
  return server;
}
