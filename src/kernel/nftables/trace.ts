/**
 * The kernel's own account of a packet's way through the rule set: what `nft monitor trace` shows. Packets are traced
 * from the rule on that sets `meta nftrace` for them. Only rules that matched are reported, and chains of type nat see
 * a connection's first packet only.
 */
import { protocols } from "../netlink/constants.ts";
import { NetlinkListener, type NetlinkListenerOptions } from "../netlink/listener.ts";
import type { MessageReader } from "../netlink/reader.ts";
import { type Overrun, watchGroup } from "./events.ts";
import { familyName, headerLength, messageType, operation } from "./protocol.ts";
import type { TableFamily, Verdict } from "./types.ts";
import { decodeVerdict } from "./verdict.ts";

/** Something that happened to a traced packet. */
export interface TraceStep {
  /** `rule`: a rule matched. `return`: the end of a chain was reached. `policy`: a base chain's policy decided. */
  readonly kind: "rule" | "return" | "policy";
  /** The same for all steps of a packet in a hook; it may be the same again in later hooks. */
  readonly id: number;
  readonly family: TableFamily;
  readonly table: string;
  readonly chain: string;
  /** The rule that matched. */
  readonly handle?: number;
  /** What the rule decided: `continue` if nothing. For `policy`, what the chain's policy is. */
  readonly verdict?: Verdict;
  /** The packet's protocol family: 2 IPv4, 10 IPv6, 3 ARP. */
  readonly protocolFamily?: number;
  /** Headers: with a packet's first step in a chain of its hook only. */
  readonly linkHeader?: Uint8Array;
  readonly networkHeader?: Uint8Array;
  readonly transportHeader?: Uint8Array;
  /** Interface indexes. */
  readonly inputInterface?: number;
  readonly outputInterface?: number;
  /** The packet's mark, if it is not 0. */
  readonly mark?: number;
}

/** `NFNLGRP_NFTRACE`. */
const traceGroup = 9;

const kinds = [undefined, "policy", "return", "rule"] as const;

/** Reads a trace message. @returns undefined for anything else, and for families and kinds without a name. */
export function decodeTrace(message: MessageReader): TraceStep | undefined {
  if (message.type !== messageType(operation.trace)) return undefined;
  const family = familyName(message.u8(0));
  let kind: TraceStep["kind"] | undefined;
  let id = 0;
  let table = "";
  let chain = "";
  const step: { -readonly [K in keyof TraceStep]?: TraceStep[K] } = {};
  for (const a = message.attributes(headerLength); a.next(); ) {
    if (a.type === 1) table = a.string();
    else if (a.type === 2) chain = a.string();
    else if (a.type === 3) step.handle = a.u64BE();
    else if (a.type === 4) kind = kinds[a.u32BE()];
    else if (a.type === 5) {
      const decision = decodeVerdict(a.nested());
      if (decision !== undefined) step.verdict = decision;
    } else if (a.type === 6) id = a.u32BE();
    else if (a.type === 7) step.linkHeader = a.copy();
    else if (a.type === 8) step.networkHeader = a.copy();
    else if (a.type === 9) step.transportHeader = a.copy();
    else if (a.type === 10) step.inputInterface = a.u32BE();
    else if (a.type === 12) step.outputInterface = a.u32BE();
    else if (a.type === 14) step.mark = a.u32BE();
    else if (a.type === 15) step.protocolFamily = a.u32BE();
    else if (a.type === 16) step.verdict = { kind: a.u32BE() === 0 ? "drop" : "accept" };
  }
  // Newer kernels report the end of a chain as a rule that has no handle.
  if (kind === "rule" && step.handle === undefined) kind = "return";
  return family === undefined || kind === undefined ? undefined : { kind, id, family, table, chain, ...step };
}

/**
 * The steps of all traced packets in the network namespace that the calling thread is in when it calls, from then on,
 * until the signal aborts: then the loop ends without an error.
 *
 * @throws {SystemError} EPERM without CAP_NET_ADMIN.
 */
export function watchTraces(
  signal: AbortSignal,
  options: NetlinkListenerOptions = {},
): AsyncGenerator<TraceStep | Overrun, void, undefined> {
  return watchGroup(traceGroup, decodeTrace, signal, options);
}

/** The same steps for one who asks for them: what has come in since the last time, without waiting. */
export class TraceListener implements Disposable {
  readonly #listener: NetlinkListener;

  /**
   * Listens in the network namespace that the calling thread is in.
   *
   * @throws {SystemError} EPERM without CAP_NET_ADMIN.
   */
  constructor(options: NetlinkListenerOptions = {}) {
    this.#listener = new NetlinkListener(protocols.netfilter, [traceGroup], options);
  }

  /** The steps that have come in since the last call, and whether others were lost in a full buffer. */
  take(): { readonly steps: readonly TraceStep[]; readonly lost: boolean } {
    const steps: TraceStep[] = [];
    let lost = false;
    for (let event = this.#listener.receive(); event !== undefined; event = this.#listener.receive()) {
      if (event.kind === "overrun") {
        lost = true;
        continue;
      }
      while (event.messages.next()) {
        const step = decodeTrace(event.messages);
        if (step !== undefined) steps.push(step);
      }
    }
    return { steps, lost };
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }
}
