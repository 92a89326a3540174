/** What all matches of iptables have in common. */
import type { PayloadBase } from "../../../kernel/nftables/index.ts";
import type { Address } from "../../../net/address.ts";
import { addressBytes } from "../../../net/address.ts";
import { loadPayload } from "../load/headers.ts";
import type { Where } from "../load/values.ts";
import { type Bytes, unknownBytes } from "../packet.ts";
import { isKnown } from "../registers.ts";
import type { State } from "../state.ts";
import type { World } from "../world.ts";

/** Whether a match holds. */
export type Condition =
  | {
      readonly kind: "known";
      readonly holds: boolean;
      readonly text: string;
      /** What the match itself changes, as `State.touched` names it: nobody may rely on the snapshot for that any more. */
      readonly touches?: string;
    }
  /** For this part of all packets, at random. */
  | { readonly kind: "random"; readonly probability: number; readonly text: string }
  | { readonly kind: "depends"; readonly text: string };

/** What a match looks at. */
export interface Seen {
  readonly state: State;
  readonly world: World;
  readonly where: Where;
}

/** A match of one revision. */
export interface Match {
  /** The least bytes of its structure. */
  readonly length: number;
  /** Numbers are in host order (little-endian) where nothing else is said. */
  readonly read: (info: DataView, seen: Seen) => Condition;
}

/** Matches by name and revision: `tcp 0`. */
export type Matches = Readonly<Record<string, Match>>;

/** The match holds, or does not. `text` says what it wants. */
export const known = (holds: boolean, text: string): Condition => ({ kind: "known", holds, text });

/** Whether it holds is not known. */
export const depends = (text: string): Condition => ({ kind: "depends", text });

/** Known where `holds` is. */
export const perhaps = (holds: boolean | undefined, text: string): Condition =>
  holds === undefined ? depends(text) : known(holds, text);

/** All conditions at once: what fails for sure decides, then what is not known. */
export function all(...conditions: readonly Condition[]): Condition {
  return (
    conditions.find((each) => each.kind === "known" && !each.holds) ??
    conditions.find((each) => each.kind !== "known") ??
    known(true, conditions.map(({ text }) => text).join(" and "))
  );
}

/** Bytes of a header, as far as they are known. */
export function header({ state, where }: Seen, base: PayloadBase, offset: number, length: number): Bytes {
  const loaded = loadPayload({ kind: "payload", dreg: 8, base, offset, length }, state, where);
  return "absent" in loaded ? unknownBytes(length) : loaded.value;
}

/** A number in network order, undefined if a bit of it is not known. */
export function numberIn(bytes: Bytes): number | undefined {
  return isKnown(bytes) ? bytes.data.reduce((number, byte) => number * 256 + byte, 0) : undefined;
}

/** Whether a number lies in a range, or not in it; undefined if it is not known. */
export function within(
  number: number | undefined,
  [first, last]: readonly [number, number],
  inverted = false,
): boolean | undefined {
  return number === undefined ? undefined : (number >= first && number <= last) !== inverted;
}

/** Whether an address is equal to another in the bits of a mask (`union nf_inet_addr`). */
export function sameMasked(address: Address, info: DataView, at: number, maskAt: number): boolean {
  return addressBytes(address).every((byte, i) => ((byte ^ info.getUint8(at + i)) & info.getUint8(maskAt + i)) === 0);
}

/** Text up to the first zero. */
export function textAt(info: DataView, start: number, longest = 256): string {
  let text = "";
  const end = Math.min(info.byteLength, start + longest);
  for (let at = start; at < end && info.getUint8(at) !== 0; at++) text += String.fromCharCode(info.getUint8(at));
  return text;
}
