/**
 * Legacy Endpoints (`v1.Endpoints`), the forerunner of EndpointSlices that manifests still carry: turned into raw
 * EndpointSlices, so that every projection of those applies.
 */
import { type Family, families, familyOf } from "../../net/address.ts";
import { serviceNameLabel, triggerTimeAnnotation } from "./endpointslice.ts";
import { type Fields, Problems } from "./fields.ts";
import type { Projected } from "./resource.ts";

/**
 * The EndpointSlices that say what a raw `v1.Endpoints` says: one for each subset and address family, named
 * `<name>-subset-<number>-<family>`. `addresses` become ready endpoints, `notReadyAddresses` those that are not.
 */
export function endpointSlicesOf(raw: unknown): Projected<readonly Fields[]> {
  const problems = new Problems();
  const root = problems.fields("Endpoints", raw);
  const metadata = problems.fields("metadata", root.metadata);
  const name = problems.name("metadata.name", metadata.name, "label");
  const annotations = problems.fields("metadata.annotations", metadata.annotations);
  const labels = problems.fields("metadata.labels", metadata.labels);
  const slices = problems.each("subsets", root.subsets, (path, item) => {
    const subset = problems.fields(path, item);
    const endpoints = [
      ...readEndpoints(`${path}.addresses`, subset.addresses, true, problems),
      ...readEndpoints(`${path}.notReadyAddresses`, subset.notReadyAddresses, false, problems),
    ];
    const number = path.slice(path.indexOf("[") + 1, -1);
    return families.flatMap((family) => {
      const ofFamily = endpoints.filter((endpoint) => endpoint.family === family);
      if (ofFamily.length === 0) return [];
      const slice: Fields = {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: {
          namespace: metadata.namespace,
          name: `${name}-subset-${number}-${family.toLowerCase()}`,
          labels: { ...labels, [serviceNameLabel]: name },
          annotations: { [triggerTimeAnnotation]: annotations[triggerTimeAnnotation] },
        },
        addressType: family,
        ports: subset.ports,
        endpoints: ofFamily.map((endpoint) => endpoint.raw),
      };
      return [slice];
    });
  });
  return problems.result(() => slices.flat());
}

function readEndpoints(path: string, value: unknown, ready: boolean, problems: Problems) {
  return problems.each(path, value, (at, item): { readonly family: Family; readonly raw: Fields } | undefined => {
    const entry = problems.fields(at, item);
    const address = problems.reachableAddress(`${at}.ip`, entry.ip);
    if (address === undefined) return undefined;
    const { hostname, nodeName, targetRef } = entry;
    const raw = { addresses: [address], conditions: { ready, serving: ready }, hostname, nodeName, targetRef };
    return { family: familyOf(address), raw };
  });
}
