/**
 * Makes the kernel trace single packets, for as long as this object lives: a table of our own with a rule that matches
 * just them. The table belongs to a netlink socket of this process (`owner`), so that the kernel removes it whatever
 * ends the process. Nothing else is touched.
 */
import { inNamespace } from "../../kernel/namespace.ts";
import type { NetlinkSocket } from "../../kernel/netlink/index.ts";
import {
  type Expression,
  openNftables,
  rules,
  TraceListener,
  type TraceStep,
  Transaction,
  u16Bytes,
} from "../../kernel/nftables/index.ts";
import { type Address, addressBytes, type Family } from "../../net/address.ts";
import { ipHooks, markerName, tracingTable } from "./account.ts";

/** Packets that are traced, first packets of connections alone; what is absent may be anything. */
export interface Traced {
  readonly family?: Family;
  readonly protocol?: number;
  /** The interface that it comes in by; packets of this machine itself are traced in any case. */
  readonly input?: string;
  readonly source?: Address;
  readonly destination?: Address;
  /** For ICMP the identifier. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** Bytes that no translation changes: of TCP the sequence number, of others what they carry after 8 bytes of header. */
  readonly token?: Uint8Array;
}

/**
 * Before everybody else, but for the bridge, who takes away there what has been in prerouting before
 * (`NF_IP_PRI_FIRST`); and after everybody but the connection tracker, who confirms (`NF_IP_PRI_LAST`).
 */
const firstPriority = -0x7fff_ffff;
const lastPriority = 0x7fff_fffe;

/** Tracing, switched on. */
export class Tracing implements Disposable {
  readonly #nft: NetlinkSocket;
  readonly #listener: TraceListener;

  /**
   * @param namespace a named network namespace; undefined for the calling thread's own.
   * @param traced what is traced: packets that one of these describes.
   * @throws {SystemError} EPERM without CAP_NET_ADMIN; {NetlinkError} EOPNOTSUPP on kernels before 5.12, whose tables have no owner;
   *   EEXIST while another process traces here.
   */
  constructor(namespace: string | undefined, ...traced: readonly Traced[]) {
    const open = () => ({ nft: openNftables(), listener: new TraceListener() });
    const { nft, listener } = namespace === undefined ? open() : inNamespace(namespace, open);
    this.#nft = nft;
    this.#listener = listener;
    const transaction = new Transaction();
    transaction.addTable({ ...tracingTable, flags: ["owner"] }, "create");
    for (const hook of ipHooks) {
      for (const [end, priority] of [
        ["first", firstPriority],
        ["last", lastPriority],
      ] as const) {
        const chain = { ...tracingTable, chain: markerName(end, hook) };
        transaction.addChain({ ...chain, base: { type: "filter", hook, priority, policy: "accept" } });
        if (end === "last" || (hook !== "prerouting" && hook !== "output")) continue;
        for (const each of traced) {
          const input = hook === "output" || each.input === undefined ? [] : rules.isInterface("input", each.input);
          transaction.addRule({ ...chain, expressions: [...input, ...matching(each), ...trace] });
        }
      }
    }
    try {
      transaction.commit(this.#nft);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** The steps that have come in since the last call. @throws if some were lost. */
  take(): readonly TraceStep[] {
    const { steps, lost } = this.#listener.take();
    if (lost) throw new Error("the kernel traced faster than this program could read: try again");
    return steps;
  }

  /** Takes the table away. */
  [Symbol.dispose](): void {
    this.#listener[Symbol.dispose]();
    this.#nft.close();
  }
}

const trace: readonly Expression[] = [
  { kind: "immediate", dreg: 8, data: Uint8Array.of(1) },
  { kind: "meta set", sreg: 8, key: "nftrace" },
];

const syn = 2;
const ack = 16;

/** The conditions of the rule: first packets of connections alone. */
function matching(traced: Traced): Expression[] {
  const { family, protocol, source, destination, sourcePort, destinationPort, token } = traced;
  const { compare, compareMasked, field, payload } = rules;
  const isIPv4 = family === "IPv4";
  const port = (load: rules.Load, value: number | undefined) =>
    value === undefined ? [] : compare(load, "eq", u16Bytes(value));
  const isEcho = protocol === 1 || protocol === 58;
  return [
    ...(family === undefined ? [] : compare(field.family, "eq", Uint8Array.of(isIPv4 ? 2 : 10))),
    ...(protocol === undefined ? [] : compare(field.protocol, "eq", Uint8Array.of(protocol))),
    ...(source === undefined ? [] : compare(isIPv4 ? field.ip4Source : field.ip6Source, "eq", addressBytes(source))),
    ...(destination === undefined
      ? []
      : compare(isIPv4 ? field.ip4Destination : field.ip6Destination, "eq", addressBytes(destination))),
    ...(isEcho
      ? [
          ...compare(payload("transport", 0, 1), "eq", Uint8Array.of(isIPv4 ? 8 : 128)),
          ...port(payload("transport", 4, 2), sourcePort),
        ]
      : [...port(field.sourcePort, sourcePort), ...port(field.destinationPort, destinationPort)]),
    ...(token === undefined ? [] : compare(payload("transport", protocol === 6 ? 4 : 8, token.length), "eq", token)),
    ...(protocol === 6
      ? compareMasked(payload("transport", 13, 1), Uint8Array.of(syn | ack), "eq", Uint8Array.of(syn))
      : []),
  ];
}
