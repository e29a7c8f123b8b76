/** Answers from nyx's own zones. */

import type { LocalRecords, Lookup } from "./zones.ts";
import {
  CLASS_IN,
  type Message,
  type Question,
  RCODE,
  type Reply,
  replyTo,
  type ResourceRecord,
  TYPE,
} from "./message.ts";
import { type Name, tryName } from "./name.ts";

/** Time to live of a container's records, seconds. */
export const LOCAL_TTL = 30;
/** How long "no such name" holds, seconds: a container may start at any moment. */
export const NEGATIVE_TTL = 1;

const MNAME = tryName("ns.nyxd.local") ?? "";
const RNAME = tryName("nobody.invalid") ?? "";
/** Serial, refresh, retry, expire, minimum; only the minimum means something here (RFC 2308). */
const SOA_NUMBERS = Uint8Array.of(0, 0, 0, 1, 0, 0, 14, 16, 0, 0, 2, 88, 0, 1, 81, 128, 0, 0, 0, NEGATIVE_TTL);

/** The SOA record that tells a resolver how long it may remember a negative answer. */
export function soa(zone: Name): ResourceRecord {
  return { name: zone, type: TYPE.SOA, class: CLASS_IN, ttl: NEGATIVE_TTL, data: [MNAME, RNAME, SOA_NUMBERS] };
}

function recordsFor(question: Question, found: LocalRecords): ResourceRecord[] {
  const { name, type } = question;
  const record = (t: number, data: Uint8Array | Name): ResourceRecord => ({
    name,
    type: t,
    class: CLASS_IN,
    ttl: LOCAL_TTL,
    data: [data],
  });
  const records: ResourceRecord[] = [];
  const any = type === TYPE.ANY;
  if (any || type === TYPE.A) { for (const address of found.a) records.push(record(TYPE.A, address)); }
  if (any || type === TYPE.AAAA) { for (const address of found.aaaa) records.push(record(TYPE.AAAA, address)); }
  if (any || type === TYPE.PTR) { for (const name of found.ptr) records.push(record(TYPE.PTR, name)); }
  return records;
}

/**
 * The answer to a question about a name that is nyx's own: its records, NODATA (the name exists, the type does not), or
 * NXDOMAIN.
 */
export function answerLocally(asked: Message, question: Question, lookup: Lookup): Reply {
  const reply = replyTo(asked, lookup.found === undefined ? RCODE.NXDOMAIN : RCODE.NOERROR);
  reply.authoritative = true;
  if (lookup.found !== undefined) reply.answers = recordsFor(question, lookup.found);
  if (reply.answers.length === 0) reply.authority = [soa(lookup.zone)];
  return reply;
}
