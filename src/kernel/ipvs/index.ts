/**
 * IPVS, the kernel's own load balancer, of a network namespace, over generic netlink. Nothing is cached: every call asks
 * the kernel.
 */

import { formatHostPort } from "../../net/protocol.ts";
import { inNamespace } from "../namespace.ts";
import {
  findGenericFamily,
  isAlreadyExists,
  isNotFound,
  type MessageReader,
  NetlinkSocket,
  type NetlinkWriter,
  protocols,
} from "../netlink/index.ts";
import {
  type CountedDestination,
  type Destination,
  type DestinationKey,
  decodeDestination,
  writeDestination,
} from "./destination.ts";
import { command, commandAttribute, familyName, familyVersion, headerLength, infoAttribute } from "./protocol.ts";
import {
  decodeService,
  formatService,
  type ServiceKey,
  serviceFamily,
  type VirtualService,
  writeService,
} from "./service.ts";

export type { CountedDestination, Destination, DestinationKey, Forwarding } from "./destination.ts";
export {
  formatService,
  type ServiceKey,
  type ServiceSettings,
  serviceFamily,
  serviceFlag,
  type VirtualService,
} from "./service.ts";

/** Seconds after which idle connections are forgotten, for all services of a namespace. */
export interface IpvsTimeouts {
  readonly tcp: number;
  /** After a FIN was seen. */
  readonly tcpFin: number;
  readonly udp: number;
}

/** What the kernel says of itself. */
export interface IpvsInfo {
  /** Of IPVS, such as `1.2.1`. */
  readonly version: string;
  /** Buckets of the table of connections. */
  readonly tableSize: number;
}

/** Thrown where the kernel has no IPVS. */
export class NoIpvsError extends Error {
  override readonly name = "NoIpvsError";

  constructor() {
    super("this kernel has no IPVS, or has not loaded it: modprobe ip_vs");
  }
}

/** The IPVS of one network namespace. Methods throw {@link NetlinkError}s that name service and destination. */
export class Ipvs implements Disposable {
  readonly #socket: NetlinkSocket;
  readonly #family: number;

  /**
   * @param namespace a named one; without it that of the calling thread.
   * @throws {NoIpvsError} if the kernel has no IPVS.
   */
  constructor(namespace?: string) {
    const open = () => new NetlinkSocket(protocols.generic);
    this.#socket = namespace === undefined ? open() : inNamespace(namespace, open);
    const family = findGenericFamily(this.#socket, familyName);
    if (family === undefined) {
      this.#socket.close();
      throw new NoIpvsError();
    }
    this.#family = family.id;
  }

  /** All virtual services of families and protocols that Services know. */
  services(): readonly VirtualService[] {
    const write = (writer: NetlinkWriter) => writeHeader(writer, command.getService);
    return this.#socket.dump("list virtual services", this.#family, write, decodeService);
  }

  /** One virtual service, undefined if there is none. */
  service(key: ServiceKey): VirtualService | undefined {
    let found: VirtualService | undefined;
    try {
      this.#request(
        `get virtual service ${formatService(key)}`,
        command.getService,
        (writer) => writeService(writer, key),
        (message) => {
          found = decodeService(message);
        },
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return found;
  }

  /** The destinations of a service; none if there is no such service. */
  destinations(key: ServiceKey): readonly CountedDestination[] {
    const family = serviceFamily(key);
    const write = (writer: NetlinkWriter) => {
      writeHeader(writer, command.getDestination);
      writeService(writer, key);
    };
    const read = (message: MessageReader) => decodeDestination(message, family);
    return this.#socket.dump(`list destinations of ${formatService(key)}`, this.#family, write, read);
  }

  /** Makes a service, or gives the one that exists these settings; its destinations and connections stay. */
  putService(service: VirtualService): void {
    const name = `virtual service ${formatService(service.key)}`;
    const write = (writer: NetlinkWriter) => writeService(writer, service.key, service);
    this.#put(name, command.newService, command.setService, write);
  }

  /** Removes a service with its destinations and connections. @returns false if there was none. */
  deleteService(key: ServiceKey): boolean {
    return this.#delete(`delete virtual service ${formatService(key)}`, command.deleteService, (writer) =>
      writeService(writer, key),
    );
  }

  /** Adds a destination, or gives the one that exists this weight; its connections stay. */
  putDestination(key: ServiceKey, destination: Destination): void {
    const name = `destination ${formatHostPort(destination.address, destination.port)} of ${formatService(key)}`;
    this.#put(name, command.newDestination, command.setDestination, (writer) => {
      writeService(writer, key);
      writeDestination(writer, destination);
    });
  }

  /** Removes a destination; the next packet of its connections ends them. @returns false if there was none. */
  deleteDestination(key: ServiceKey, { address, port }: DestinationKey): boolean {
    const name = `delete destination ${formatHostPort(address, port)} of ${formatService(key)}`;
    return this.#delete(name, command.deleteDestination, (writer) => {
      writeService(writer, key);
      writeDestination(writer, { address, port });
    });
  }

  /** The timeouts of connections. */
  get timeouts(): IpvsTimeouts {
    let [tcp, tcpFin, udp] = [0, 0, 0];
    this.#request("get IPVS timeouts", command.getConfig, noContent, (message) => {
      for (const attribute = message.attributes(headerLength); attribute.next(); ) {
        if (attribute.type === commandAttribute.timeoutTcp) tcp = attribute.u32();
        else if (attribute.type === commandAttribute.timeoutTcpFin) tcpFin = attribute.u32();
        else if (attribute.type === commandAttribute.timeoutUdp) udp = attribute.u32();
      }
    });
    return { tcp, tcpFin, udp };
  }

  /** Changes timeouts, in seconds; 0 leaves one as it is. */
  setTimeouts({ tcp, tcpFin, udp }: IpvsTimeouts): void {
    this.#request("set IPVS timeouts", command.setConfig, (writer) => {
      writer.attributeU32(commandAttribute.timeoutTcp, tcp);
      writer.attributeU32(commandAttribute.timeoutTcpFin, tcpFin);
      writer.attributeU32(commandAttribute.timeoutUdp, udp);
    });
  }

  /** Sets the counters of a service, or of all, to 0. */
  zero(key?: ServiceKey): void {
    const name = `zero counters of ${key === undefined ? "all virtual services" : formatService(key)}`;
    this.#request(name, command.zero, (writer) => {
      if (key !== undefined) writeService(writer, key);
    });
  }

  /** What the kernel says of itself. */
  get info(): IpvsInfo {
    let [version, tableSize] = [0, 0];
    this.#request("get IPVS version", command.getInfo, noContent, (message) => {
      for (const attribute = message.attributes(headerLength); attribute.next(); ) {
        if (attribute.type === infoAttribute.version) version = attribute.u32();
        else if (attribute.type === infoAttribute.tableSize) tableSize = attribute.u32();
      }
    });
    return { version: [version >> 16, (version >> 8) & 255, version & 255].join("."), tableSize };
  }

  /** Closes the socket. What was made stays. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #put(name: string, make: number, change: number, write: (writer: NetlinkWriter) => void): void {
    try {
      this.#request(`make ${name}`, make, write);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      this.#request(`change ${name}`, change, write);
    }
  }

  #delete(name: string, number: number, write: (writer: NetlinkWriter) => void): boolean {
    try {
      this.#request(name, number, write);
      return true;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return false;
    }
  }

  #request(
    name: string,
    number: number,
    write: (writer: NetlinkWriter) => void,
    onReply?: (message: MessageReader) => void,
  ): void {
    const whole = (writer: NetlinkWriter) => {
      writeHeader(writer, number);
      write(writer);
    };
    this.#socket.request(name, this.#family, 0, whole, onReply);
  }
}

function noContent(): void {}

function writeHeader(writer: NetlinkWriter, number: number): void {
  writer.u8(number);
  writer.u8(familyVersion);
  writer.u16(0);
}
