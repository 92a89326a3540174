import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAddress } from "../../net/address.ts";
import { parsePrefix } from "../../net/prefix.ts";
import { MessageReader, NetlinkFormatError, NetlinkWriter } from "../netlink/index.ts";
import { decodeAddress } from "./addresses.ts";
import { macBytes, macFromBytes, parseMac, tryParseMac } from "./mac.ts";
import { decodeEvent } from "./monitor.ts";
import { decodeRoute } from "./routes.ts";

/** A message as the kernel sends it, at its beginning. */
function message(
  type: number,
  header: readonly number[],
  write: (writer: NetlinkWriter) => void = () => {},
): MessageReader {
  const writer = new NetlinkWriter();
  writer.begin(type, 0, 1);
  writer.bytes(Uint8Array.from(header));
  write(writer);
  writer.end();
  const reader = new MessageReader(writer.toBytes());
  reader.next();
  return reader;
}

test("a route with several next hops of both families is read", () => {
  const bytes = Uint8Array.from([
    ...[16, 0, 1, 2, 3, 0, 0, 0, 8, 0, 5, 0, 192, 0, 2, 1],
    ...[18, 0, 16, 0, 4, 0, 0, 0, 10, 0, 18, 0, 2, 0, 192, 0, 2, 2, 0, 0],
  ]);
  const reader = message(24, [2, 16, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0], (writer) => {
    writer.attributeBytes(1, Uint8Array.of(10, 3, 0, 0));
    writer.attributeU32(15, 1000);
    writer.attributeBytes(9, bytes);
  });
  assert.deepEqual(decodeRoute(reader), {
    type: "unicast",
    destination: parsePrefix("10.3.0.0/16"),
    table: 1000,
    protocol: 4,
    scope: 0,
    priority: 0,
    tos: 0,
    nextHops: [
      { interface: 3, gateway: parseAddress("192.0.2.1"), weight: 3, onLink: false, dead: true, linkDown: false },
      { interface: 4, gateway: parseAddress("192.0.2.2"), weight: 1, onLink: false, dead: false, linkDown: true },
    ],
  });
});

test("a point-to-point address keeps its own and the other end", () => {
  const reader = message(20, [2, 32, 0, 0, 7, 0, 0, 0], (writer) => {
    writer.attributeBytes(1, Uint8Array.of(10, 0, 0, 2));
    writer.attributeBytes(2, Uint8Array.of(10, 0, 0, 1));
    writer.attributeU32(8, 0x80);
  });
  const { address, peer, interface: index, permanent } = decodeAddress(reader) ?? {};
  assert.deepEqual([address, peer, index, permanent], ["10.0.0.1", "10.0.0.2", 7, true]);
});

test("addresses that cannot be are malformed messages, not answers", () => {
  const badLength = message(24, [2, 33, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0]);
  assert.throws(() => decodeRoute(badLength), NetlinkFormatError);
  const badAddress = message(24, [2, 8, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0], (w) => w.attributeBytes(1, Uint8Array.of(10)));
  assert.throws(() => decodeRoute(badAddress), NetlinkFormatError);
});

test("hardware addresses have one text each", () => {
  assert.equal(tryParseMac("02:AB:00:00:00:01"), "02:ab:00:00:00:01");
  for (const bad of ["", "02:ab:00:00:00", "02-ab-00-00-00-01", "2:ab:00:00:00:01"])
    assert.equal(tryParseMac(bad), undefined);
  assert.throws(() => parseMac("x"), /"x" is not an Ethernet address/);
  const bytes = fc.uint8Array({ minLength: 6, maxLength: 6 });
  fc.assert(fc.property(bytes, (value) => assert.deepEqual(macBytes(macFromBytes(value)), value)));
});

test("no bytes make a decoder do worse than call the message malformed", () => {
  const attribute = fc.record({ type: fc.integer({ min: 0, max: 40 }), value: fc.uint8Array({ maxLength: 24 }) });
  const input = fc.record({
    type: fc.constantFrom(16, 17, 20, 21, 24, 25, 28, 29, 32, 33),
    family: fc.constantFrom(0, 2, 7, 10, 99),
    header: fc.uint8Array({ minLength: 3, maxLength: 20 }),
    attributes: fc.array(attribute, { maxLength: 8 }),
    tail: fc.uint8Array({ maxLength: 6 }),
  });
  fc.assert(
    fc.property(input, ({ type, family, header, attributes, tail }) => {
      const reader = message(type, [family, ...header], (writer) => {
        for (const each of attributes) writer.attributeBytes(each.type, each.value);
        writer.bytes(tail);
      });
      try {
        decodeEvent(reader);
      } catch (error) {
        assert.ok(error instanceof NetlinkFormatError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});
