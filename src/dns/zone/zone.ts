/** A zone in memory: its records by name and type, and which names exist without records of their own. */
import { TYPE } from "../wire/codes.ts";
import { compareNames, isWithin, parentOf } from "../wire/names.ts";
import { is, type ResourceRecord } from "../wire/record.ts";

/** The records of one name by type; signatures are kept by the type that they cover. */
export interface ZoneNode {
  readonly records: ReadonlyMap<number, readonly ResourceRecord[]>;
  readonly signatures: ReadonlyMap<number, readonly ResourceRecord[]>;
}

const emptyNode: ZoneNode = { records: new Map(), signatures: new Map() };

/** A zone. It does not change: a new version is a new zone. */
export class Zone {
  /** In lower case. */
  readonly origin: string;
  readonly soa: ResourceRecord<"SOA">;
  readonly #nodes: ReadonlyMap<string, ZoneNode>;
  /** Names in the order of DNSSEC, of those that have an NSEC record. */
  readonly #chain: readonly string[];
  /** How many records it has. */
  readonly size: number;

  /**
   * Makes a zone of its records. Those outside of it are left out; further copies of one too.
   *
   * @throws {TypeError} if there is no SOA record at the origin, or more than one.
   */
  constructor(origin: string, records: Iterable<ResourceRecord>) {
    this.origin = origin.toLowerCase();
    const nodes = new Map<
      string,
      { records: Map<number, ResourceRecord[]>; signatures: Map<number, ResourceRecord[]> }
    >();
    const soas: ResourceRecord<"SOA">[] = [];
    let size = 0;
    for (const record of records) {
      const owner = record.name.toLowerCase();
      if (!isWithin(owner, this.origin)) continue;
      if (is(record, "SOA")) {
        if (owner !== this.origin || (soas.length > 0 && soas[0]?.data.serial === record.data.serial)) continue;
        soas.push(record);
      }
      const node = nodes.get(owner) ?? { records: new Map(), signatures: new Map() };
      nodes.set(owner, node);
      const covered = is(record, "RRSIG") ? record.data.covered : undefined;
      const map = covered === undefined ? node.records : node.signatures;
      const key = covered ?? record.type;
      const set = map.get(key);
      if (set === undefined) map.set(key, [record]);
      else set.push(record);
      size++;
    }
    const [soa, second] = soas;
    if (soa === undefined) throw new TypeError(`zone ${this.origin} has no SOA record`);
    if (second !== undefined) throw new TypeError(`zone ${this.origin} has more than one SOA record`);
    this.soa = soa;
    this.size = size;
    this.#chain = [...nodes].flatMap(([name, node]) => (node.records.has(TYPE.NSEC) ? [name] : [])).sort(compareNames);
    // Names between a record and the origin exist, even if they have no record (RFC 4592 2.2.2).
    for (const name of [...nodes.keys()]) {
      for (let above = name; above !== this.origin; ) {
        above = parentOf(above);
        if (nodes.has(above)) break;
        nodes.set(above, { records: new Map(), signatures: new Map() });
      }
    }
    this.#nodes = nodes;
  }

  get serial(): number {
    return this.soa.data.serial;
  }

  /** The node of a name in lower case; one without records for names that exist only because of those below. */
  node(name: string): ZoneNode | undefined {
    return this.#nodes.get(name);
  }

  /** The apex. */
  get apex(): ZoneNode {
    return this.#nodes.get(this.origin) ?? emptyNode;
  }

  /** The owner of the NSEC record that covers a name: the last one before it; undefined if the zone has none. */
  covering(name: string): string | undefined {
    if (this.#chain.length === 0) return undefined;
    let low = 0;
    let high = this.#chain.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareNames(this.#chain[middle] ?? "", name) <= 0) low = middle + 1;
      else high = middle;
    }
    return this.#chain.at(low - 1);
  }

  /** All records, the SOA first and last, as a zone transfer sends them (RFC 5936 2.2). */
  *transfer(): Generator<ResourceRecord> {
    yield this.soa;
    for (const { records, signatures } of this.#nodes.values()) {
      for (const set of [...records.values(), ...signatures.values()]) {
        for (const record of set) if (record !== this.soa) yield record;
      }
    }
    yield this.soa;
  }
}
