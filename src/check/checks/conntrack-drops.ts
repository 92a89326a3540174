import type { Facts } from "../facts.ts";
import { type Check, command, type Finding } from "../finding.ts";

type Found = Omit<Finding, "check">;

/** Fewer of a kind, while one looks, are the accidents of every network. */
const few = { insertFailed: 3, invalid: 20 };

/** Packets that the connection tracker loses now. */
export const conntrackDrops: Check = {
  name: "conntrack-drops",
  about: "Whether the connection tracker drops packets, refuses new entries or finds packets invalid while one looks.",
  seen: [
    "kubernetes/kubernetes#56903",
    "kubernetes/kubernetes#62628",
    "kubernetes/kubernetes#74839",
    "kubernetes/kubernetes#117924",
  ],
  run(facts) {
    const { tracker } = facts.running;
    if (tracker === undefined || !facts.isNode) return [];
    const { before, after } = tracker;
    const seconds = Math.max(1, Math.round(after.at - before.at));
    const grown = (name: keyof typeof after.events) => after.events[name] - before.events[name];
    const while_ = `within ${seconds} s`;
    const found: Found[] = [];
    const full = grown("dropped") + grown("earlyDropped");
    if (full > 0) {
      found.push({
        severity: "error",
        subject: "connection tracker: dropped",
        message: `The connection tracker dropped ${full} packets or entries for want of room ${while_}: new connections fail.`,
        remedy: "give the table more room, for the proxy by conntrack.maxPerCore and conntrack.min",
        run: [
          "conntrack -S",
          command`sysctl -w net.netfilter.nf_conntrack_max=${2 * Number(facts.sysctl("net/netfilter/nf_conntrack_max") ?? 131_072)}`,
        ],
      });
    }
    const clashes = grown("insertFailed");
    if (clashes >= few.insertFailed) {
      found.push({
        severity: "warning",
        subject: "connection tracker: insert_failed",
        message: `${clashes} packets were dropped ${while_} because another packet of the same connection came first to the tracker (insert_failed): so DNS clients lose one of the questions for A and AAAA that they ask at once, and wait five seconds.`,
        remedy:
          'a DNS cache on the node, or in pods dnsConfig.options "single-request-reopen" or "use-vc"; rules that masquerade want --random-fully',
      });
    }
    const invalid = grown("invalid");
    if (
      invalid >= few.invalid &&
      facts.sysctl("net/netfilter/nf_conntrack_tcp_be_liberal") === "0" &&
      !dropsInvalid(facts)
    ) {
      found.push({
        severity: "warning",
        subject: "connection tracker: invalid",
        message: `The tracker found ${invalid} packets invalid ${while_}, and no rule drops such packets: they are forwarded untranslated, and the client that gets one from an endpoint's address resets its connection to the Service.`,
        remedy:
          "have the tracker be liberal (for the proxy: conntrack.tcpBeLiberal), or drop packets of state INVALID in the forward hook",
        run: ["sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1"],
      });
    }
    return found;
  },
};

const invalidBit = 1;

function dropsInvalid({ chains }: Facts): boolean {
  return chains.some(
    (chain) =>
      chain.size <= 1000 &&
      chain.rules.some(({ conditions, decided }) => conditions.states === invalidBit && decided.kind === "drop"),
  );
}
