import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressFromBytes, type Family } from "../../net/address.ts";
import { prefixOf } from "../../net/prefix.ts";
import { AttributeReader, MessageReader, NetlinkFormatError, NetlinkWriter } from "../netlink/index.ts";
import { type Entry, formatEntry, readEntry, setTypes, writeEntry } from "./entry.ts";
import { decodeListed } from "./index.ts";

const address = (family: Family) => {
  const length = family === "IPv4" ? 4 : 16;
  return fc.uint8Array({ minLength: length, maxLength: length }).map(addressFromBytes);
};
const port = fc.integer({ min: 0, max: 65535 });

function entries(family: Family): fc.Arbitrary<Entry> {
  const place = {
    address: address(family),
    protocol: fc.constantFrom("TCP" as const, "UDP" as const, "SCTP" as const),
    port,
  };
  const prefix = fc
    .tuple(address(family), fc.integer({ min: 1, max: family === "IPv4" ? 32 : 128 }))
    .map(([at, length]) => prefixOf(at, length));
  return fc.oneof(
    fc.record({ type: fc.constant("hash:ip" as const), address: address(family) }),
    fc.record({ type: fc.constant("hash:ip,port" as const), ...place }),
    fc.record({ type: fc.constant("hash:ip,port,ip" as const), ...place, second: address(family) }),
    fc.record({ type: fc.constant("hash:ip,port,net" as const), ...place, prefix }),
    fc.record({ type: fc.constant("bitmap:port" as const), port }),
    fc.record({ type: fc.constant("list:set" as const), name: fc.stringMatching(/^[A-Z-]{1,31}$/) }),
  );
}

const families = fc.constantFrom<Family>("IPv4", "IPv6");

test("an entry that is written is read as it was", () => {
  const sample = families.chain((family) => fc.tuple(fc.constant(family), entries(family)));
  fc.assert(
    fc.property(sample, ([family, entry]) => {
      const writer = new NetlinkWriter();
      writeEntry(writer, entry);
      const read = readEntry(new AttributeReader(writer.toBytes()), entry.type, family);
      assert.deepEqual(read, structuredClone(entry));
    }),
  );
});

test("no bytes make the decoders do worse than call the message malformed", () => {
  const attribute = fc.record({ type: fc.nat(22), value: fc.uint8Array({ maxLength: 24 }) });
  const samples = fc.array(attribute, { maxLength: 8 });
  fc.assert(
    fc.property(samples, fc.constantFrom(...setTypes), families, (attributes, type, family) => {
      const writer = new NetlinkWriter();
      writer.begin(0x607, 0, 1);
      writer.u32(0);
      for (const { type: number, value } of attributes) writer.attributeBytes(number, value);
      writer.end();
      const message = new MessageReader(writer.toBytes());
      message.next();
      for (const decode of [
        () => decodeListed(message, new Map([["", { name: "", type, family, entries: [] }]])),
        () => readEntry(message.attributes(4), type, family),
      ]) {
        try {
          decode();
        } catch (error) {
          assert.ok(error instanceof NetlinkFormatError, String(error));
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test("an entry's text is what the program ipset writes", () => {
  const at = addressFromBytes(Uint8Array.of(10, 96, 0, 1));
  const place = { address: at, protocol: "TCP", port: 443 } as const;
  assert.equal(formatEntry({ type: "hash:ip,port", ...place }), "10.96.0.1,tcp:443");
  assert.equal(formatEntry({ type: "hash:ip,port,ip", ...place, second: at }), "10.96.0.1,tcp:443,10.96.0.1");
  const net = (length: number) => formatEntry({ type: "hash:ip,port,net", ...place, prefix: prefixOf(at, length) });
  assert.equal(net(8), "10.96.0.1,tcp:443,10.0.0.0/8");
  assert.equal(net(32), "10.96.0.1,tcp:443,10.96.0.1");
});
