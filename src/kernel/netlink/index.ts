/**
 * Netlink for Node: talk to the Linux kernel about links, routes, firewalls and more, without starting a program.
 *
 * A request costs some microseconds, because the kernel has answered when the send returns:
 *
 * ```ts
 * import { NetlinkSocket, protocols } from "portolan/netlink";
 *
 * using socket = new NetlinkSocket(protocols.route);
 * const RTM_GETLINK = 18;
 * const IFLA_IFNAME = 3;
 * const names = socket.dump("list links", RTM_GETLINK, (writer) => writer.bytes(new Uint8Array(16)), (message) => {
 *   for (const attribute = message.attributes(16); attribute.next(); ) {
 *     if (attribute.type === IFLA_IFNAME) return attribute.string();
 *   }
 *   return undefined;
 * });
 * ```
 *
 * Events arrive through the event loop:
 *
 * ```ts
 * import { NetlinkListener, protocols } from "portolan/netlink";
 *
 * const RTNLGRP_LINK = 1;
 * using listener = new NetlinkListener(protocols.route, [RTNLGRP_LINK]);
 * for await (const event of listener.events(AbortSignal.timeout(60_000))) {
 *   if (event.kind === "overrun") console.log("events were lost");
 *   else while (event.messages.next()) console.log("link changed, message type", event.messages.type);
 * }
 * ```
 *
 * The package works on Linux (x64, arm64). Sockets belong to the network namespace in which they are made.
 *
 * @module
 */
export { errnoName, isSystemError, SystemError } from "../errno.ts";
export { controlType, messageFlags, protocols } from "./constants.ts";
export {
  isAlreadyExists,
  isBusy,
  isConflict,
  isNotFound,
  isNotPermitted,
  isNotSupported,
  isOverrun,
  NetlinkError,
  NetlinkFormatError,
  type Refusal,
} from "./errors.ts";
export { findGenericFamily, type GenericFamily } from "./generic.ts";
export { type NetlinkEvent, NetlinkListener, type NetlinkListenerOptions } from "./listener.ts";
export { AttributeReader, MessageReader } from "./reader.ts";
export { NetlinkSocket, type NetlinkSocketOptions } from "./socket.ts";
export { NetlinkWriter } from "./writer.ts";
