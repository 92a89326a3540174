/** What a reply is to a cache: which store it belongs into, and for how long. */
import { OPCODE, RCODE, TYPE } from "../../wire/codes.ts";
import type { Message } from "../../wire/message.ts";
import { is, type ResourceRecord } from "../../wire/record.ts";

/** Kinds of replies that are kept. */
export type ReplyKind = "success" | "denial" | "failure";

/** Seconds for replies without any record that has a TTL. */
const shortTtl = 5;
const longestTtl = 86_400;

/** The kind of a reply to a query; undefined for those that are never kept. */
export function kindOf(reply: Message): ReplyKind | undefined {
  const { rcode, answer, authority, tc, opcode } = reply;
  const type = reply.questions[0]?.type;
  if (tc || opcode !== OPCODE.QUERY || type === TYPE.AXFR || type === TYPE.IXFR) return undefined;
  const soa = authority.some((record) => record.type === TYPE.SOA);
  switch (rcode) {
    case RCODE.NOERROR:
      if (answer.length === 0) return soa ? "denial" : "success";
      // A chain of aliases without its end, and without a word that there is none, is half an answer.
      return type === undefined || soa || endsIn(answer, type) ? "success" : undefined;
    case RCODE.NXDOMAIN:
      return soa ? "denial" : undefined;
    case RCODE.SERVFAIL:
      return "failure";
    default:
      return undefined;
  }
}

function endsIn(answer: readonly ResourceRecord[], type: number): boolean {
  if (type === TYPE.ANY || type === TYPE.CNAME) return true;
  return answer.some((record) => record.type === type) || answer.every((record) => record.type !== TYPE.CNAME);
}

/** The smallest TTL of a reply, in seconds; of a denial, the SOA's own limit counts too (RFC 2308 5). */
export function minimumTtl(reply: Message, kind: ReplyKind): number {
  if (kind === "failure") return shortTtl;
  let ttl = longestTtl;
  let any = false;
  for (const section of [reply.answer, reply.authority, reply.additional]) {
    for (const record of section) {
      any = true;
      ttl = Math.min(ttl, record.ttl);
      if (kind === "denial" && is(record, "SOA")) ttl = Math.min(ttl, record.data.minimum);
    }
  }
  return any ? ttl : shortTtl;
}
