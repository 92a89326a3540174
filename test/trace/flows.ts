/** Every row of the flow files, predicted from the node's own state after a mode has served it: tests of the calling file. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { enterNamespace } from "../../src/kernel/namespace.ts";
import { familyOf } from "../../src/net/address.ts";
import { formatHostPort, protocolNumbers } from "../../src/net/protocol.ts";
import type { Mode, ModeFactory } from "../../src/proxy/modes/mode.ts";
import { capture, type Snapshot } from "../../src/trace/snapshot/index.ts";
import { type Question, walk } from "../../src/trace/walk/index.ts";
import { Cast } from "../flows/cast.ts";
import { desiredOf } from "../flows/desired.ts";
import { describeRow, loadFlowFiles, type Row } from "../flows/format.ts";
import { addressOf, isNodeAddress, placeOf } from "../flows/places.ts";
import { type PredictedEndpoint, predict } from "../flows/predict.ts";

/** Makes one test of each flow file. This thread lives in the node's namespace from then on. FLOWS=a,b: these alone. */
export function testPredictions(factory: ModeFactory, label: string = factory.name): void {
  let cast: Cast;
  let mode: Mode;

  before(async () => {
    cast = new Cast(`predict-${label}`);
    enterNamespace(cast.node.namespace);
    mode = await factory.create();
  });

  after(() => {
    mode?.close();
    cast?.[Symbol.dispose]();
  });

  const wanted = process.env.FLOWS?.split(",");
  for (const file of loadFlowFiles()) {
    if (wanted !== undefined && !wanted.includes(file.id)) continue;
    test(`${label}: ${file.name} (${file.id}) is predicted from a snapshot`, async (context) => {
      const desired = desiredOf(file, factory.name);
      await mode.replace(desired, context.signal);
      cast.forgetConnections();
      const snapshot = await capture();
      const problems: string[] = [];
      for (const row of file.rows) {
        if (row.modes?.includes(factory.name) === false) continue;
        const prediction = predict(desired, factory.name, row);
        const expected =
          prediction.kind === "reaches"
            ? prediction.endpoints.map((endpoint) => describeEndpoint(endpoint, row)).sort()
            : [prediction.kind];
        const found = followed(snapshot, row, prediction.kind === "ignored");
        if (JSON.stringify(found) !== JSON.stringify([...new Set(expected)])) {
          problems.push(`${describeRow(row)}: expected ${expected.join(", ")}, the walk says ${found.join(", ")}`);
        }
      }
      assert.deepEqual(problems, []);
    });
  }
}

function describeEndpoint({ address, port, masqueraded }: PredictedEndpoint, { from }: Row): string {
  return `${formatHostPort(address, port)} ${masqueraded || from.site === "node" ? "from the node" : "from the client"}`;
}

/** What a walk says of a row, in the words of the prediction, sorted. */
function followed(snapshot: Snapshot, { from, to }: Row, ignored: boolean): readonly string[] {
  const family = familyOf(to.address);
  const isNode = from.site === "node";
  const input = { node: "lo", bridge: `veth-${from.name}`, link: `ptp-${from.name}`, there: "eth1", outside: "eth0" }[
    from.site
  ];
  const question: Question = {
    ...(!isNode && { input }),
    packet: {
      family,
      ...(!isNode && { source: addressOf(from, family) }),
      destination: to.address,
      protocol: protocolNumbers[to.protocol],
      destinationPort: to.port,
    },
  };
  const { ends, packet } = walk(snapshot, question);
  const words = ends.map(({ state, outcome }) => {
    // Whom iptables remembers for session affinity is not in a snapshot; nobody is remembered here, or any endpoint.
    const assumptions = state.assumptions.filter((text) => !/remembered by list KUBE-/.test(text));
    const assumed = assumptions.length > 0 ? ` assuming ${assumptions.join(" and ")}` : "";
    if (outcome.kind === "rejected") return `reject${assumed}`;
    if (outcome.kind === "dropped") return `drop${assumed}`;
    if (outcome.kind === "unknown" && ignored && /same bridge/.test(outcome.why)) return "ignored";
    if ("why" in outcome) return `${outcome.kind}: ${outcome.why}`;
    const { address, port = 0, source } = outcome.to;
    if (address === to.address && port === to.port && source === packet.source && placeOf(address) === undefined)
      return "ignored";
    if (ignored && address === to.address && port === to.port && source === packet.source) return "ignored";
    return `${formatHostPort(address, port)} ${isNodeAddress(source) ? "from the node" : "from the client"}${assumed}`;
  });
  return [...new Set(words)].sort();
}
