import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Address, addressFromBytes } from "../../net/address.ts";
import { MessageReader, NetlinkFormatError, NetlinkWriter } from "../netlink/index.ts";
import { decodeEntry, type Tuple, writeTuple } from "./entry.ts";

/** A message about an entry of a family, at its beginning. */
function message(family: number, write: (writer: NetlinkWriter) => void): MessageReader {
  const writer = new NetlinkWriter();
  writer.begin(0x100, 0, 1);
  writer.u32(family);
  write(writer);
  writer.end();
  const reader = new MessageReader(writer.toBytes());
  reader.next();
  return reader;
}

const address = (size: number) => fc.uint8Array({ minLength: size, maxLength: size }).map(addressFromBytes);
const port = fc.integer({ min: 0, max: 65535 });
const withPorts = (size: number) =>
  fc.record({
    source: address(size),
    destination: address(size),
    protocol: fc.constantFrom(6, 17, 132),
    sourcePort: port,
    destinationPort: port,
  });
const byte = fc.integer({ min: 0, max: 255 });
const icmp = (size: number) =>
  fc.record({
    source: address(size),
    destination: address(size),
    protocol: fc.constantFrom(1, 58),
    icmp: fc.record({ type: byte, code: byte, id: port }),
  });

test("a tuple that is written is read as it was", () => {
  const tuple = fc.oneof(withPorts(4), withPorts(16), icmp(4), icmp(16));
  fc.assert(
    fc.property(tuple, (value: Tuple) => {
      const family = (value.source as Address).includes(":") ? 10 : 2;
      const reader = message(family, (writer) => {
        writeTuple(writer, 1, value);
        writeTuple(writer, 2, value);
      });
      const entry = decodeEntry(reader);
      const plain = structuredClone(value);
      assert.deepEqual([entry?.original, entry?.reply], [plain, plain]);
      assert.equal(decodeEntry(reader, value.protocol + 1), undefined);
    }),
  );
});

test("no bytes make the decoder do worse than call the message malformed", () => {
  const attribute = fc.record({ type: fc.integer({ min: 0, max: 26 }), value: fc.uint8Array({ maxLength: 40 }) });
  fc.assert(
    fc.property(fc.constantFrom(2, 10, 3), fc.array(attribute, { maxLength: 6 }), (family, attributes) => {
      const reader = message(family, (writer) => {
        for (const each of attributes) writer.attributeBytes(each.type, each.value);
      });
      try {
        decodeEntry(reader);
      } catch (error) {
        assert.ok(error instanceof NetlinkFormatError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});
