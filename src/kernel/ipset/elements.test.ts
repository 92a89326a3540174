import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MessageReader, NetlinkFormatError, NetlinkWriter } from "../netlink/index.ts";
import { decodeAny } from "./elements.ts";

function message(write: (writer: NetlinkWriter) => void): MessageReader {
  const writer = new NetlinkWriter();
  writer.begin(0x607, 0, 1);
  writer.u32(2);
  write(writer);
  writer.end();
  const reader = new MessageReader(writer.toBytes());
  reader.next();
  return reader;
}

test("no bytes make the decoder do worse than call the message malformed", () => {
  const field = fc.record({ type: fc.nat(30), value: fc.uint8Array({ maxLength: 20 }) });
  fc.assert(
    fc.property(fc.array(field, { maxLength: 9 }), fc.boolean(), (fields, told) => {
      const reader = message((writer) => {
        writer.attributeString(2, "a");
        if (told) {
          writer.attributeString(3, "hash:net,port");
          writer.endNested(writer.beginNested(7));
        }
        const entries = writer.beginNested(8);
        const data = writer.beginNested(7);
        for (const { type, value } of fields) writer.attributeBytes(type, value);
        writer.endNested(data);
        writer.endNested(entries);
      });
      try {
        const sets = new Map();
        decodeAny(reader, sets);
        assert.equal(sets.get("a")?.elements.length, 1);
      } catch (error) {
        assert.ok(error instanceof NetlinkFormatError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
