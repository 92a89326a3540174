/** Explains a walk: why ways fail, and what is not as it should be though the packet arrives. Pure. */
import type { Cluster } from "../walk/cluster.ts";
import type { Ended, Walk } from "../walk/index.ts";
import { stepsOf } from "../walk/index.ts";
import { staleClients } from "./connection.ts";
import { askedFor, type Context, contextOf, type Reason, reasonOf } from "./reason.ts";
import { masqueraded, narrow } from "./warnings.ts";

/** A cause, and what part of all ways fails by it. */
export interface Cause extends Reason {
  /** 0 to 1, where nothing is assumed. */
  readonly share: number;
  /** What it depends on. */
  readonly assumptions: readonly string[];
  /** Where it happens. */
  readonly place: string;
  /** It is the answer that is lost. */
  readonly answer: boolean;
}

/** What can be said of a walk beyond its steps. */
export interface Explanation {
  /** Who asks whom, by their names. */
  readonly from: string;
  readonly to: string;
  /** Why ways fail, the likeliest first. */
  readonly causes: readonly Cause[];
  /** What is wrong although the packet arrives. */
  readonly warnings: readonly Reason[];
  /** What else is worth knowing: where a walk could go on, and cannot. */
  readonly notes: readonly string[];
  /** The names of addresses that ways lead to. */
  readonly names: Readonly<Record<string, string>>;
}

/** Explains. */
export function explain(cluster: Cluster, walk: Walk): Explanation {
  const context = contextOf(cluster, walk.packet);
  const causes = new Map<string, Cause>();
  for (const each of failuresOf(walk.ends, context)) {
    const key = JSON.stringify([each.text, each.assumptions]);
    const before = causes.get(key);
    causes.set(key, before === undefined ? each : { ...before, share: before.share + each.share });
  }
  const warnings = [...narrow(walk), ...masqueraded(walk, context), ...staleClients(passed(walk), context)];
  return {
    from: senderOf(walk, context),
    to: askedFor(context),
    causes: [...causes.values()].toSorted((a, b) => b.share - a.share),
    notes: [...new Set(walk.ends.flatMap((end) => notesOf(end, context)))],
    names: Object.fromEntries(
      walk.ends.flatMap(({ outcome }) => {
        if (!("to" in outcome)) return [];
        const { address, port } = outcome.to;
        const name = context.names.of(address) ?? context.names.endpointInRules(address, port);
        return name !== undefined ? [[address, name]] : [];
      }),
    ),
    warnings: warnings.filter(({ text }, i) => warnings.findIndex((each) => each.text === text) === i),
  };
}

function failuresOf(ends: readonly Ended[], context: Context): readonly Cause[] {
  return ends.flatMap((end): readonly Cause[] => {
    const { probability, assumptions, place } = end.state;
    const reason = reasonOf(end, context);
    if (reason !== undefined)
      return [{ ...reason, share: probability, assumptions, place, answer: end.state.awaited !== undefined }];
    return (end.answers ?? []).flatMap((answer): readonly Cause[] => {
      const lost = reasonOf(answer, context);
      if (lost === undefined) return [];
      const share = probability * answer.state.probability;
      const { state } = answer;
      return [{ ...lost, share, assumptions: state.assumptions, place: state.place, answer: true }];
    });
  });
}

/** Where it would go on. */
function notesOf({ outcome, state }: Ended, { names, frontEnd, cluster }: Context): readonly string[] {
  if (outcome.kind === "forwarded") {
    const node = names.nodeOf(outcome.gateway ?? outcome.to.address) ?? names.nodeOf(outcome.to.address);
    if (node === undefined || cluster.worlds.some(({ place }) => place === node && place !== state.place)) return [];
    return node === state.place
      ? [`the pods of ${node} are in no snapshot: take it there, without --alone`]
      : [`there is no snapshot of ${node}, where it would go on: add it with --snapshot`];
  }
  if (outcome.kind !== "delivered" || state.awaited !== undefined || frontEnd === undefined) return [];
  const { address, port } = outcome.to;
  const world = cluster.world(state.place);
  const isEndpoint = names.endpoints(frontEnd).some((each) => each.address === address && each.port === port);
  if (world?.role !== "node" || isEndpoint) return [];
  return [
    `a program of ${state.place} takes it, such as a proxy in user space: what that asks an endpoint is a connection of its own`,
  ];
}

function senderOf({ packet, place, places, ends }: Walk, { names }: Context): string {
  const from = names.withName(packet.source);
  const first = ends[0] && stepsOf(ends[0].state).find((step) => step.kind === "hook");
  const comesIn = first?.kind === "hook" && /^comes in/.test(first.text);
  if (comesIn) return from;
  const role = places.find((each) => each.place === place)?.role;
  return role === "pod" ? `pod ${place}` : place;
}

/** The places that packets of a walk passed, answers too. */
function passed({ ends }: Walk): readonly string[] {
  const all = ends.flatMap((end) => [end, ...(end.answers ?? [])]);
  return [
    ...new Set(
      all.flatMap(({ state }) => stepsOf(state).flatMap((step) => (step.kind === "place" ? [step.place] : []))),
    ),
  ];
}
