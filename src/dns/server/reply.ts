/** Replies: how they are made from a query, and made to fit the client. */
import { OPTION, RCODE } from "../wire/codes.ts";
import type { Edns, Message } from "../wire/message.ts";
import type { ResourceRecord } from "../wire/record.ts";

const none: readonly never[] = [];

/** What a reply has that its query has not. */
export interface ReplyParts {
  readonly rcode?: number;
  /** True unless given: most plugins answer for zones of their own. */
  readonly aa?: boolean;
  readonly ra?: boolean;
  readonly answer?: readonly ResourceRecord[];
  readonly authority?: readonly ResourceRecord[];
  readonly additional?: readonly ResourceRecord[];
}

/** A reply to a query: its id, opcode, question, RD and CD; without EDNS, which the server adds. */
export function reply(query: Message, parts: ReplyParts = {}): Message {
  return {
    id: query.id,
    qr: true,
    opcode: query.opcode,
    aa: parts.aa ?? true,
    tc: false,
    rd: query.rd,
    ra: parts.ra ?? false,
    ad: false,
    cd: query.cd,
    rcode: parts.rcode ?? RCODE.NOERROR,
    questions: query.questions,
    answer: parts.answer ?? none,
    authority: parts.authority ?? none,
    additional: parts.additional ?? none,
    edns: undefined,
  };
}

/** A reply that is an error code and nothing else, AA not set. */
export function errorReply(query: Message, rcode: number): Message {
  return reply(query, { rcode, aa: false });
}

/** Options of a query that are sent back as they came. */
const echoed: ReadonlySet<number> = new Set([
  OPTION.NSID,
  OPTION.EXPIRE,
  OPTION.COOKIE,
  OPTION.TCP_KEEPALIVE,
  OPTION.PADDING,
]);

/**
 * Gives a reply the EDNS that its client expects: none if the client sent none; otherwise its size and DO bit, version
 * 0, and the options that a plugin put in or, without those, the ones of the client that are understood.
 */
export function withEdns(query: Message, message: Message): Message {
  if (query.edns === undefined) {
    if (message.edns === undefined && message.rcode <= 15) return message;
    return { ...message, edns: undefined, rcode: message.rcode > 15 ? RCODE.SERVFAIL : message.rcode };
  }
  const { udpSize, do: dnssec, options } = query.edns;
  const edns: Edns = {
    udpSize,
    version: 0,
    do: dnssec,
    options: message.edns?.options ?? (options.length === 0 ? options : options.filter(({ code }) => echoed.has(code))),
  };
  return { ...message, edns };
}
