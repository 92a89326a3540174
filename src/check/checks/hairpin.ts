import { type Check, command, some } from "../finding.ts";

/** Ports that are told one by one. */
const few = 3;

/** Pods that cannot reach themselves through a Service. */
export const hairpin: Check = {
  name: "hairpin",
  about:
    "Whether the bridge of the pods lets a packet out where it came in: a pod behind a Service may be its own endpoint.",
  seen: ["kubernetes/kubernetes#20475", "kubernetes/kubernetes#22717", "cloudnativelabs/kube-router#189"],
  run(facts) {
    return facts.podBridges
      .filter(({ promiscuous }) => promiscuous !== true)
      .flatMap(({ name, index }) => {
        const ports = facts.snapshot.links.filter(
          ({ master, linkNamespace }) => master === index && linkNamespace !== undefined,
        );
        const off = ports.filter(({ port }) => port?.hairpin === false).map((port) => port.name);
        if (off.length === 0) return [];
        return [
          {
            severity: "error",
            subject: `bridge ${name}`,
            message: `${off.length} of ${ports.length} pods' ports of bridge ${name} are not in hairpin mode (${some(off)}): such a pod gets no answer when the Service that it asks chooses the pod itself.`,
            remedy: `turn it on, and "hairpinMode": true in the CNI configuration for pods to come`,
            run:
              off.length <= few
                ? off.map((port) => command`bridge link set dev ${port} hairpin on`)
                : [
                    command`for port in $(ls /sys/class/net/${name}/brif); do bridge link set dev $port hairpin on; done`,
                  ],
          },
        ];
      });
  },
};
