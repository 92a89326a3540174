/** Numbers of the ipset protocol (`linux/netfilter/ipset/ip_set.h`). */

/** The version of the protocol that is spoken: of Linux 2.6.39 and later. */
export const protocolVersion = 6;

/** `NFNL_SUBSYS_IPSET << 8`. */
export const subsystem = 0x600;

/** `IPSET_CMD_*`. */
export const command = {
  create: 2,
  destroy: 3,
  flush: 4,
  rename: 5,
  swap: 6,
  list: 7,
  add: 9,
  delete: 10,
  test: 11,
} as const;

/** `IPSET_ATTR_*` at the level of commands. */
export const attribute = {
  protocol: 1,
  name: 2,
  typeName: 3,
  secondName: 3,
  revision: 4,
  family: 5,
  flags: 6,
  data: 7,
  entries: 8,
  line: 9,
} as const;

/** `IPSET_ATTR_*` within `data`, of entries and of sets. */
export const dataAttribute = {
  address: 1,
  addressTo: 2,
  prefixLength: 3,
  port: 4,
  portTo: 5,
  protocol: 7,
  hashSize: 18,
  maximum: 19,
  listSize: 23,
  name: 18,
  secondAddress: 20,
  secondPrefixLength: 21,
} as const;

/** `IPSET_ATTR_IPADDR_*`. */
export const addressAttribute = { IPv4: 1, IPv6: 2 } as const;

/** The kernel takes numbers in network order only where this says so (`NLA_F_NET_BYTEORDER`). */
export const networkOrder = 0x4000;

/** Numbers of the errors that are ipset's own. */
export const errors: Readonly<Record<number, string>> = {
  4097: "it is not for this type of set, or not of its family",
  4098: "the kernel lacks the type of set, or this revision of it: modprobe ip_set_hash_ipport and its like",
  4099: "there are as many sets as there can be",
  4100: "it is used by a rule or by another set",
  4101: "there is a set of the second name",
  4102: "the sets differ in type",
  4103: "the entry is there already, or not there",
  4104: "prefix length out of range",
  4106: "address of the other family",
  4108: "it is used by a rule or by another set",
  4109: "an IPv4 address is wanted",
  4110: "an IPv6 address is wanted",
  4352: "the set is full, or the port is out of its range",
};
