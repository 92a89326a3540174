import { runInside } from "../../kernel/programs.ts";
import { isFields } from "../../kube/objects/fields.ts";
import { podAddress, wireAddress, wireHost } from "../plan/addresses.ts";
import { type Fault, must, nodeAt, serviceSpec } from "./fault.ts";

const clientPort = 5000;
/** A pod that is no more: the last host of the first node. */
const gone = 254;

/** A client of UDP that is sent to a pod that is no more. */
export const staleUdpConntrack: Fault = {
  name: "stale-udp-conntrack",
  deed: `The first node remembers that what comes over UDP from outside, port ${clientPort}, goes to a pod that is no more.`,
  symptom: `A client outside that keeps its source port (${clientPort}) gets no answer from the UDP node port of the first node, while others do.`,
  explanation:
    "The connection tracker translates a flow as its first packet was, and every further packet keeps the entry alive. A proxy must delete the entries of endpoints that went; where it does not, a client with a fixed port is stuck for ever: `conntrack -L -p udp` shows an entry whose reply comes from no endpoint.",
  remedy: "conntrack -D -p udp --orig-port-src PORT on the node",
  async break(stage) {
    const { ports } = await serviceSpec(stage);
    const port = (Array.isArray(ports) ? ports : [])
      .filter(isFields)
      .find(({ protocol, nodePort }) => protocol === "UDP" && Number(nodePort) > 0);
    if (port === undefined) {
      throw new Error(`Service ${stage.service.name} has no UDP node port: name one that has, with --service`);
    }
    const { namespace, addresses, spec } = nodeAt(stage, 0);
    const client = wireAddress("IPv4", wireHost.outside);
    const node = addresses[0] ?? "";
    const pod = podAddress("IPv4", spec.index, gone);
    const original = ["-s", client, "-d", node, "--sport", String(clientPort), "--dport", String(port.nodePort)];
    runInside(namespace, ["conntrack", "-D", "-p", "udp", ...original]);
    const reply = [
      "-r",
      pod,
      "-q",
      client,
      "--reply-port-src",
      String(clientPort),
      "--reply-port-dst",
      String(clientPort),
    ];
    must(
      namespace,
      "conntrack",
      "-I",
      "-p",
      "udp",
      ...original,
      ...reply,
      "-t",
      "3600",
      "-u",
      "SEEN_REPLY,ASSURED",
      "-g",
      `${pod}:${clientPort}`,
    );
    return { original };
  },
  repair(stage, memory) {
    const { original } = memory as { readonly original: readonly string[] };
    // Somebody may have been faster.
    runInside(nodeAt(stage, 0).namespace, ["conntrack", "-D", "-p", "udp", ...original]);
  },
};
