/** The kernel's own account of one packet, hook by hook, out of the messages of its trace: pure. */
import { formatVerdict, type TraceStep } from "../../kernel/nftables/index.ts";
import { type Address, addressFromBytes } from "../../net/address.ts";
import type { IpHook } from "../walk/hooks.ts";
import { hasPorts } from "../walk/packet.ts";

/** The hooks of IP packets, in the order of a packet that is forwarded. */
export const ipHooks: readonly IpHook[] = ["prerouting", "input", "forward", "output", "postrouting"];

/** The table that marks where hooks begin and end, and switches tracing on: see `tracing.ts`. */
export const tracingTable = { family: "inet", table: "portolan-trace" } as const;

/** The name of the chain of {@link tracingTable} that is the first, or the last, of a hook. */
export function markerName(end: "first" | "last", hook: IpHook): string {
  return `${end}-${hook}`;
}

/** A packet's header as a trace shows it. */
export interface Header {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly mark: number;
}

/** What happened in one hook. */
export interface HookAccount {
  readonly hook: IpHook;
  /** The rules that matched and the policies, a line each: `ip filter input rule 7 accept`. */
  readonly lines: readonly string[];
  /** As the packet came. */
  readonly before: Header | undefined;
  /** As it left; undefined where nobody let it pass. */
  readonly after: Header | undefined;
  /** The index of the interface that it leaves by, as the kernel had it at the end of the hook. */
  readonly output?: number;
}

/** The hooks that a packet passed. */
export type Account = readonly HookAccount[];

/**
 * Sorts steps by packets. A packet is known again by bytes that no translation changes: of TCP the sequence number, of
 * others what they carry.
 *
 * @returns the steps of each packet in their order, by the hexadecimal digits of those bytes.
 */
export function sortSteps(steps: readonly TraceStep[]): ReadonlyMap<string, readonly TraceStep[]> {
  const byPacket = new Map<string, TraceStep[]>();
  const current = new Map<number, string>();
  for (const step of steps) {
    const key = keyOf(step);
    if (key !== undefined) current.set(step.id, key);
    const known = current.get(step.id);
    if (known === undefined) continue;
    const list = byPacket.get(known);
    if (list === undefined) byPacket.set(known, [step]);
    else list.push(step);
  }
  return byPacket;
}

/** What of a packet's headers stays the same; undefined where a step has no headers. */
function keyOf(step: TraceStep): string | undefined {
  const { transportHeader } = step;
  const protocol = protocolOf(step);
  if (transportHeader === undefined || protocol === undefined) return undefined;
  return Buffer.from(protocol === 6 ? transportHeader.subarray(4, 8) : transportHeader.subarray(8)).toString("hex");
}

function protocolOf({ protocolFamily, networkHeader }: TraceStep): number | undefined {
  return networkHeader?.[protocolFamily === 10 ? 6 : 9];
}

/** Puts the steps of one packet together. */
export function accountOf(steps: readonly TraceStep[]): Account {
  const hooks: { -readonly [K in keyof HookAccount]: HookAccount[K] }[] = [];
  let lines: string[] = [];
  let output: number | undefined;
  let header: Header | undefined;
  for (const step of steps) {
    const marker = markerOf(step);
    // The header comes with the first step in a chain, and the last one is the policy.
    header = headerOf(step) ?? header;
    if (marker !== undefined && step.outputInterface !== undefined) output = step.outputInterface;
    if (marker !== undefined && step.kind !== "policy") continue;
    if (marker?.end === "first") {
      lines = [];
      hooks.push({ hook: marker.hook, lines, before: header, after: undefined });
    } else if (marker?.end === "last") {
      const hook = hooks.at(-1);
      if (hook === undefined) continue;
      hook.after = header;
      if (output !== undefined) hook.output = output;
    } else {
      const line = lineOf(step);
      if (line !== undefined) lines.push(line);
    }
  }
  return hooks;
}

function lineOf({ kind, family, table, chain, handle, verdict }: TraceStep): string | undefined {
  if (kind === "return") return undefined;
  if (kind === "policy") return `${family} ${table} ${chain} policy ${verdict?.kind}`;
  return `${family} ${table} ${chain} rule ${handle} ${verdict === undefined ? "?" : formatVerdict(verdict)}`;
}

function markerOf({ table, chain }: TraceStep): { readonly end: "first" | "last"; readonly hook: IpHook } | undefined {
  if (table !== tracingTable.table) return undefined;
  const [end, name] = chain.split("-");
  const hook = ipHooks.find((each) => each === name);
  return hook === undefined || (end !== "first" && end !== "last") ? undefined : { end, hook };
}

/** The headers that a step shows, if it does. */
function headerOf(step: TraceStep): Header | undefined {
  const { networkHeader, transportHeader, protocolFamily, mark = 0 } = step;
  const protocol = protocolOf(step);
  if (networkHeader === undefined || protocol === undefined) return undefined;
  const [source, length] = protocolFamily === 10 ? [8, 16] : [12, 4];
  const port = (at: number) => ((transportHeader?.[at] ?? 0) << 8) | (transportHeader?.[at + 1] ?? 0);
  return {
    source: addressFromBytes(networkHeader.subarray(source, source + length)),
    destination: addressFromBytes(networkHeader.subarray(source + length, source + 2 * length)),
    protocol,
    ...(transportHeader !== undefined && hasPorts(protocol) && { sourcePort: port(0), destinationPort: port(2) }),
    mark,
  };
}
