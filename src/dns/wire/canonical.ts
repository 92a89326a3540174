/** Names inside of record data. */

import { domain, plainDomain } from "./fields.ts";
import { fieldsOf } from "./layouts.ts";
import type { ResourceRecord } from "./record.ts";

/** The record with all names in its data changed; the record itself if it has none. */
export function rewriteNames(record: ResourceRecord, change: (name: string) => string): ResourceRecord {
  const names = (fieldsOf.get(record.type) ?? []).filter(([, field]) => field === domain || field === plainDomain);
  if (names.length === 0) return record;
  const data: Record<string, unknown> = { ...record.data };
  for (const [key] of names) data[key] = change(String(data[key]));
  return { ...record, data: data as unknown as ResourceRecord["data"] };
}
