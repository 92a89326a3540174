/** Numbers of IPVS's generic netlink family (`linux/ip_vs.h`). */

/** The family's name and the version of its messages. */
export const familyName = "IPVS";
export const familyVersion = 1;

/** Bytes of `struct genlmsghdr`. */
export const headerLength = 4;

/** `IPVS_CMD_*`. */
export const command = {
  newService: 1,
  setService: 2,
  deleteService: 3,
  getService: 4,
  newDestination: 5,
  setDestination: 6,
  deleteDestination: 7,
  getDestination: 8,
  setConfig: 12,
  getConfig: 13,
  getInfo: 15,
  zero: 16,
} as const;

/** `IPVS_CMD_ATTR_*`. */
export const commandAttribute = {
  service: 1,
  destination: 2,
  timeoutTcp: 4,
  timeoutTcpFin: 5,
  timeoutUdp: 6,
} as const;

/** `IPVS_SVC_ATTR_*`. */
export const serviceAttribute = {
  family: 1,
  protocol: 2,
  address: 3,
  port: 4,
  mark: 5,
  scheduler: 6,
  flags: 7,
  timeout: 8,
  netmask: 9,
} as const;

/** `IPVS_DEST_ATTR_*`. */
export const destinationAttribute = {
  address: 1,
  port: 2,
  forwarding: 3,
  weight: 4,
  upperThreshold: 5,
  lowerThreshold: 6,
  active: 7,
  inactive: 8,
  persistent: 9,
  family: 11,
  tunnel: 13,
} as const;

/** `IPVS_INFO_ATTR_*`. */
export const infoAttribute = { version: 1, tableSize: 2 } as const;
