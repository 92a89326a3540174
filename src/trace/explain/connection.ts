/** Failures whose cause is what a connection tracker remembers. */
import { statusBit } from "../../kernel/conntrack/index.ts";
import { formatHostPort, protocolFromNumber } from "../../net/protocol.ts";
import type { Ended, Step } from "../walk/index.ts";
import { stepsOf } from "../walk/index.ts";
import { titleOf } from "./names.ts";
import type { Context, Reason } from "./reason.ts";

type TrackedStep = Extract<Step, { kind: "tracked" }>;

/** A connection that is tracked sends the packet where nobody is any more. */
export function trackedReason({ state }: Ended, context: Context): Reason | undefined {
  const steps = stepsOf(state);
  const at = steps.findIndex((step) => step.kind === "tracked" && step.real && step.direction === "original");
  const step = steps[at];
  if (step?.kind !== "tracked") return undefined;
  const place = steps.slice(0, at).findLast((each) => each.kind === "place");
  const where = place?.kind === "place" ? place.place : state.place;
  const { original, reply } = step;
  const moved = original.destination !== reply.source || original.destinationPort !== reply.sourcePort;
  if (!moved && context.frontEnd === undefined) return undefined;
  return staleText(step, where, context);
}

function staleText(
  { original, reply }: Pick<TrackedStep, "original" | "reply">,
  place: string,
  context: Context,
): Reason {
  const { names, frontEnd } = context;
  const end = (address: typeof reply.source, port: number | undefined) =>
    port === undefined ? address : formatHostPort(address, port);
  const protocol = protocolFromNumber(original.protocol) ?? "";
  const known =
    frontEnd !== undefined &&
    names.endpoints(frontEnd).some((each) => each.address === reply.source && each.port === reply.sourcePort);
  const what =
    original.destination === reply.source
      ? "as it is, untranslated"
      : `to ${end(reply.source, reply.sourcePort)}${known ? "" : frontEnd === undefined ? "" : `, which is no endpoint of ${titleOf(frontEnd)} any more`}`;
  const port = original.sourcePort === undefined ? "" : ` --orig-port-src ${original.sourcePort}`;
  return {
    text: `the connection tracker of ${place} remembers the ${protocol} connection from ${end(original.source, original.sourcePort)} to ${end(original.destination, original.destinationPort)}, and sends its packets ${what}; each packet keeps the entry alive`,
    remedy: `conntrack -D -p ${protocol.toLowerCase()} --orig-src ${original.source} --orig-dst ${original.destination}${port}, on ${place}`,
  };
}

/**
 * Clients that a walk without a source port does not speak of: whoever keeps one of these ports is sent to somebody who
 * is no endpoint any more.
 */
export function staleClients(places: readonly string[], context: Context): readonly Reason[] {
  const { asked, frontEnd, names, cluster } = context;
  if (asked.protocol !== 17 || asked.sourcePort !== undefined || frontEnd === undefined) return [];
  const endpoints = new Set(names.endpoints(frontEnd).map(({ address, port }) => formatHostPort(address, port)));
  for (const place of places) {
    const stale = cluster
      .world(place)
      ?.snapshot.conntrack.find(
        ({ original, reply, status }) =>
          original.protocol === asked.protocol &&
          original.source === asked.source &&
          original.destination === asked.destination &&
          original.destinationPort === asked.destinationPort &&
          (status & statusBit.confirmed) !== 0 &&
          !endpoints.has(formatHostPort(reply.source, reply.sourcePort ?? 0)),
      );
    if (stale === undefined) continue;
    const reason = staleText(stale, place, context);
    return [{ ...reason, text: `clients that keep their source port may be stuck: ${reason.text}` }];
  }
  return [];
}
