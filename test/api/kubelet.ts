/**
 * A stand-in for node agents in tests of the API: nodes that are Ready, pods that get an address and run as soon as they
 * have a node, and end when they are told to. It works through the API like a real one.
 */
import { type Api, internal, isCode } from "../../src/kube/server/api.ts";
import { type ApiObject, listAt, objectAt, textAt } from "../../src/kube/server/json.ts";
import { node as nodeKind } from "../../src/kube/server/kinds/cluster.ts";
import { pod as podKind } from "../../src/kube/server/kinds/pod.ts";
import { timestamp } from "../../src/kube/server/lifecycle.ts";

/** What the agents do with a pod: `ready` delays its readiness, `ending` its end (milliseconds); images named `broken*` never get ready. */
export interface KubeletOptions {
  readonly ready?: number;
  readonly ending?: number;
}

/** Makes nodes and runs what is scheduled to them, until the signal is aborted. */
export function runKubelets(api: Api, nodes: readonly string[], options: KubeletOptions, signal: AbortSignal): void {
  const { ready = 20, ending = 20 } = options;
  let address = 1;
  for (const [i, name] of nodes.entries()) {
    const labels = { "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": `zone-${i % 2}` };
    try {
      api.create(nodeKind, "", { metadata: { name, labels } }, internal);
    } catch (error) {
      if (!isCode(error, 409)) throw error;
    }
    const conditions = [
      {
        type: "Ready",
        status: "True",
        reason: "KubeletReady",
        message: "ready",
        lastTransitionTime: timestamp(api.now()),
      },
    ];
    const addresses = [{ type: "InternalIP", address: `192.0.2.${i + 1}` }];
    const nodeInfo = {
      kubeletVersion: "v1.33.0",
      osImage: "Test",
      kernelVersion: "6",
      containerRuntimeVersion: "none",
    };
    const node = api.get(nodeKind, "", name);
    api.update(nodeKind, "", name, { ...node, status: { conditions, addresses, nodeInfo } }, "status", internal);
  }
  const seen = new Set<string>();
  const later = (delay: number, action: () => void) => {
    const timer = setTimeout(() => {
      if (signal.aborted) return;
      try {
        action();
      } catch (error) {
        if (!isCode(error, 404) && !isCode(error, 409)) throw error;
      }
    }, delay);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  };
  const run = (pod: ApiObject) => {
    const { namespace = "", name, uid } = pod.metadata;
    const ip = `10.244.${address >> 8}.${address++ & 255}`;
    const set = (isReady: boolean) => {
      const current = api.get(podKind, namespace, name);
      if (current.metadata.uid !== uid) return;
      const now = timestamp(api.now());
      const state = { running: { startedAt: now } };
      const containerStatuses = listAt(current, "spec", "containers").map((container) => ({
        name: textAt(container, "name"),
        image: textAt(container, "image"),
        imageID: "",
        ready: isReady,
        restartCount: 0,
        state,
      }));
      const others = listAt(current, "status", "conditions").filter((item) => textAt(item, "type") === "PodScheduled");
      const conditions = [...others, { type: "Ready", status: isReady ? "True" : "False", lastTransitionTime: now }];
      const status = {
        ...objectAt(current, "status"),
        phase: "Running",
        podIP: ip,
        podIPs: [{ ip }],
        startTime: now,
        conditions,
        containerStatuses,
      };
      api.update(podKind, namespace, name, { ...current, status }, "status", internal);
    };
    const broken = textAt(listAt(pod, "spec", "containers")[0], "image").startsWith("broken");
    // One after the other: of two timers that are both overdue, the later one may fire first.
    later(1, () => {
      set(false);
      if (!broken) later(ready, () => set(true));
    });
  };
  let version = -1;
  const look = () => {
    if (signal.aborted) return;
    const changes = api.store.log("pods").after(version, Number.POSITIVE_INFINITY);
    version = api.store.version;
    for (const pod of changes?.flatMap(({ type, object }) => (type === "DELETED" ? [] : [object])) ??
      api.list("pods")) {
      const { namespace = "", name, uid, deletionTimestamp } = pod.metadata;
      if (textAt(pod, "spec", "nodeName") === "") continue;
      const key = `${uid}${deletionTimestamp === undefined ? "" : "/ending"}`;
      if (seen.has(key)) continue;
      seen.add(key);
      if (deletionTimestamp === undefined) run(pod);
      else later(ending, () => void api.delete(podKind, namespace, name, { dryRun: false, graceSeconds: 0, uid }));
    }
  };
  const unsubscribe = api.store.subscribe((resource) => {
    if (resource === "pods") setImmediate(look);
  });
  signal.addEventListener("abort", unsubscribe, { once: true });
  look();
}
