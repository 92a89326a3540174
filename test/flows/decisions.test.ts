import assert from "node:assert/strict";
import { test } from "node:test";
import { formatHostPort } from "../../src/net/protocol.ts";
import type { ModeName } from "../../src/proxy/modes/mode.ts";
import { desiredOf } from "./desired.ts";
import { describeReached, describeRow, loadFlowFiles, type Row } from "./format.ts";
import { placeOf } from "./places.ts";
import { type Prediction, predict } from "./predict.ts";

/** Modes whose decisions differ somewhere; a row without `modes` must hold for all of them. */
const modes: readonly ModeName[] = ["nftables", "iptables", "ipvs"];

/** What is predicted otherwise than expected, for people; undefined if nothing is. */
function disagreement({ expected, from }: Row, predicted: Prediction): string | undefined {
  if (expected.kind !== "reaches" || predicted.kind !== "reaches") {
    return expected.kind === predicted.kind ? undefined : `expected ${expected.kind}, decided ${predicted.kind}`;
  }
  const problems: string[] = [];
  const left = [...expected.endpoints];
  const others = predicted.endpoints.filter(({ address }) => placeOf(address) !== from);
  for (const { address, port } of predicted.endpoints) {
    const name = placeOf(address)?.name;
    const at = left.findIndex((reached) => reached.place.name === name && (reached.port ?? port) === port);
    if (at >= 0) left.splice(at, 1);
    else problems.push(`decided for ${name ?? address} (${formatHostPort(address, port)}) too`);
  }
  for (const reached of left) problems.push(`did not decide for ${describeReached(reached)}`);
  // A pod that may reach others too says nothing of how it sees itself.
  for (const { address, masqueraded } of others.length > 0 ? others : predicted.endpoints) {
    if (masqueraded === expected.masqueraded) continue;
    problems.push(`decided that ${placeOf(address)?.name} sees the source ${masqueraded ? "masqueraded" : "kept"}`);
  }
  if (predicted.endpoints.length > 1 && (expected.sticky !== undefined) !== predicted.sticky) {
    problems.push(`decided ${predicted.sticky ? "for" : "against"} session affinity`);
  }
  return problems.length === 0 ? undefined : problems.join("; ");
}

for (const file of loadFlowFiles()) {
  test(`decisions: ${file.name} (${file.id})`, () => {
    const problems = modes.flatMap((mode) => {
      const desired = desiredOf(file, mode);
      return file.rows
        .filter((row) => row.modes?.includes(mode) ?? true)
        .map((row) => ({ row, problem: disagreement(row, predict(desired, mode, row)) }))
        .filter(({ problem }) => problem !== undefined)
        .map(({ row, problem }) => `${mode}: ${describeRow(row)}: ${problem}${row.note ? ` (${row.note})` : ""}`);
    });
    assert.deepEqual(problems, []);
  });
}
