/** All controllers of a cluster on one machine. What a kubelet does (phases, addresses, readiness) is not among them. */
import type { Prefix } from "../../net/prefix.ts";
import type { Api } from "../server/api.ts";
import { daemonSetController } from "./daemonset.ts";
import { definitionController } from "./definitions.ts";
import { deploymentController } from "./deployment.ts";
import { disruptionController } from "./disruption.ts";
import { endpointsController } from "./endpoints.ts";
import { eventController } from "./events.ts";
import { garbageCollector } from "./garbage.ts";
import { runControllers } from "./loop.ts";
import { mirrorController } from "./mirror.ts";
import { namespaceController } from "./namespaces.ts";
import { nodeLifecycleController } from "./nodelifecycle.ts";
import { nodeController, usualPodRange } from "./nodes.ts";
import { orphanedPodController } from "./orphanedpods.ts";
import { replicaSetController } from "./replicaset.ts";
import { scheduler } from "./scheduler.ts";

/** Settings of the controllers. */
export interface ControllerOptions {
  /** Ranges from which nodes get prefixes for their pods, at most one of each family. */
  readonly podCIDRs: readonly Prefix[];
  /** Told of errors that trying again may not heal. */
  readonly report?: (error: unknown) => void;
}

/** Starts the controllers; they stop when the signal is aborted. */
export function startControllers(api: Api, options: ControllerOptions, signal: AbortSignal): void {
  const controllers = [
    namespaceController(api),
    definitionController(api),
    nodeController(api, options.podCIDRs.map(usualPodRange)),
    nodeLifecycleController(api),
    deploymentController(api),
    replicaSetController(api),
    daemonSetController(api),
    scheduler(api),
    endpointsController(api),
    disruptionController(api),
    mirrorController(api),
    orphanedPodController(api),
    garbageCollector(api),
    eventController(api),
  ];
  runControllers(api, controllers, options.report ?? console.error, signal);
}
