/** How packets end, in words. */
import type { Ended, Outcome } from "../walk/index.ts";
import { formatTarget } from "./story.ts";

/** The most endpoints that are listed of a group. */
export const mostListed = 12;

/** An outcome in words. */
export function sentence(outcome: Outcome, place: string | undefined): string {
  const at = place === undefined ? "" : ` by ${place}`;
  switch (outcome.kind) {
    case "delivered":
      return `delivered ${place === undefined ? "on this node" : `in ${place}`}, to ${formatTarget(outcome.to)}`;
    case "forwarded":
      return `leaves ${place === undefined ? "" : `${place} `}by ${outcome.interface} to ${formatTarget(outcome.to)}${outcome.gateway === undefined ? "" : `, through ${outcome.gateway}`}`;
    case "rejected":
      return `rejected${at === "" ? "" : ` on ${place}`} by ${outcome.by}, with ${outcome.how}`;
    case "dropped":
      return `dropped${at === "" ? "" : ` on ${place}`} by ${outcome.by}, without a word`;
    case "no socket":
      return `refused${at}: nobody listens on ${formatTarget(outcome.to)}`;
    case "no route":
      return `no route${place === undefined ? "" : ` on ${place}`}: ${outcome.why}`;
    case "martian":
      return `dropped${at} as a martian: ${outcome.why}`;
    case "forwarding off":
      return `dropped: ${place ?? "this node"} does not forward: ${outcome.why}`;
    case "no neighbour":
      return `lost on the link: ${outcome.why}`;
    case "not bridged":
      return `dropped by the bridge: ${outcome.why}`;
    case "too long":
      return `too long: ${outcome.why}`;
    case "loop":
      return `lost: ${outcome.why}`;
    case "not awaited":
      return `not taken: ${outcome.why}`;
    case "unknown":
      return `unknown: ${outcome.why}`;
  }
}

/** An outcome in a few words, where the reason is told elsewhere. */
export function brief(outcome: Outcome, place: string | undefined): string {
  const where = place ?? "this node";
  switch (outcome.kind) {
    case "no route":
      return `no route on ${where}`;
    case "martian":
      return `dropped by ${where} as a martian`;
    case "forwarding off":
      return `dropped: ${where} does not forward`;
    case "no neighbour":
      return `lost on a link of ${where}`;
    case "not bridged":
      return `dropped by a bridge of ${where}`;
    case "too long":
      return `lost on the way from ${where}: too long`;
    case "loop":
      return `lost on ${where}: it has passed too many routers`;
    default:
      return sentence(outcome, place);
  }
}

/** How a group of ways ends. */
export interface Conclusion {
  /** A sentence, or its beginning where {@link targets} follow. */
  readonly head: string;
  /** Whom they lead to, where that differs, with the share where shares differ. */
  readonly targets: readonly string[];
}

/** Sums up ways that end in the same manner. */
export function conclude(ends: readonly Ended[], named: boolean, say: typeof sentence = sentence): Conclusion {
  const sentences = new Set(ends.map(({ outcome, state }) => say(outcome, named ? state.place : undefined)));
  const [only] = sentences;
  if (sentences.size === 1 && only !== undefined) return { head: only, targets: [] };
  const shares = ends.map(({ state }) => state.probability);
  const even = Math.max(...shares) - Math.min(...shares) < 0.02 / ends.length;
  const all = ends.map((each) => `${destinationOf(each)}${even ? "" : ` (${percent(each.state.probability)})`}`);
  const targets = [...new Set(all)];
  const first = ends[0]?.outcome.kind;
  const same = ends.every(({ outcome }) => outcome.kind === first);
  const verb =
    same && first === "delivered" ? "delivered to" : same && first === "no socket" ? "refused by" : "goes to";
  return { head: `${verb} one of ${targets.length}`, targets };
}

/** In a line. */
export function inLine({ head, targets }: Conclusion): string {
  if (targets.length === 0) return head;
  const rest = targets.length - mostListed;
  return `${head}: ${targets.slice(0, mostListed).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

/** How a group of ways ends, in a line. */
export function oneOf(ends: readonly Ended[], named: boolean): string {
  return inLine(conclude(ends, named));
}

/** Whom a way leads to, in short. */
export function destinationOf({ outcome }: Ended): string {
  return "to" in outcome ? formatTarget(outcome.to) : outcome.kind;
}

/** `12 %`. */
export function percent(probability: number): string {
  const value = 100 * probability;
  return value > 0 && value < 0.1 ? "under 0.1 %" : `${value.toFixed(value < 10 && value % 1 > 0.05 ? 1 : 0)} %`;
}
