/** Numbers of the nf_tables netlink interface that several files need (`linux/netfilter/nf_tables.h`). */
import { numbering } from "./expressions/fields.ts";
import type { ChainFlag, Hook, SetFlag, TableFamily, TableFlag } from "./types.ts";

/** The subsystem's number in message types and batch headers (`NFNL_SUBSYS_NFTABLES`). */
export const subsystem = 10;

/** Message types of batches (`NFNL_MSG_BATCH_*`). */
export const batchBegin = 16;
export const batchEnd = 17;

/** The multicast group of changes (`NFNLGRP_NFTABLES`). */
export const changesGroup = 7;

/** Bytes of the header behind the message header (`struct nfgenmsg`). */
export const headerLength = 4;

/** Operations (`NFT_MSG_*`), without the subsystem. */
export const operation = {
  newTable: 0,
  getTable: 1,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  deleteChain: 5,
  newRule: 6,
  getRule: 7,
  deleteRule: 8,
  newSet: 9,
  getSet: 10,
  deleteSet: 11,
  newElements: 12,
  getElements: 13,
  deleteElements: 14,
  newGeneration: 15,
  getGeneration: 16,
  trace: 17,
  newObject: 18,
  getObject: 19,
  deleteObject: 20,
  newFlowtable: 22,
  getFlowtable: 23,
  deleteFlowtable: 24,
  destroyChain: 27,
  destroyRule: 28,
  destroySet: 29,
  destroyElements: 30,
  destroyObject: 31,
} as const;

/** The message type of an operation. */
export function messageType(number: number): number {
  return (subsystem << 8) | number;
}

const families: Readonly<Record<TableFamily, number>> = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 };
const familyNumbering = numbering(families);

/** The number of a family (`NFPROTO_*`). */
export const familyNumber: (family: TableFamily) => number = familyNumbering.numberOf;

/** The family of a number, undefined for one that has no tables. */
export const familyName: (number: number) => TableFamily | undefined = familyNumbering.nameOf;

const networkHooks: Partial<Record<Hook, number>> = {
  prerouting: 0,
  input: 1,
  forward: 2,
  output: 3,
  postrouting: 4,
  ingress: 5,
};
const hooksByFamily: Readonly<Record<TableFamily, ReturnType<typeof numbering<Hook>>>> = {
  inet: numbering(networkHooks),
  ip: numbering(networkHooks),
  ip6: numbering(networkHooks),
  bridge: numbering(networkHooks),
  arp: numbering<Hook>({ input: 0, output: 1, forward: 2 }),
  netdev: numbering<Hook>({ ingress: 0, egress: 1 }),
};

/** The number of a hook. @throws {RangeError} if the family does not have it. */
export function hookNumber(family: TableFamily, hook: Hook): number {
  return hooksByFamily[family].numberOf(hook);
}

/** The hook of a number, undefined if the family has none. */
export function hookName(family: TableFamily, number: number): Hook | undefined {
  return hooksByFamily[family].nameOf(number);
}

/** Bits of table flags. */
export const tableFlags: Readonly<Record<TableFlag, number>> = { dormant: 1, owner: 2, persist: 4 };

/** Bits of chain flags; 1 says that it is a base chain. */
export const chainFlags: Readonly<Record<ChainFlag, number>> = { offload: 2, binding: 4 };
export const baseChainFlag = 1;

/** Bits of set flags. */
export const setFlags: Readonly<Record<SetFlag, number>> = {
  anonymous: 1,
  constant: 2,
  interval: 4,
  map: 8,
  timeout: 0x10,
  dynamic: 0x20,
  object: 0x40,
  concat: 0x80,
  expressions: 0x100,
};

/** Bits of element flags. */
export const elementFlags = { intervalEnd: 1, catchAll: 2 } as const;

/** The type of verdicts among data types (`NFT_DATA_VERDICT`). */
export const verdictType = 0xffffff00;
