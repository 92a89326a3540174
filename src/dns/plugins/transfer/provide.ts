/** What plugins with zones do for plugin transfer. */
import type { Site } from "../../server/site.ts";
import type { ResourceRecord } from "../../wire/record.ts";
import type { Zone } from "../../zone/zone.ts";
import { TransferHandler } from "./transfer.ts";

/** The records of a zone for a transfer; the SOA alone for a client that has this serial already. */
export function transferOf(zone: Zone | undefined, serial: number): Iterable<ResourceRecord> | undefined {
  if (zone === undefined) return undefined;
  return serial !== 0 && serial === zone.serial ? [zone.soa] : zone.transfer();
}

/** Tells the servers that plugin transfer names that a zone has changed; does nothing without that plugin. */
export function notifySecondaries(site: Site, zone: string): void {
  const handler = site.handler("transfer");
  if (handler instanceof TransferHandler) handler.notify(zone);
}
