/** Rewriting of records in replies. */

import type { Message } from "../../wire/message.ts";
import type { ResourceRecord } from "../../wire/record.ts";
import type { NameRewrite } from "./names.ts";

/** Changes all records of a reply. */
export function mapRecords(reply: Message, change: (record: ResourceRecord) => ResourceRecord): Message {
  return {
    ...reply,
    answer: reply.answer.map(change),
    authority: reply.authority.map(change),
    additional: reply.additional.map(change),
  };
}

/** A record with a rewritten owner. */
export function rewriteOwner(record: ResourceRecord, rewrite: NameRewrite): ResourceRecord {
  const name = rewrite(record.name.toLowerCase());
  return name === undefined ? record : { ...record, name };
}

/** Fields of record data that are names. */
const nameFields = ["host", "primary", "mailbox", "replacement", "target", "next"] as const;

/** A record in whose data names are rewritten. */
export function rewriteValue(record: ResourceRecord, rewrite: NameRewrite): ResourceRecord {
  const data = record.data as unknown as Readonly<Record<string, unknown>>;
  let changed: Record<string, unknown> | undefined;
  for (const field of nameFields) {
    const value = data[field];
    if (typeof value !== "string" || !value.endsWith(".")) continue;
    const name = rewrite(value.toLowerCase());
    if (name === undefined || name === value) continue;
    changed ??= { ...data };
    changed[field] = name;
  }
  return changed === undefined ? record : { ...record, data: changed as unknown as ResourceRecord["data"] };
}
