/** Numbers of the netlink protocol itself (`linux/netlink.h`). */

/** Netlink families: what a {@link NetlinkSocket} talks to. */
export const protocols = { route: 0, sockDiag: 4, xfrm: 6, netfilter: 12, generic: 16 } as const;

/** Message types below 16, which all families share. */
export const controlType = { noop: 1, error: 2, done: 3, overrun: 4 } as const;

/** Header flags of a message (`NLM_F_*`): combine with `|`. */
export const messageFlags = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  echo: 0x8,
  dumpInterrupted: 0x10,
  /** In an ACK: the failed request is not repeated in it. */
  capped: 0x100,
  /** In an ACK: attributes with the extended error follow. */
  ackAttributes: 0x200,
  /** For GET requests: everything. */
  dump: 0x300,
  /** For NEW requests: replace what exists. */
  replace: 0x100,
  /** For NEW requests: fail with EEXIST if it exists. */
  exclusive: 0x200,
  /** For NEW requests: make it if it does not exist. */
  create: 0x400,
  /** For NEW requests: put it at the end. */
  append: 0x800,
} as const;

/** Bytes of a message header (`struct nlmsghdr`) and of an attribute header (`struct nlattr`). */
export const messageHeaderLength = 16;
export const attributeHeaderLength = 4;

/** The longest attribute: its length field has 16 bits. */
export const maximumAttributeLength = 0xffff;

/** Set in an attribute's type: it contains attributes. */
export const nestedFlag = 0x8000;

/** The bits of an attribute's type without its two flags. */
export const attributeTypeMask = 0x3fff;
