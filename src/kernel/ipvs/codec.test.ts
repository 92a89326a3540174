import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressFromBytes } from "../../net/address.ts";
import { MessageReader, NetlinkFormatError, NetlinkWriter } from "../netlink/index.ts";
import { type Destination, decodeDestination, writeDestination } from "./destination.ts";
import { formatService } from "./index.ts";
import { decodeService, type ServiceKey, serviceFamily, type VirtualService, writeService } from "./service.ts";

function message(write: (writer: NetlinkWriter) => void): MessageReader {
  const writer = new NetlinkWriter();
  writer.begin(0x20, 0, 1);
  writer.u32(0x0101);
  write(writer);
  writer.end();
  const reader = new MessageReader(writer.toBytes());
  reader.next();
  return reader;
}

const bytes = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }));
const address = bytes.map(addressFromBytes);
const port = fc.integer({ min: 0, max: 65535 });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

const key: fc.Arbitrary<ServiceKey> = fc.oneof(
  fc.record({
    kind: fc.constant("address" as const),
    address,
    protocol: fc.constantFrom("TCP" as const, "UDP" as const, "SCTP" as const),
    port,
  }),
  fc.record({
    kind: fc.constant("mark" as const),
    family: fc.constantFrom("IPv4" as const, "IPv6" as const),
    mark: fc.integer({ min: 1, max: 0xffff_ffff }),
  }),
);

const service: fc.Arbitrary<VirtualService> = fc
  .record({ key, scheduler: fc.constantFrom("rr", "lblcr", "mh"), flags: u32, timeout: u32, bits: fc.nat(127) })
  .map(({ bits, ...rest }) => ({
    ...rest,
    netmask: serviceFamily(rest.key) === "IPv4" ? (bits % 32) + 1 : bits + 1,
  }));

test("a virtual service that is written is read as it was", () => {
  fc.assert(
    fc.property(service, (value) => {
      const read = decodeService(message((writer) => writeService(writer, value.key, value)));
      assert.deepEqual(read, structuredClone(value));
    }),
  );
});

test("a destination that is written is read as it was", () => {
  const destination: fc.Arbitrary<Destination> = fc.record({
    address,
    port,
    forwarding: fc.constantFrom("masquerade" as const, "tunnel" as const, "route" as const),
    weight: u32,
  });
  fc.assert(
    fc.property(destination, (value) => {
      const read = decodeDestination(
        message((writer) => writeDestination(writer, value)),
        "IPv4",
      );
      assert.deepEqual(read, { ...value, active: 0, inactive: 0, persistent: 0 });
    }),
  );
});

test("no bytes make the decoders do worse than call the message malformed", () => {
  const attribute = fc.record({ type: fc.nat(12), value: fc.uint8Array({ maxLength: 20 }) });
  fc.assert(
    fc.property(fc.constantFrom(1, 2), fc.array(attribute, { maxLength: 9 }), (outer, attributes) => {
      const reader = message((writer) => {
        const nested = writer.beginNested(outer);
        for (const { type, value } of attributes) writer.attributeBytes(type, value);
        writer.endNested(nested);
      });
      for (const decode of [() => decodeService(reader), () => decodeDestination(reader, "IPv6")]) {
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

test("a virtual service has a name that tells it from others", () => {
  const at = (text: string) => addressFromBytes(new Uint8Array(text === "4" ? 4 : 16).fill(1));
  assert.equal(formatService({ kind: "address", address: at("4"), protocol: "TCP", port: 80 }), "TCP 1.1.1.1:80");
  assert.equal(
    formatService({ kind: "address", address: at("6"), protocol: "UDP", port: 53 }),
    "UDP [101:101:101:101:101:101:101:101]:53",
  );
  assert.equal(formatService({ kind: "mark", family: "IPv6", mark: 7 }), "mark 7 IPv6");
});
