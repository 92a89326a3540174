/** The wire format of protocol buffers (protobuf.dev/programming-guides/encoding). */

/** Says what is wrong with encoded bytes. */
export class WireError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "WireError";
  }
}

/** One field of a message: a number (`value`, wire types 0, 1 and 5) or bytes (wire type 2). */
export interface Part {
  readonly field: number;
  readonly value?: bigint;
  readonly bytes?: Uint8Array;
}

/**
 * The fields of a message, in their order.
 *
 * @throws {WireError} if the bytes end early or hold groups or unknown wire types.
 */
export function readParts(bytes: Uint8Array): readonly Part[] {
  const parts: Part[] = [];
  let at = 0;
  const varint = (): bigint => {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new WireError("the message ends early");
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return result;
    }
    throw new WireError("a number is too long");
  };
  const fixed = (length: number): bigint => {
    if (at + length > bytes.length) throw new WireError("the message ends early");
    let result = 0n;
    for (let i = length - 1; i >= 0; i--) result = (result << 8n) | BigInt(bytes[at + i] ?? 0);
    at += length;
    return result;
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = Number(tag >> 3n);
    const wire = Number(tag & 7n);
    if (field === 0) throw new WireError("there is no field 0");
    if (wire === 0) parts.push({ field, value: varint() });
    else if (wire === 1) parts.push({ field, value: fixed(8) });
    else if (wire === 5) parts.push({ field, value: fixed(4) });
    else if (wire === 2) {
      const length = Number(varint());
      if (length > bytes.length - at) throw new WireError("the message ends early");
      parts.push({ field, bytes: bytes.subarray(at, at + length) });
      at += length;
    } else throw new WireError(`wire type ${wire} is not used by the API`);
  }
  return parts;
}

/** A number of 32 or 64 bits with sign, as it is encoded: in two's complement of 64 bits. */
export function signed(value: bigint): number {
  return Number(BigInt.asIntN(64, value));
}

/** UTF-8 text; what is not UTF-8 is an error. */
export function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new WireError("a text is not UTF-8");
  }
}
