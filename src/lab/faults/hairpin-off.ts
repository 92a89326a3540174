import { listLinks, openRoute, setBridgePort } from "../../kernel/route/index.ts";
import type { Fault, FaultStage } from "./fault.ts";

/** A pod cannot reach itself through its Service. */
export const hairpinOff: Fault = {
  name: "hairpin-off",
  deed: "The ports of the nodes' bridges no longer let a packet out where it came in.",
  symptom: "A pod that asks a Service which it is itself behind waits in vain, but only now and then.",
  explanation:
    "When the proxy chooses the very pod that asks, the packet must leave the bridge through the port it came in by. A bridge does not do that unless the port is in hairpin mode: see `bridge -d link` on the node.",
  remedy: "bridge link set dev PORT hairpin on, for every port of cbr0",
  break: (stage) => setHairpin(stage, false),
  repair: (stage) => setHairpin(stage, true),
};

function setHairpin({ nodes }: FaultStage, hairpin: boolean): void {
  for (const { namespace, state } of nodes) {
    if (state !== "running") continue;
    using socket = openRoute(namespace);
    for (const { index, port } of listLinks(socket)) if (port !== undefined) setBridgePort(socket, index, { hairpin });
  }
}
