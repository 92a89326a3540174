/** Zones in the arguments of directives. */
import { parseZones } from "../corefile/key.ts";
import type { Stanza } from "../corefile/stanza.ts";
import { isWithin } from "../wire/names.ts";
import type { Fallthrough } from "./plugin.ts";
import type { Site } from "./site.ts";

/**
 * Zones from arguments, in lower case; prefixes become reverse zones.
 *
 * @param args the arguments; those of the server block's keys are used if there are none.
 * @throws {CorefileError} if one is not a zone.
 */
export function zonesOf(stanza: Stanza, args: readonly string[], site: Site): readonly string[] {
  return args.length === 0 ? site.zones : namesOf(stanza, args);
}

/** Parses each argument as a zone or prefix. */
export function namesOf(stanza: Stanza, args: readonly string[]): readonly string[] {
  return args.flatMap((text) => {
    try {
      return parseZones(text);
    } catch (error) {
      throw stanza.error(error instanceof Error ? error.message : String(error));
    }
  });
}

/** Never passes on. */
export const noFallthrough: Fallthrough = () => false;

/** Reads a `fallthrough [ZONES...]` property: names in these zones fall through, without zones all names do. */
export function fallthroughOf(property: Stanza): Fallthrough {
  const zones = property.args.length === 0 ? ["."] : namesOf(property, property.args);
  return (name) => zones.some((zone) => isWithin(name, zone));
}
