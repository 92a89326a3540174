/** What leads from Service `kubernetes` to the lab's API server. Pure. */
import type { Address } from "../net/address.ts";

/** The endpoints of the Service. @param address where pods find the API server. @param port its port there. */
export function apiEndpoints(address: Address, port: number): readonly object[] {
  const metadata = { name: "kubernetes", namespace: "default" };
  const ports = [{ name: "https", port, protocol: "TCP" }];
  const endpoints = {
    apiVersion: "v1",
    kind: "Endpoints",
    // Its slice is written here too.
    metadata: { ...metadata, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
    subsets: [{ addresses: [{ ip: address }], ports }],
  };
  const slice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { ...metadata, labels: { "kubernetes.io/service-name": "kubernetes" } },
    addressType: "IPv4",
    ports,
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  };
  return [endpoints, slice];
}
