/** Which address families a Service gets (KEP-563, dual stack). Pure. */
import { families as allFamilies, type Family, familyOf, tryParseAddress } from "../../../net/address.ts";
import { invalid, type Problem } from "../errors.ts";
import { type JsonObject, listAt, objectAt, textAt } from "../json.ts";

/** The families of a Service with its policy, or what is wrong with what it asks for. */
export type FamilyChoice =
  | { readonly families: readonly Family[]; readonly policy: string; readonly problems?: undefined }
  | { readonly problems: readonly Problem[] };

/**
 * Decides the families of a Service that has its other defaults and is no ExternalName. `configured` are the families of
 * the cluster, the preferred one first.
 */
export function chooseFamilies(
  spec: JsonObject,
  previous: JsonObject | undefined,
  configured: readonly Family[],
): FamilyChoice {
  const headless = textAt(spec, "clusterIP") === "None";
  const anywhere = headless && Object.keys(objectAt(spec, "selector")).length === 0;
  const ips = listAt(spec, "clusterIPs").flatMap((ip) => tryParseAddress(String(ip)) ?? []);
  const single = tryParseAddress(textAt(spec, "clusterIP"));
  const named = listAt(spec, "ipFamilies").filter((name): name is Family => name === "IPv4" || name === "IPv6");
  let families =
    named.length > 0 ? [...named] : (ips.length > 0 ? ips : single === undefined ? [] : [single]).map(familyOf);
  // Addresses beyond the named families name theirs.
  for (const ip of ips.slice(families.length)) if (!families.includes(familyOf(ip))) families.push(familyOf(ip));
  const policy =
    textAt(spec, "ipFamilyPolicy") || (anywhere && previous === undefined ? "RequireDualStack" : "SingleStack");
  const dual = policy !== "SingleStack";
  if (!dual && families.length > 1) {
    const before = previous === undefined ? "" : textAt(previous, "ipFamilyPolicy");
    if (before === "" || before === "SingleStack") {
      const why = "must be RequireDualStack or PreferDualStack when multiple IP families are specified";
      return { problems: [invalid("spec.ipFamilyPolicy", policy, why)] };
    }
    families = families.slice(0, 1);
  }
  const problems: Problem[] = [];
  if (!anywhere) {
    for (const [i, family] of families.entries()) {
      if (!configured.includes(family))
        problems.push(invalid(`spec.ipFamilies[${i}]`, family, "not configured on this cluster"));
    }
    if (policy === "RequireDualStack" && configured.length < 2) {
      problems.push(invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services"));
    }
  }
  if (problems.length > 0) return { problems };
  if (families.length === 0) families = configured.slice(0, 1);
  if (dual && families.length === 1) {
    const other = allFamilies.filter((family) => !families.includes(family));
    families.push(...other.filter((family) => anywhere || configured.includes(family)));
  }
  return { families, policy };
}
