/** What the kernel shall have, kept up to date with decisions. Pure: work is proportional to what changes. */
import { formatEntry } from "../../../kernel/ipset/index.ts";
import type { Decision, DecisionKey } from "../../../service/decision.ts";
import { type Claim, type CompileContext, type Compiled, compile, placeOf } from "./compile.ts";
import type { Member } from "./sets.ts";

/** What changed. */
export interface Edits {
  /** Places whose virtual service may differ: with what holds there now, undefined where nothing does. */
  readonly places: ReadonlyMap<string, { readonly key: Claim["key"]; readonly claim: Claim | undefined }>;
  readonly added: readonly Member[];
  readonly removed: readonly Member[];
}

/** Everything that is wanted in one family. */
export class State {
  readonly #context: CompileContext;
  readonly #decisions = new Map<DecisionKey, Compiled>();
  /** Who wants something at a place; the best of them gets it. */
  readonly #claims = new Map<string, Map<DecisionKey, Claim>>();
  /** Entries that several may want: how many do. */
  readonly #shared = new Map<string, { readonly member: Member; count: number }>();

  constructor(context: CompileContext) {
    this.#context = context;
  }

  /** Takes changed decisions, undefined for those that are gone, and says what follows. */
  change(changes: Iterable<readonly [DecisionKey, Decision | undefined]>): Edits {
    const before = new Map<string, Claim | undefined>();
    const counts = new Map<string, number>();
    const touched = new Map<string, Member>();
    const touchShared = (member: Member) => {
      const id = idOf(member);
      touched.set(id, member);
      if (!counts.has(id)) counts.set(id, this.#shared.get(id)?.count ?? 0);
    };
    const keys = new Map<string, Claim["key"]>();
    const touchClaim = (claim: Claim) => {
      const place = placeOf(claim.key);
      keys.set(place, claim.key);
      if (!before.has(place)) before.set(place, this.at(place));
    };
    for (const [key, decision] of changes) {
      const old = this.#decisions.get(key);
      const now = decision && compile(decision, this.#context);
      for (const compiled of [old, now]) {
        compiled?.claims.forEach(touchClaim);
        compiled?.shared.forEach(touchShared);
      }
      if (old !== undefined) this.#remove(key, old);
      if (now !== undefined) this.#add(key, now);
    }
    const places = new Map<string, { readonly key: Claim["key"]; readonly claim: Claim | undefined }>();
    const added: Member[] = [];
    const removed: Member[] = [];
    for (const [place, key] of keys) {
      const old = before.get(place);
      const claim = this.at(place);
      const had = new Map(old?.members.map((member) => [idOf(member), member]));
      for (const member of claim?.members ?? []) if (!had.delete(idOf(member))) added.push(member);
      removed.push(...had.values());
      if (!sameService(old, claim)) places.set(place, { key, claim });
    }
    for (const [id, member] of touched) {
      const had = (counts.get(id) ?? 0) > 0;
      const has = this.#shared.has(id);
      if (has && !had) added.push(member);
      if (had && !has) removed.push(member);
    }
    return { places, added, removed };
  }

  /** What holds at a place. */
  at(place: string): Claim | undefined {
    let best: Claim | undefined;
    for (const claim of this.#claims.get(place)?.values() ?? []) {
      if (best === undefined || (best.rank === "node port" && claim.rank === "address")) best = claim;
    }
    return best;
  }

  /** Everything that holds anywhere. */
  *claims(): Generator<Claim> {
    for (const place of this.#claims.keys()) {
      const claim = this.at(place);
      if (claim !== undefined) yield claim;
    }
  }

  /** All entries of sets. */
  *members(): Generator<Member> {
    for (const { members } of this.claims()) yield* members;
    for (const { member } of this.#shared.values()) yield member;
  }

  #add(key: DecisionKey, compiled: Compiled): void {
    this.#decisions.set(key, compiled);
    for (const claim of compiled.claims) {
      const place = placeOf(claim.key);
      const claims = this.#claims.get(place);
      if (claims === undefined) this.#claims.set(place, new Map([[key, claim]]));
      else claims.set(key, claim);
    }
    for (const member of compiled.shared) {
      const id = idOf(member);
      const known = this.#shared.get(id);
      if (known === undefined) this.#shared.set(id, { member, count: 1 });
      else known.count++;
    }
  }

  #remove(key: DecisionKey, compiled: Compiled): void {
    this.#decisions.delete(key);
    for (const claim of compiled.claims) {
      const place = placeOf(claim.key);
      const claims = this.#claims.get(place);
      claims?.delete(key);
      if (claims?.size === 0) this.#claims.delete(place);
    }
    for (const member of compiled.shared) {
      const id = idOf(member);
      const known = this.#shared.get(id);
      if (known !== undefined && --known.count === 0) this.#shared.delete(id);
    }
  }
}

/** An entry and its set, as text that tells it from all others. */
export function idOf({ set, entry }: Member): string {
  return `${set} ${formatEntry(entry)}`;
}

function sameService(a: Claim | undefined, b: Claim | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    sameSettings(a.settings, b.settings) &&
    a.endpoints.length === b.endpoints.length &&
    a.endpoints.every(({ address, port }, i) => address === b.endpoints[i]?.address && port === b.endpoints[i]?.port)
  );
}

function sameSettings(a: Claim["settings"], b: Claim["settings"]): boolean {
  return a.scheduler === b.scheduler && a.flags === b.flags && a.timeout === b.timeout && a.netmask === b.netmask;
}
