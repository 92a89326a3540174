import { signalProcess } from "../../kernel/programs.ts";
import { type Fault, must, nodeAt } from "./fault.ts";

/** A firewall was reloaded, and the proxy is not there to see it. */
export const flushedRules: Fault = {
  name: "flushed-rules",
  deed: "The proxy of the first node is halted, and all rules of the node are flushed.",
  symptom: "No Service answers to the first node and its pods; pods answer to those who know their addresses.",
  explanation:
    "Reloading a firewall often flushes all rules, not its own alone. A proxy that runs sees that and puts them back; one that hangs does not. `nft list ruleset` is empty, and /healthz on port 10256 of the node does not answer.",
  remedy: "have the proxy run again: it finds out by itself what is missing",
  break(stage) {
    const { namespace, proxyPid } = nodeAt(stage, 0);
    if (proxyPid === undefined) throw new Error("the first node has no proxy that runs");
    signalProcess(proxyPid, "SIGSTOP");
    must(namespace, "nft", "flush", "ruleset");
    return { proxyPid };
  },
  repair(_, memory) {
    signalProcess((memory as { readonly proxyPid: number }).proxyPid, "SIGCONT");
  },
};
