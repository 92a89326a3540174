/** Files like /etc/hosts: an address and its names on each line. */
import { type Address, familyOf, tryParseAddress } from "../../../net/address.ts";
import { labelsOf, parentOf, tryParseName } from "../../wire/names.ts";

/** Addresses by name and names by address. Names are absolute, in lower case. */
export class HostsTable {
  readonly #addresses = new Map<string, Address[]>();
  readonly #names = new Map<Address, string[]>();

  /** How many names and addresses it has. */
  get size(): number {
    return this.#addresses.size + this.#names.size;
  }

  /** Adds the lines of a file. Lines that are not of that form are left out, as resolvers do. */
  add(text: string): void {
    for (const line of text.split("\n")) {
      const [first = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
      const address = tryParseAddress(first.replace(/%.*/, ""));
      if (address === undefined) continue;
      for (const text of names) {
        const name = tryParseName(text)?.toLowerCase();
        if (name === undefined) continue;
        push(this.#addresses, name, address);
        push(this.#names, address, name);
      }
    }
  }

  /** The addresses of a name of one family; those of `*.parent` if the name itself has no line. */
  addresses(name: string, family: "IPv4" | "IPv6"): readonly Address[] {
    return (this.#find(name) ?? []).filter((address) => familyOf(address) === family);
  }

  /** True if the name has a line, whatever the family of its addresses. */
  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  /** The names of an address, without wildcards. */
  names(address: Address): readonly string[] {
    return (this.#names.get(address) ?? []).filter((name) => !name.startsWith("*."));
  }

  #find(name: string): readonly Address[] | undefined {
    const own = this.#addresses.get(name);
    if (own !== undefined || labelsOf(name).length < 2) return own;
    return this.#addresses.get(`*.${parentOf(name)}`);
  }
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key) ?? [];
  if (!values.includes(value)) values.push(value);
  map.set(key, values);
}
