/** What runs on each node, kept up as pods change: so that placing a pod costs as much as there are nodes. */
import { type ApiObject, isObject, listAt, numberAt, textAt } from "../server/json.ts";
import type { Change } from "../server/store/log.ts";
import { controllerOf } from "./action.ts";
import { keyOfObject } from "./loop.ts";
import { hasEnded, isTerminating, nodeOf } from "./pods.ts";

/** What a pod takes on its node. */
interface Share {
  readonly node: string;
  /** The UID of its controller, empty for pods that are ending. */
  readonly owner: string;
  readonly ports: readonly string[];
}

/** What the pods of a node take together. */
interface Load {
  all: number;
  readonly owners: Map<string, number>;
  readonly ports: Map<string, number>;
}

/** The UID of a pod's controller; empty if it has none. */
export function ownerOf(pod: ApiObject): string {
  return String(controllerOf(pod)?.uid ?? "");
}

/** The ports of its node that a pod wants, with their protocols. */
export function hostPorts(pod: ApiObject): readonly string[] {
  return listAt(pod, "spec", "containers").flatMap((container) =>
    listAt(container, "ports")
      .filter(isObject)
      .filter((port) => numberAt(port, ["hostPort"]) > 0)
      .map((port) => `${numberAt(port, ["hostPort"])}/${textAt(port, "protocol")}`),
  );
}

/** The pods of nodes, those that have ended left out. */
export class Occupancy {
  readonly #shares = new Map<string, Share>();
  readonly #loads = new Map<string, Load>();

  /** Of these pods. */
  static of(pods: readonly ApiObject[]): Occupancy {
    const occupancy = new Occupancy();
    for (const pod of pods) occupancy.put(pod);
    return occupancy;
  }

  /** Takes note of a change; of the same one twice without harm. */
  note({ type, object }: Change): void {
    if (type === "DELETED") this.#remove(keyOfObject(object));
    else this.put(object);
  }

  /** A pod is so now. */
  put(pod: ApiObject): void {
    const key = keyOfObject(pod);
    this.#remove(key);
    const node = nodeOf(pod);
    if (node === "" || hasEnded(pod)) return;
    const share = { node, owner: isTerminating(pod) ? "" : ownerOf(pod), ports: hostPorts(pod) };
    this.#shares.set(key, share);
    this.#count(share, 1);
  }

  /** How many pods a node has. */
  pods(node: string): number {
    return this.#loads.get(node)?.all ?? 0;
  }

  /** How many of them have this controller. */
  siblings(node: string, owner: string): number {
    return owner === "" ? 0 : (this.#loads.get(node)?.owners.get(owner) ?? 0);
  }

  /** Whether one of them has this port of the node. */
  hasPort(node: string, port: string): boolean {
    return this.#loads.get(node)?.ports.has(port) ?? false;
  }

  #remove(key: string): void {
    const share = this.#shares.get(key);
    if (share !== undefined) this.#count(share, -1);
    this.#shares.delete(key);
  }

  #count({ node, owner, ports }: Share, by: 1 | -1): void {
    const load = this.#loads.get(node) ?? { all: 0, owners: new Map(), ports: new Map() };
    this.#loads.set(node, load);
    load.all += by;
    if (owner !== "") add(load.owners, owner, by);
    for (const port of ports) add(load.ports, port, by);
  }
}

function add(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
