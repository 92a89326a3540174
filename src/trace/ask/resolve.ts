/** Turns what people write into the question of a walk: places, addresses, ports. Pure. */
import { familyOf } from "../../net/address.ts";
import type { Cluster } from "../walk/cluster.ts";
import type { Question } from "../walk/index.ts";
import type { Asking } from "./lookup.ts";
import type { From, To } from "./parse.ts";
import { resolveFrom } from "./sender.ts";
import { layerOf, nameOf, resolveTo } from "./target.ts";

/** The two ends of a question. */
export type Ends = Pick<Question, "place" | "input"> & {
  readonly packet: Pick<
    Question["packet"],
    "family" | "source" | "destination" | "protocol" | "destinationPort" | "icmpType"
  >;
};

/**
 * Finds the two ends.
 *
 * @throws {RangeError} a sentence that says what is not known, and what there is.
 */
export function resolveEnds(cluster: Cluster, from: From, to: To, asking: Asking): Ends {
  const target = resolveTo(cluster, to, asking);
  const start = resolveFrom(cluster, from, asking, target.addresses);
  const families = start.families;
  const destination =
    target.addresses.find((each) => (asking.family ?? families[0]) === familyOf(each)) ??
    target.addresses.find((each) => families.includes(familyOf(each)));
  const [first] = target.addresses;
  if (first === undefined) throw new RangeError(`${nameOf(to)} has no address`);
  if (destination === undefined) {
    throw new RangeError(`${nameOf(to)} is reached over ${familyOf(first)}, which the sender does not have`);
  }
  const family = familyOf(destination);
  const packet = { family, destination, ...layerOf(family, target) };
  const { place, input, source } = start.at(destination);
  return {
    ...(place !== undefined && { place }),
    ...(input !== undefined && { input }),
    packet: { ...packet, ...(source !== undefined && { source }) },
  };
}
