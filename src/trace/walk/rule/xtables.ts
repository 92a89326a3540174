/** Matches and targets of iptables within a rule of nf_tables. */
import type { XtMatch, XtTarget } from "../../../kernel/nftables/index.ts";
import { type Action, evaluateMatch, readTarget } from "../xtables/index.ts";
import { inZone, untracked } from "./change.ts";
import { proxyTo } from "./proxy.ts";
import { runQueue } from "./queue.ts";
import { runSynproxy } from "./synproxy.ts";
import { type Context, change, decide, depends, end, go, lost, miss, type Next, type Thread } from "./thread.ts";
import { translate } from "./translate.ts";

/** Asks a match. */
export function runMatch(expression: XtMatch, thread: Thread, { world, where }: Context): readonly Next[] {
  const { state } = thread;
  const condition = evaluateMatch(expression, { state, world, where });
  if (condition.kind === "known") {
    const { holds, text, touches } = condition;
    const touched = touches === undefined ? state.touched : [...new Set([...state.touched, touches])];
    return decide({ ...thread, state: { ...state, touched } }, holds, () => text);
  }
  if (condition.kind === "depends") return depends(thread, condition.text);
  const { probability, text } = condition;
  const share = (part: number) => ({ ...state, probability: state.probability * part });
  const held = { ...thread, state: share(probability), choice: `${Math.round(100 * probability)} % of packets` };
  if (probability >= 1) return go(held);
  return [...go(held), ...miss({ ...thread, state: share(1 - probability) }, `not ${text}`)];
}

/** Does what a target does. */
export function runTarget(expression: XtTarget, thread: Thread, context: Context): readonly Next[] {
  const { world, where } = context;
  const { state } = thread;
  const action = readTarget(expression, { state, world, where });
  switch (action.kind) {
    case "nothing":
      return action.effect === undefined ? go(thread) : change(thread, {}, action.effect);
    case "unknown":
      return lost(thread, `iptables' target ${expression.name} is not followed`);
    case "reject":
      return end({ ...thread, answer: action.how }, { kind: "drop" });
    case "queue":
      return runQueue(action.range, thread, context);
    case "notrack":
      return untracked(thread);
    case "zone":
      return inZone(action.zone, action.direction, thread);
    case "synproxy":
      return runSynproxy(thread);
    case "trace":
      return change(thread, { traced: true }, "traces the packet");
    case "set":
      return change(
        thread,
        { touched: [...new Set([...state.touched, ...action.sets.map((name) => `ipset ${name}`)])] },
        `changes IP set ${action.sets.join(" and ")}`,
      );
    case "proxy":
      return proxyTo(action, thread, context, { found: "accept", none: "drop" });
    case "nat":
      return translateBy(action, thread, context);
    default:
      return changePacket(action, thread);
  }
}

function changePacket(
  action: Action & { readonly kind: "mark" | "connection mark" | "priority" | "service" | "hops" },
  thread: Thread,
): readonly Next[] {
  const { packet, connection } = thread.state;
  const hex = (number: number) => `0x${number.toString(16)}`;
  switch (action.kind) {
    case "mark":
      return change(thread, { packet: { ...packet, mark: action.mark } }, `sets the mark to ${hex(action.mark)}`);
    case "connection mark":
      if (connection === undefined) return go(thread);
      return change(
        thread,
        { connection: { ...connection, mark: action.mark } },
        `sets the connection's mark to ${hex(action.mark)}`,
      );
    case "priority": {
      const { priority } = action;
      return change(thread, { packet: { ...packet, priority } }, `sets the priority to ${hex(priority)}`);
    }
    case "service": {
      const service = (((packet.service ?? 0) & ~action.mask) ^ action.value) & 255;
      return change(thread, { packet: { ...packet, service } }, `sets the TOS to ${hex(service)}`);
    }
    case "hops": {
      const ttl =
        action.how === "set" ? action.value : packet.ttl === undefined ? undefined : packet.ttl + action.value;
      const { ttl: _, ...rest } = packet;
      const text = action.how === "set" ? `sets the time to live to ${action.value}` : "changes the time to live";
      return change(thread, { packet: { ...rest, ...(ttl !== undefined && { ttl }) } }, text);
    }
  }
}

function translateBy(action: Action & { readonly kind: "nat" }, thread: Thread, context: Context): readonly Next[] {
  const family = thread.state.packet.family === "IPv4" ? "ip" : "ip6";
  const flags = (["random", "netmap", "persistent"] as const).filter((flag) => action[flag]);
  const { type } = action;
  const nat =
    type === "dnat" || type === "snat"
      ? ({ kind: "nat", type, family, flags } as const)
      : ({ kind: type, flags } as const);
  return translate(thread, nat, action.range, context);
}
