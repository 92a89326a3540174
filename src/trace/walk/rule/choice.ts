/** Numbers at random, and hashes. */
import { hostU32Bytes, type JHash, type Register } from "../../../kernel/nftables/index.ts";
import { knownBytes } from "../packet.ts";
import { isKnown } from "../registers.ts";
import type { State } from "../state.ts";
import { jhash, scale } from "./jhash.ts";
import { type Context, go, lost, type Next, type Thread } from "./thread.ts";

/** The most branches that one rule makes. */
const mostBranches = 65_536;

/** A hash of what registers hold: one value where all of it is known, and the seed. */
export function runHash(expression: JHash, thread: Thread, context: Context): readonly Next[] {
  const { sreg, dreg, length, modulus, seed, offset = 0 } = expression;
  const value = thread.registers.get(sreg, length);
  if (seed === undefined || !isKnown(value)) return runChoice(thread, expression, context);
  const number = offset + scale(jhash(value.data, seed), modulus);
  thread.registers.put(dreg, knownBytes(hostU32Bytes(number)), `the hash of ${thread.registers.name(sreg)}`);
  return go(thread);
}

/** All values that the kernel may draw, each on a branch of its own. */
export function runChoice(
  thread: Thread,
  { dreg, modulus, offset = 0 }: { readonly dreg: Register; readonly modulus: number; readonly offset?: number },
  { world }: Context,
): readonly Next[] {
  if (modulus > mostBranches || modulus < 1) {
    return lost(thread, `${modulus} possibilities are too many to follow`);
  }
  if (!world.spend(modulus)) return lost(thread, "the choices are too many to follow");
  const { state } = thread;
  return Array.from({ length: modulus }, (_, i) => {
    const registers = modulus === 1 ? thread.registers : thread.registers.copy();
    registers.put(dreg, knownBytes(hostU32Bytes(offset + i)), "a random number");
    const branch = { ...thread, registers };
    if (modulus === 1) return { kind: "go", thread: branch } as const;
    // One object for all branches that change nothing, so that they are found equal fast.
    return { kind: "go", thread: { ...branch, state: shared(state, modulus), choice: `1 of ${modulus}` } } as const;
  });
}

const sharedStates = new WeakMap<State, Map<number, State>>();

function shared(state: State, parts: number): State {
  const map = sharedStates.get(state) ?? new Map<number, State>();
  sharedStates.set(state, map);
  const known = map.get(parts) ?? { ...state, probability: state.probability / parts };
  map.set(parts, known);
  return known;
}
