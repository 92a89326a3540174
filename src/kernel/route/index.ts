/**
 * Links, addresses, routes, rules and neighbours of a network namespace, over rtnetlink. Functions take a
 * {@link NetlinkSocket} of protocol `route`, which belongs to the namespace in which it was made.
 */
import { inNamespace } from "../namespace.ts";
import { NetlinkSocket, protocols } from "../netlink/index.ts";

export { addAddress, deleteAddress, type InterfaceAddress, listAddresses, type NewAddress } from "./addresses.ts";
export { type DriverProgram, listDriverPrograms, listTrafficFilters, type TrafficFilter } from "./filters.ts";
export { createLink, deleteLink, type LinkKind, type LinkSettings, setBridgePort, setLink } from "./linkchanges.ts";
export { type BridgePort, findLink, type Link, type LinkDetails, listLinks, type OperState } from "./links.ts";
export { type MacAddress, parseMac, tryParseMac } from "./mac.ts";
export { type Change, type RouteEvent, RouteMonitor, type RouteTopic } from "./monitor.ts";
export { namespaceNumber } from "./namespaceid.ts";
export {
  appendFdbEntry,
  deleteFdbEntry,
  deleteNeighbour,
  type FdbEntry,
  listFdb,
  listNeighbours,
  type Neighbour,
  type NeighbourState,
  setFdbEntry,
  setNeighbour,
  type VxlanRoute,
} from "./neighbours.ts";
export {
  addRoute,
  deleteRoute,
  listRoutes,
  lookupRoute,
  type NextHop,
  type Route,
  type RouteSpec,
  type RouteType,
  replaceRoute,
  routeProtocol,
  routeTable,
} from "./routes.ts";
export {
  addRule,
  deleteRule,
  listRules,
  type NumberRange,
  type Rule,
  type RuleAction,
  type RuleSpec,
} from "./rules.ts";

/** Opens a socket for the functions of this folder, in a named namespace or in the calling thread's own. */
export function openRoute(namespace?: string): NetlinkSocket {
  const open = () => new NetlinkSocket(protocols.route);
  return namespace === undefined ? open() : inNamespace(namespace, open);
}
