/** Fetching a zone from another server (AXFR, RFC 5936). */
import { RCODE, rcodeName, TYPE } from "../wire/codes.ts";
import { decodeMessage, encodeCopy, makeQuery } from "../wire/message.ts";
import { is, type ResourceRecord } from "../wire/record.ts";
import { Writer } from "../wire/writer.ts";
import { connect, messages } from "./stream.ts";

/** Records of a zone: more are not taken. */
const maxRecords = 5_000_000;

/**
 * Fetches all records of a zone, its SOA first (and only once).
 *
 * @param id of the query; must be hard to guess.
 * @param timeout milliseconds to connect, and for each message.
 * @throws if the server cannot be reached, refuses, or sends something else than a zone.
 */
export async function fetchZone(
  server: { readonly address: string; readonly port: number },
  zone: string,
  id: number,
  timeout: number,
): Promise<readonly ResourceRecord[]> {
  const socket = await connect(server, timeout);
  try {
    const query = encodeCopy(new Writer(512), { ...makeQuery(id, zone, TYPE.AXFR), rd: false });
    socket.write(Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query]));
    const records: ResourceRecord[] = [];
    for await (const bytes of messages(socket, timeout)) {
      const message = decodeMessage(bytes);
      if (message.id !== id || !message.qr) throw new Error("the reply belongs to another query");
      if (message.rcode !== RCODE.NOERROR) throw new Error(`the server says ${rcodeName(message.rcode)}`);
      for (const record of message.answer) {
        const isSoa = is(record, "SOA") && record.name.toLowerCase() === zone;
        if (records.length === 0 && !isSoa) throw new Error("the transfer does not begin with the SOA record");
        if (records.length > 0 && isSoa) return records;
        if (records.length >= maxRecords) throw new Error(`the zone has more than ${maxRecords} records`);
        records.push(record);
      }
    }
    throw new Error("the transfer was cut off");
  } finally {
    socket.destroy();
  }
}
