/** DNS messages in calls of gRPC: `DnsPacket { bytes msg = 1; }` of CoreDNS's service, as the body of HTTP/2. */

/** A message as the body of a call: compression flag, length, and protobuf's field 1 of bytes. */
export function frame(message: Uint8Array): Buffer {
  const length: number[] = [];
  let rest = message.length;
  for (; rest > 127; rest >>= 7) length.push((rest & 127) | 128);
  length.push(rest);
  const head = Buffer.from([0, 0, 0, 0, 0, 0x0a, ...length]);
  head.writeUInt32BE(1 + length.length + message.length, 1);
  return Buffer.concat([head, message]);
}

/** The DNS message of a body of exactly one call; undefined if it is not one. */
export function unframe(body: Buffer): Buffer | undefined {
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) return undefined;
  let message: Buffer | undefined;
  for (let at = 5; at < body.length; ) {
    const [tag, afterTag] = varint(body, at);
    const [length, start] = varint(body, afterTag);
    if (tag === undefined || length === undefined || (tag & 7) !== 2 || start + length > body.length) return undefined;
    if (tag >> 3 === 1) message = body.subarray(start, start + length);
    at = start + length;
  }
  return message;
}

/** A number of protobuf's variable length at an offset, and the offset after it. */
function varint(body: Buffer, start: number): readonly [number | undefined, number] {
  let value = 0;
  for (let i = 0; i < 4; i++) {
    const byte = body[start + i];
    if (byte === undefined) return [undefined, start];
    value |= (byte & 127) << (7 * i);
    if (byte < 128) return [value, start + i + 1];
  }
  return [undefined, start];
}
