/** What a lab is to be: the few facts from which everything else follows. */
import type { Family } from "../../net/address.ts";

/** A lab. */
export interface LabSpec {
  readonly name: string;
  /** The proxy mode of all nodes; empty: the best that the kernel can do. */
  readonly mode: string;
  /** IPv4 first, and IPv6 where the lab is dual-stack. */
  readonly families: readonly Family[];
  readonly nodes: readonly NodeSpec[];
}

/** A node of a lab. */
export interface NodeSpec {
  readonly name: string;
  /** 1 to {@link maximumNodes}, unique in the lab: its addresses follow from it. */
  readonly index: number;
  /** Its `topology.kubernetes.io/zone`; empty for none. */
  readonly zone: string;
  /** Somebody pulled its plug, and it stays so until somebody puts it in again. */
  readonly stopped?: boolean;
}

/** Nodes that a lab may have. */
export const maximumNodes = 100;

/** What one asks for when one makes a lab. */
export interface LabWishes {
  readonly name: string;
  readonly mode: string;
  readonly dualStack: boolean;
  readonly nodes: number;
  /** Given to the nodes in turn; empty for none. */
  readonly zones: readonly string[];
}

/**
 * Why there can be no lab of that name, undefined if there can. Names of namespaces are made of it, with dashes
 * between their parts, so it has none.
 */
export function labNameProblem(name: string): string | undefined {
  return /^[a-z][a-z0-9]{0,19}$/.test(name)
    ? undefined
    : `${JSON.stringify(name)} is not a name for a lab: it must be 1 to 20 small letters and digits, a letter first`;
}

/** The lab that somebody wishes for, with nodes `node1`, `node2` and so on. @throws {RangeError} says what is wrong. */
export function makeSpec({ name, mode, dualStack, nodes, zones }: LabWishes): LabSpec {
  const problem = labNameProblem(name);
  if (problem !== undefined) throw new RangeError(problem);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > maximumNodes) {
    throw new RangeError(`a lab has 1 to ${maximumNodes} nodes, not ${nodes}`);
  }
  if (zones.includes(""))
    throw new RangeError("a zone has a name: there are two commas, or one at an end, in the list");
  const spec: LabSpec = { name, mode, families: dualStack ? ["IPv4", "IPv6"] : ["IPv4"], nodes: [] };
  return Array.from({ length: nodes }).reduce<LabSpec>(
    (lab, _, i) => withNode(lab, zones[i % Math.max(1, zones.length)] ?? ""),
    spec,
  );
}

/** The lab with one node more. @param zone empty for none. @throws {RangeError} if it has as many as it may, or if that is no zone. */
export function withNode(spec: LabSpec, zone: string): LabSpec {
  if (!/^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/.test(zone)) {
    throw new RangeError(
      `${JSON.stringify(zone)} is not the name of a zone: it must be 1 to 63 letters, digits, '-', '_' and '.', letters or digits at both ends`,
    );
  }
  const taken = new Set(spec.nodes.map(({ index }) => index));
  let index = 1;
  while (taken.has(index)) index++;
  if (index > maximumNodes) throw new RangeError(`a lab has ${maximumNodes} nodes at most`);
  return { ...spec, nodes: [...spec.nodes, { name: `node${index}`, index, zone }] };
}

/** The lab with a node switched off, or on. */
export function withNodeStopped(spec: LabSpec, name: string, stopped: boolean): LabSpec {
  return { ...spec, nodes: spec.nodes.map((node) => (node.name === name ? { ...node, stopped } : node)) };
}

/** The lab without a node. */
export function withoutNode(spec: LabSpec, name: string): LabSpec {
  return { ...spec, nodes: spec.nodes.filter((node) => node.name !== name) };
}
