/** ServiceCIDRs and IPAddresses: where cluster IPs come from, and those that are taken. */
import { tryParseAddress } from "../../../net/address.ts";
import { prefixFamily, tryParsePrefix } from "../../../net/prefix.ts";
import { duplicate, invalid, type Problem, required } from "../errors.ts";
import { listAt, objectAt, sameJson, textAt } from "../json.ts";
import { listBy, of, str, strings, struct } from "../schema/schema.ts";
import { ageColumn, column, nameColumn } from "./columns.ts";
import { defineKind, objectSchema } from "./kind.ts";
import { condition } from "./meta.ts";

const networking = "io.k8s.api.networking.v1";
const group = "networking.k8s.io";

/** The kind ServiceCIDR: a range that cluster IPs come from. */
export const serviceCIDR = defineKind({
  group,
  kind: "ServiceCIDR",
  plural: "servicecidrs",
  namespaced: false,
  status: true,
  schema: objectSchema(`${networking}.ServiceCIDR`, "A range that the addresses of Services come from.", {
    spec: of(
      struct(`${networking}.ServiceCIDRSpec`, "The range.", {
        cidrs: strings("Prefixes, at most one of each family. Cannot change."),
      }),
      "The range.",
    ),
    status: of(
      struct(`${networking}.ServiceCIDRStatus`, "How it is.", {
        conditions: listBy(["type"], condition, "Its aspects."),
      }),
      "How it is.",
    ),
  }),
  columns: [
    nameColumn,
    column("CIDRs", "Its prefixes.", (object) => listAt(object, "spec", "cidrs").join(",")),
    ageColumn,
  ],
  validate: (object) => {
    const cidrs = listAt(object, "spec", "cidrs").map(String);
    const problems: Problem[] = [];
    if (cidrs.length === 0) problems.push(required("spec.cidrs", "at least one CIDR required"));
    if (cidrs.length > 2) problems.push(invalid("spec.cidrs", cidrs, "may only hold up to 2 values"));
    const parsed = cidrs.map((cidr) => tryParsePrefix(cidr));
    for (const [i, prefix] of parsed.entries()) {
      if (prefix === undefined || prefix !== cidrs[i]) {
        problems.push(
          invalid(
            `spec.cidrs[${i}]`,
            cidrs[i],
            "must be a valid CIDR value in canonical form, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
          ),
        );
      }
    }
    const [first, second] = parsed;
    if (first !== undefined && second !== undefined && prefixFamily(first) === prefixFamily(second)) {
      problems.push(duplicate("spec.cidrs[1]", cidrs[1] ?? ""));
    }
    return problems;
  },
  validateUpdate: (object, previous) => {
    const cidrs = listAt(object, "spec", "cidrs");
    const before = listAt(previous, "spec", "cidrs");
    const same = before.every((cidr, i) => sameJson(cidr, cidrs[i]));
    return same ? [] : [invalid("spec.cidrs", cidrs, "field is immutable")];
  },
});

/** The kind IPAddress: an address that is taken. Its name is the address. */
export const ipAddress = defineKind({
  group,
  kind: "IPAddress",
  plural: "ipaddresses",
  shortNames: ["ip"],
  namespaced: false,
  schema: objectSchema(`${networking}.IPAddress`, "An address of a Service, taken so that no other gets it.", {
    spec: of(
      struct(`${networking}.IPAddressSpec`, "Who has it.", {
        parentRef: of(
          struct(
            `${networking}.ParentReference`,
            "The object that has it.",
            { group: str("API group."), resource: str("Resource."), namespace: str("Namespace."), name: str("Name.") },
            { required: ["resource", "name"] },
          ),
          "The object that has it. Cannot change.",
        ),
      }),
      "Who has it.",
    ),
  }),
  columns: [
    nameColumn,
    column("ParentRef", "The object that has it.", (object) => {
      const parent = objectAt(object, "spec", "parentRef");
      return [textAt(parent, "resource"), textAt(parent, "namespace"), textAt(parent, "name")]
        .filter((part) => part !== "")
        .join("/");
    }),
    ageColumn,
  ],
  validate: (object) => {
    const name = textAt(object, "metadata", "name");
    const problems: Problem[] = [];
    if (tryParseAddress(name) !== name)
      problems.push(invalid("metadata.name", name, "must be an IP address in canonical form"));
    if (objectAt(object, "spec").parentRef === undefined) problems.push(required("spec.parentRef"));
    return problems;
  },
  validateUpdate: (object, previous) =>
    sameJson(object.spec, previous.spec)
      ? []
      : [invalid("spec.parentRef", objectAt(object, "spec", "parentRef"), "field is immutable")],
});
