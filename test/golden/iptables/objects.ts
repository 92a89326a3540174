/** The objects of objects.yaml as the proxy sees them: decisions and settings of the node `here`. */
import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { type EndpointSlice, projectEndpointSlice } from "../../../src/kube/objects/endpointslice.ts";
import { projectService, type Service } from "../../../src/kube/objects/service.ts";
import { parseAddress } from "../../../src/net/address.ts";
import { parsePrefix } from "../../../src/net/prefix.ts";
import type { Desired } from "../../../src/proxy/modes/mode.ts";
import { type Decision, type DecisionKey, decisionKey } from "../../../src/service/decision.ts";
import { decide } from "../../../src/service/policy.ts";
import type { NodeSettings } from "../../../src/service/settings.ts";

const settings: NodeSettings = {
  masqueradeBit: 14,
  families: {
    IPv4: {
      detector: { kind: "prefixes", prefixes: [parsePrefix("10.0.0.0/8")] },
      nodePortAddresses: { kind: "all", loopback: true },
      serviceCIDRs: [],
    },
    IPv6: {
      detector: { kind: "prefixes", prefixes: [parsePrefix("fd00:10::/64")] },
      nodePortAddresses: { kind: "all", loopback: false },
      serviceCIDRs: [],
    },
  },
};

/** What objects.yaml asks for. */
export function goldenDesired(): Desired {
  const services: Service[] = [];
  const slices: EndpointSlice[] = [];
  for (const document of parseAllDocuments(readFileSync(new URL("objects.yaml", import.meta.url), "utf8"))) {
    const object = document.toJS() as { readonly kind: string };
    const projected = object.kind === "Service" ? projectService(object) : projectEndpointSlice(object);
    if (projected.outcome !== "object") throw new Error(JSON.stringify(projected));
    if (projected.object.kind === "Service") services.push(projected.object);
    else slices.push(projected.object);
  }
  const context = {
    nodeName: "here",
    zone: "",
    families: {
      IPv4: { detector: true, nodeAddress: parseAddress("192.168.0.2") },
      IPv6: { detector: true, nodeAddress: parseAddress("fd00:192::2") },
    },
    masqueradeAll: false,
    allowExternalIPs: true,
  };
  const decisions = new Map<DecisionKey, Decision>();
  for (const service of services) {
    const own = slices.filter((slice) => slice.namespace === service.namespace && slice.service === service.name);
    for (const decision of decide(service, own, context)) {
      decisions.set(decisionKey(decision.service, decision.family), decision);
    }
  }
  return { settings, decisions };
}
