/** The DNS of a lab: `portolan dns` as a Deployment behind Service kube-dns, as in most clusters. Pure. */
import { fileURLToPath } from "node:url";
import { clusterDomain, dnsAddress } from "./plan/addresses.ts";

const program = fileURLToPath(new URL("../cli/main.ts", import.meta.url));
const labels = { "k8s-app": "kube-dns" } as const;
const metadata = { name: "kube-dns", namespace: "kube-system", labels } as const;

/** Where the Deployment is. */
export const dnsDeployment: { readonly namespace: string; readonly name: string } = metadata;

/**
 * The Corefile of a lab's DNS. It knows the cluster and nobody else: outside of a lab there is nothing.
 *
 * @param kubeconfig a file that leads to the API server from inside of the lab.
 */
export function dnsCorefile(kubeconfig: string): string {
  return `${clusterDomain}:53 in-addr.arpa:53 ip6.arpa:53 {
    errors
    health {
        lameduck 1s
    }
    ready
    kubernetes {
        kubeconfig ${kubeconfig}
        pods insecure
        ttl 5
    }
    prometheus :9153
    reload
}

.:53 {
    template ANY ANY {
        rcode NXDOMAIN
    }
}
`;
}

/** The objects of a lab's DNS. @param corefile the path of its Corefile. */
export function dnsObjects(corefile: string): readonly object[] {
  const ports = [
    { name: "dns", port: 53, protocol: "UDP" },
    { name: "dns-tcp", port: 53, protocol: "TCP" },
    { name: "metrics", port: 9153, protocol: "TCP" },
  ];
  // Where programs keep compiled code, it starts in half the time.
  const { NODE_COMPILE_CACHE: cache } = process.env;
  const container = {
    name: "dns",
    image: "portolan/dns",
    command: [process.execPath, "--disable-warning=ExperimentalWarning", program, "dns", "-conf", corefile],
    ...(cache !== undefined && { env: [{ name: "NODE_COMPILE_CACHE", value: cache }] }),
    ports: ports.map(({ name, port, protocol }) => ({ name, containerPort: port, protocol })),
    readinessProbe: { httpGet: { path: "/ready", port: 8181 }, periodSeconds: 2 },
    livenessProbe: { httpGet: { path: "/health", port: 8080 }, initialDelaySeconds: 10, failureThreshold: 5 },
  };
  const template = {
    metadata: { labels },
    spec: { dnsPolicy: "Default", terminationGracePeriodSeconds: 5, containers: [container] },
  };
  return [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: { replicas: 1, selector: { matchLabels: labels }, template },
    },
    { apiVersion: "v1", kind: "Service", metadata, spec: { clusterIP: dnsAddress, selector: labels, ports } },
  ];
}
