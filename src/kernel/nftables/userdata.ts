/**
 * User data: what `nft` stores with objects for its own listings, and the kernel keeps without looking at it. A list
 * of one byte type, one byte length, value (libnftnl's `udata`).
 */

/** Types of user data by what they are attached to (libnftnl `udata.h`). */
export const userdataType = {
  tableComment: 0,
  chainComment: 0,
  ruleComment: 0,
  elementComment: 0,
  objectComment: 0,
  set: {
    keyByteOrder: 0,
    dataByteOrder: 1,
    mergeElements: 2,
    keyTypeof: 3,
    dataTypeof: 4,
    dataInterval: 6,
    comment: 7,
  },
} as const;

/** One item. */
export interface UserdataItem {
  readonly type: number;
  readonly value: Uint8Array;
}

const utf8 = { encoder: new TextEncoder(), decoder: new TextDecoder() };

/** The most bytes of a comment that `nft` shows. */
const maximumCommentLength = 127;

/**
 * Writes items one after the other.
 *
 * @throws {RangeError} if a value exceeds 255 bytes.
 */
export function encodeUserdata(items: readonly UserdataItem[]): Uint8Array {
  const bytes = new Uint8Array(items.reduce((sum, item) => sum + 2 + item.value.length, 0));
  let at = 0;
  for (const { type, value } of items) {
    if (value.length > 255) throw new RangeError(`a user data value of ${value.length} bytes exceeds 255`);
    bytes.set([type, value.length], at);
    bytes.set(value, at + 2);
    at += 2 + value.length;
  }
  return bytes;
}

/** Reads items; what follows an item that is cut off is left out, since anybody may store anything here. */
export function decodeUserdata(bytes: Uint8Array): UserdataItem[] {
  const items: UserdataItem[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const type = bytes[at] as number;
    const end = at + 2 + (bytes[at + 1] as number);
    if (end > bytes.length) break;
    items.push({ type, value: bytes.slice(at + 2, end) });
    at = end;
  }
  return items;
}

/** A comment as an item. @throws {RangeError} above 127 bytes of UTF-8. */
export function commentItem(type: number, comment: string): UserdataItem {
  const value = utf8.encoder.encode(`${comment}\0`);
  if (value.length > maximumCommentLength + 1) {
    throw new RangeError(`the comment ${JSON.stringify(comment)} exceeds ${maximumCommentLength} bytes`);
  }
  return { type, value };
}

/** The text of a comment's value. */
export function commentText(value: Uint8Array): string {
  const nul = value.indexOf(0);
  return utf8.decoder.decode(nul < 0 ? value : value.subarray(0, nul));
}

/** A number of 32 bits as an item. */
export function numberItem(type: number, number: number): UserdataItem {
  return { type, value: Uint8Array.of(number & 255, (number >>> 8) & 255, (number >>> 16) & 255, number >>> 24) };
}

/** The number of a value of 32 bits; undefined for another length. */
export function itemNumber(value: Uint8Array): number | undefined {
  if (value.length !== 4) return undefined;
  return new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true);
}
