/** What every cluster has from the start. */
import type { Prefix } from "../../net/prefix.ts";
import { type Api, internal, isCode } from "./api.ts";
import type { JsonObject } from "./json.ts";
import { addressAt } from "./services/ranges.ts";

/** Namespaces that every cluster has. */
export const systemNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** Makes what is missing: namespaces, the range of cluster IPs, and the Service of the API itself. */
export function bootstrap(api: Api, serviceCIDRs: readonly Prefix[], port: number): void {
  const ensure = (resource: string, namespace: string, object: JsonObject): void => {
    const kind = api.kinds.kindOf(resource);
    if (kind === undefined) throw new Error(`there is no kind for ${resource}`);
    try {
      api.create(kind, namespace, object, internal);
    } catch (error) {
      if (!isCode(error, 409)) throw error;
    }
  };
  for (const name of systemNamespaces) ensure("namespaces", "", { metadata: { name } });
  ensure("servicecidrs.networking.k8s.io", "", { metadata: { name: "kubernetes" }, spec: { cidrs: serviceCIDRs } });
  const [first] = serviceCIDRs;
  if (first === undefined) throw new RangeError("a cluster needs at least one range of cluster IPs");
  const labels = { component: "apiserver", provider: "kubernetes" };
  const ports = [{ name: "https", port: 443, protocol: "TCP", targetPort: port }];
  ensure("services", "default", {
    metadata: { name: "kubernetes", labels },
    spec: { clusterIP: addressAt(first, 0), ports, sessionAffinity: "None" },
  });
}
