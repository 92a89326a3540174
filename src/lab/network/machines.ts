/** Makes the machines of a lab from their plans, and takes them away. */
import { createNamespace, deleteNamespace, inNamespace, listNamespaces } from "../../kernel/namespace.ts";
import type { NetlinkSocket } from "../../kernel/netlink/index.ts";
import { processesInside, signalProcess } from "../../kernel/programs.ts";
import {
  addAddress,
  createLink,
  deleteLink,
  deleteRoute,
  findLink,
  listRoutes,
  openRoute,
  parseMac,
  type Route,
  replaceRoute,
  routeProtocol,
  routeTable,
  setBridgePort,
  setLink,
} from "../../kernel/route/index.ts";
import { readSysctl, writeSysctl } from "../../kernel/sysctl.ts";
import type { LinkPlan, Machine, RoutePlan } from "../plan/machine.ts";
import { namespaceNames } from "../plan/names.ts";

/**
 * Makes a machine. What is there of the same name goes first: leftovers of a crash.
 *
 * @throws {SystemError} EPERM without privileges. What was made by then is removed.
 */
export function makeMachine({ namespace, links, routes, sysctls }: Machine): void {
  removeMachines([namespace]);
  createNamespace(namespace);
  try {
    using socket = openRoute(namespace);
    setLink(socket, indexOf(socket, "lo"), { up: true });
    inNamespace(namespace, () => {
      // A kernel without IPv6, or without br_netfilter, lacks some of them.
      for (const [name, value] of Object.entries(sysctls)) if (readSysctl(name) !== undefined) writeSysctl(name, value);
    });
    for (const link of links) makeLink(socket, namespace, link);
    setRoutes(socket, routes);
  } catch (error) {
    removeMachines([namespace]);
    throw error;
  }
}

/**
 * Removes machines, with whatever runs there: the programs are killed, and the ports at the other end of their links
 * are gone when this returns.
 */
export function removeMachines(namespaces: readonly string[]): void {
  const existing = new Set(listNamespaces());
  const gone = namespaces.filter((name) => existing.has(name));
  for (const pid of processesInside(gone)) signalProcess(pid, "SIGKILL");
  for (const namespace of gone) {
    removeLinks(namespace);
    deleteNamespace(namespace);
  }
}

/** Removes whatever of a lab is in the kernel: namespaces with all that runs there. */
export function sweep(lab: string): void {
  removeMachines(listNamespaces().filter(namespaceNames(lab).owns));
}

/** Gives a machine exactly these routes, beside those that the kernel makes for its addresses. */
export function replaceRoutes(namespace: string, routes: readonly RoutePlan[]): void {
  using socket = openRoute(namespace);
  const wanted = new Set(routes.map(({ destination }) => destination));
  for (const route of ourRoutes(socket)) if (!wanted.has(route.destination)) deleteRoute(socket, route);
  setRoutes(socket, routes);
}

function ourRoutes(socket: NetlinkSocket): readonly Route[] {
  return listRoutes(socket, { table: routeTable.main }).filter(({ protocol }) => protocol === routeProtocol.static);
}

function setRoutes(socket: NetlinkSocket, routes: readonly RoutePlan[]): void {
  for (const { destination, gateway } of routes) replaceRoute(socket, { destination, nextHops: [{ gateway }] });
}

function makeLink(socket: NetlinkSocket, namespace: string, { name, mac, addresses, port }: LinkPlan): void {
  const settings = { up: true, mac: parseMac(mac) };
  if (port === undefined) createLink(socket, name, { kind: "bridge" }, settings);
  else {
    using other = openRoute(port.namespace);
    const stale = findLink(other, port.name);
    if (stale !== undefined) deleteLink(other, stale.index);
    const peer = { name, namespace, ...settings };
    createLink(other, port.name, { kind: "veth", peer }, { up: true, master: indexOf(other, port.bridge) });
    // A pod that reaches itself through its Service comes back through the port that it left by.
    setBridgePort(other, indexOf(other, port.name), { hairpin: true });
  }
  const index = indexOf(socket, name);
  for (const { address, length } of addresses) {
    addAddress(socket, { interface: index, address, prefixLength: length, withoutDetection: true });
  }
}

/** A namespace lives on while somebody holds a socket of it; its links shall not. */
function removeLinks(namespace: string): void {
  try {
    using socket = openRoute(namespace);
    const link = findLink(socket, "eth0");
    if (link !== undefined) deleteLink(socket, link.index);
  } catch {
    // A leftover of an interrupted creation: a file, no namespace.
  }
}

function indexOf(socket: NetlinkSocket, name: string): number {
  const link = findLink(socket, name);
  if (link === undefined) throw new Error(`there is no interface ${name}`);
  return link.index;
}
