/** What becomes of a question: refused, answered from nyx's zones, or forwarded. */

import type { Forwarder } from "./forwarder.ts";
import { answerLocally } from "./local.ts";
import {
  CLASS_IN,
  decode,
  HEADER_LENGTH,
  type Message,
  query,
  type Question,
  RCODE,
  type Reply,
  replyTo,
  TYPE,
} from "./message.ts";
import { FormatError, lower } from "./name.ts";
import type { Zones } from "./zones.ts";

/** Where a question came from. */
export interface Source {
  /** Network whose gateway was asked. */
  network: string;
  /** Address of the client. */
  client: string;
}

/** Query types that are no question about a name. */
const REFUSED_TYPES = new Set<number>([TYPE.AXFR, TYPE.IXFR, TYPE.OPT, 253, 254]);
/** Types that are asked of single-label names by programs that look for a host. */
const HOST_TYPES = new Set<number>([TYPE.A, TYPE.AAAA, TYPE.ANY]);

/** Answers questions. */
export class Resolver {
  readonly #zones: Zones;
  readonly #forwarder: Forwarder;

  /**
   * @param zones nyx's own names
   * @param forwarder for all others
   */
  constructor(zones: Zones, forwarder: Forwarder) {
    this.#zones = zones;
    this.#forwarder = forwarder;
  }

  /**
   * The reply to a message.
   *
   * @param bytes what a client sent
   * @returns undefined when there must be none: to an answer, to what is too short to have an id, and while it cannot be known
   */
  respond(bytes: Uint8Array, source: Source): Reply | Promise<Reply> | undefined {
    if (bytes.length < HEADER_LENGTH || ((bytes[2] ?? 0) & 0x80) !== 0) return undefined;
    let asked: Message;
    try {
      asked = decode(bytes);
    } catch (e) {
      if (!(e instanceof FormatError)) throw e;
      return malformed(bytes);
    }
    const [question] = asked.questions;
    if (asked.opcode !== 0) return replyTo({ ...asked, questions: [] }, RCODE.NOTIMP);
    if (question === undefined || asked.questions.length > 1) {
      return replyTo({ ...asked, questions: [] }, RCODE.FORMERR);
    }
    if ((asked.edns?.version ?? 0) > 0) return replyTo(asked, RCODE.BADVERS);
    if (question.class !== CLASS_IN || REFUSED_TYPES.has(question.type)) return replyTo(asked, RCODE.REFUSED);
    return this.#answer(asked, question, source);
  }

  #answer(asked: Message, question: Question, { network, client }: Source): Reply | Promise<Reply> | undefined {
    const name = lower(question.name);
    const lookup = this.#zones.lookup(network, client, name);
    if (lookup.found !== undefined || lookup.local) return answerLocally(asked, question, lookup);
    const single = name !== "" && name.length === 1 + name.charCodeAt(0);
    const may = this.#zones.mayForward(network, client);
    if (may === "unknown") return undefined;
    if (!may || (single && HOST_TYPES.has(question.type))) {
      return answerLocally(asked, question, { local: true, zone: "" });
    }
    if (!asked.recursionDesired) return replyTo(asked, RCODE.REFUSED);
    return this.#forwarder.forward(asked, question, client);
  }
}

function malformed(bytes: Uint8Array): Reply {
  const id = (bytes[0] ?? 0) << 8 | (bytes[1] ?? 0);
  const opcode = (bytes[2] ?? 0) >> 3 & 15;
  const asked = { ...query(id, { name: "", type: 0, class: 0 }), opcode, questions: [] };
  return replyTo(asked, RCODE.FORMERR);
}
