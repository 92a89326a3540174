/** Making, changing and removing network interfaces over rtnetlink. */
import { type Address, addressBytes, familyOf } from "../../net/address.ts";
import { inNamespace, withNamespaceFile } from "../namespace.ts";
import { messageFlags, NetlinkSocket, type NetlinkWriter, protocols } from "../netlink/index.ts";
import { familyBridge, messageType } from "./constants.ts";
import { infoAttribute, interfaceFlag, linkAttribute, portAttribute, vxlanAttribute } from "./links.ts";
import { type MacAddress, macBytes } from "./mac.ts";

/** What can be set on any link. */
export interface LinkSettings {
  /** A new name; only for {@link setLink}. */
  readonly name?: string;
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: MacAddress;
  /** The index of the bridge to become a port of; 0 to leave it. */
  readonly master?: number;
  /** The named namespace to move to. */
  readonly namespace?: string;
}

/** A kind of link, with what is particular to it. */
export type LinkKind =
  /** A pair of interfaces: what goes into one comes out of the other. */
  | { readonly kind: "veth"; readonly peer: VethPeer }
  | { readonly kind: "bridge" }
  | { readonly kind: "dummy" }
  | {
      readonly kind: "vxlan";
      /** The network identifier (VNI), 0 to 2^24-1. */
      readonly id: number;
      /** The UDP port of the outer packets; IANA's is 4789, Linux' own default 8472. */
      readonly port: number;
      readonly local?: Address;
      /** The index of the interface that the outer packets use. */
      readonly device?: number;
      /** Learn from packets which address is behind which remote; else {@link addFdbEntry} must say it. */
      readonly learning: boolean;
    };

/** The other end of a pair. */
export type VethPeer = LinkSettings & { readonly name: string };

const headerLength = 16;

/**
 * Makes a link.
 *
 * @param name at most 15 bytes.
 * @throws {NetlinkError} EEXIST if there is one of that name, EOPNOTSUPP if the kernel lacks the kind.
 */
export function createLink(socket: NetlinkSocket, name: string, kind: LinkKind, settings: LinkSettings = {}): void {
  if (kind.kind === "veth") {
    createVeth(socket, name, kind.peer, settings);
    return;
  }
  withNamespaces([settings.namespace], ([fd]) => requestLink(socket, name, kind, settings, fd));
}

/** Neither end of a pair can be up before both exist, so that takes requests of its own. */
function createVeth(socket: NetlinkSocket, name: string, peer: VethPeer, settings: LinkSettings): void {
  const { up, ...own } = settings;
  const { up: peerUp, ...other } = peer;
  withNamespaces([own.namespace, other.namespace], ([fd, peerFd]) => {
    requestLink(socket, name, { kind: "veth", peer: other }, own, fd, peerFd);
  });
  if (up === true) setUp(socket, name, own.namespace);
  if (peerUp === true) setUp(socket, other.name, other.namespace);
}

function setUp(socket: NetlinkSocket, name: string, namespace: string | undefined): void {
  const request = (there: NetlinkSocket) =>
    there.request(`set link ${name} up`, messageType.newLink, 0, (writer) => {
      writeHeader(writer, 0, true);
      writer.attributeString(linkAttribute.name, name);
    });
  if (namespace === undefined) {
    request(socket);
  } else {
    using there = inNamespace(namespace, () => new NetlinkSocket(protocols.route));
    request(there);
  }
}

function requestLink(
  socket: NetlinkSocket,
  name: string,
  kind: LinkKind,
  settings: LinkSettings,
  fd?: number,
  peerFd?: number,
): void {
  const flags = messageFlags.create | messageFlags.exclusive;
  socket.request(`create ${kind.kind} link ${name}`, messageType.newLink, flags, (writer) => {
    writeHeader(writer, 0, settings.up);
    writeSettings(writer, { ...settings, name }, fd);
    const info = writer.beginNested(linkAttribute.linkInfo);
    writer.attributeString(infoAttribute.kind, kind.kind);
    const data = writer.beginNested(infoAttribute.data);
    if (kind.kind === "veth") writePeer(writer, kind.peer, peerFd);
    else if (kind.kind === "vxlan") writeVxlan(writer, kind);
    writer.endNested(data);
    writer.endNested(info);
  });
}

/** Changes a link; what is not given stays. @throws {NetlinkError} ENODEV if there is none of that index. */
export function setLink(socket: NetlinkSocket, index: number, settings: LinkSettings): void {
  withNamespaces([settings.namespace], ([fd]) => {
    socket.request(`set link ${index}`, messageType.newLink, 0, (writer) => {
      writeHeader(writer, index, settings.up);
      writeSettings(writer, settings, fd);
    });
  });
}

/** Removes a link; a veth's peer goes with it. @throws {NetlinkError} ENODEV if there is none of that index. */
export function deleteLink(socket: NetlinkSocket, index: number): void {
  socket.request(`delete link ${index}`, messageType.deleteLink, 0, (writer) => writeHeader(writer, index));
}

/** Changes settings of a bridge port. @throws {NetlinkError} if the link is not one. */
export function setBridgePort(
  socket: NetlinkSocket,
  index: number,
  settings: { readonly hairpin?: boolean; readonly learning?: boolean; readonly flood?: boolean },
): void {
  socket.request(`set bridge port ${index}`, messageType.setLink, 0, (writer) => {
    writeHeader(writer, index, undefined, familyBridge);
    const port = writer.beginNested(linkAttribute.portInfo);
    for (const key of ["hairpin", "learning", "flood"] as const) {
      const value = settings[key];
      if (value !== undefined) writer.attributeU8(portAttribute[key], Number(value));
    }
    writer.endNested(port);
  });
}

function writeHeader(writer: NetlinkWriter, index: number, up?: boolean, family = 0): void {
  const header = new Uint8Array(headerLength);
  const view = new DataView(header.buffer);
  header[0] = family;
  view.setUint32(4, index, true);
  view.setUint32(8, up === true ? interfaceFlag.up : 0, true);
  view.setUint32(12, up === undefined ? 0 : interfaceFlag.up, true);
  writer.bytes(header);
}

function writeSettings(writer: NetlinkWriter, settings: LinkSettings, namespaceFd: number | undefined): void {
  if (settings.name !== undefined) writer.attributeString(linkAttribute.name, settings.name);
  if (settings.mtu !== undefined) writer.attributeU32(linkAttribute.mtu, settings.mtu);
  if (settings.mac !== undefined) writer.attributeBytes(linkAttribute.address, macBytes(settings.mac));
  if (settings.master !== undefined) writer.attributeU32(linkAttribute.master, settings.master);
  if (namespaceFd !== undefined) writer.attributeU32(linkAttribute.namespaceFd, namespaceFd);
}

/** `VETH_INFO_PEER`: a link message without its netlink header. */
function writePeer(writer: NetlinkWriter, peer: VethPeer, namespaceFd: number | undefined): void {
  const start = writer.beginNested(1);
  writeHeader(writer, 0);
  writeSettings(writer, peer, namespaceFd);
  writer.endNested(start);
}

function writeVxlan(writer: NetlinkWriter, vxlan: LinkKind & { readonly kind: "vxlan" }): void {
  writer.attributeU32(vxlanAttribute.id, vxlan.id);
  writer.attributeU16BE(vxlanAttribute.port, vxlan.port);
  writer.attributeU8(vxlanAttribute.learning, Number(vxlan.learning));
  if (vxlan.device !== undefined) writer.attributeU32(vxlanAttribute.device, vxlan.device);
  if (vxlan.local !== undefined) {
    const type = familyOf(vxlan.local) === "IPv4" ? vxlanAttribute.local : vxlanAttribute.local6;
    writer.attributeBytes(type, addressBytes(vxlan.local));
  }
}

/** Lends the files of several namespaces, undefined for those not named. */
function withNamespaces(names: readonly (string | undefined)[], use: (fds: readonly (number | undefined)[]) => void) {
  const lend = (rest: readonly (string | undefined)[], fds: readonly (number | undefined)[]): void => {
    const [name, ...more] = rest;
    if (rest.length === 0) use(fds);
    else if (name === undefined) lend(more, [...fds, undefined]);
    else withNamespaceFile(name, (fd) => lend(more, [...fds, fd]));
  };
  lend(names, []);
}
