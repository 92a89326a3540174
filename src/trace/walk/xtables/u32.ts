/** The match `u32` (`linux/netfilter/xt_u32.h`). */
import type { Bytes } from "../packet.ts";
import { depends, header, known, type Match, type Seen } from "./match.ts";

/** Of tests, and of numbers and ranges in each of them (`XT_U32_MAXSIZE + 1`). */
const mostParts = 11;

/** A small program on the packet's bytes (`xt_u32`). */
export const u32: Match = {
  length: 1982,
  read(info, seen) {
    const bytes = wholePacket(seen);
    const inverted = info.getUint8(1981) !== 0;
    const text = "the packet's bytes are as the rule (u32) wants them";
    let open = false;
    for (let test = 0; test < Math.min(mostParts, info.getUint8(1980)); test++) {
      const holds = u32Test(info, 180 * test, bytes);
      if (holds === false) return known(inverted, text);
      if (holds === undefined) open = true;
    }
    return open ? depends(inverted ? `not: ${text}` : text) : known(!inverted, text);
  },
};

/** The packet from its network header on: what comes after the headers is not known. */
function wholePacket(seen: Seen): Bytes {
  const first = seen.state.packet.family === "IPv4" ? 20 : 40;
  const parts = [header(seen, "network", 0, first), header(seen, "transport", 0, 60)];
  const data = new Uint8Array(first + 60);
  const sure = new Uint8Array(first + 60);
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    sure.set(part.known, at);
    at += part.data.length;
  }
  return { data, known: sure };
}

/** One test: 11 numbers with operators of 8 bytes each, 11 ranges of 8 bytes each, then how many there are of both. */
function u32Test(info: DataView, start: number, bytes: Bytes): boolean | undefined {
  const [numbers, values] = [176, 177].map((at) => Math.min(mostParts, info.getUint8(start + at))) as [number, number];
  const number = (i: number) => info.getUint32(start + 8 * i, true);
  let base = 0;
  let word = wordAt(bytes, number(0));
  for (let i = 1; i < numbers; i++) {
    const operand = number(i);
    const [value, sure] = word;
    switch (info.getUint8(start + 8 * i + 4)) {
      case 0:
        word = [(value & operand) >>> 0, (sure | ~operand) >>> 0];
        break;
      case 1:
        word = [(value << operand) >>> 0, ((sure << operand) | ((1 << operand) - 1)) >>> 0];
        break;
      case 2:
        word = [value >>> operand, ((sure >>> operand) | ~(0xffff_ffff >>> operand)) >>> 0];
        break;
      default:
        // "@": go on from there.
        if (sure !== 0xffff_ffff) return undefined;
        base += value;
        word = wordAt(bytes, base + operand);
    }
  }
  const [value, sure] = word;
  if (sure !== 0xffff_ffff) return undefined;
  for (let i = 0; i < values; i++) {
    if (value >= info.getUint32(start + 88 + 8 * i, true) && value <= info.getUint32(start + 92 + 8 * i, true))
      return true;
  }
  return false;
}

/** Four bytes with the bits of them that are known. */
function wordAt({ data, known: sure }: Bytes, at: number): readonly [number, number] {
  let [value, bits] = [0, 0];
  for (let i = 0; i < 4; i++) {
    value = value * 256 + (data[at + i] ?? 0);
    bits = bits * 256 + (sure[at + i] ?? 0);
  }
  return [value, bits];
}
