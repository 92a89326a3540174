import assert from "node:assert/strict";
import { test } from "node:test";
import { loadFlowFiles, parseFlowFile } from "./format.ts";

test("all flow files are well-formed", () => {
  const files = loadFlowFiles();
  assert.ok(files.length > 0);
  for (const file of files) assert.ok(file.rows.length > 0, file.id);
});

test("a flow file with mistakes is refused with the place of each", () => {
  const text = `
name: mistakes
settings: {zone: a, detectLocal: {mode: NodeCIDR, bridge: cbr0}}
objects:
  - {kind: Pod}
  - {kind: Service, metadata: {namespace: shop, name: web}, spec: {clusterIPs: [10.96.0.1], ports: [{port: 0}]}}
flows:
  - {from: pod, to: "10.96.0.1:80/tcp", reaches: [p9], source: kept}
  - {from: pod, to: "10.96.0.1:80", outcome: drop, source: kept}
  - {from: pod, to: "10.96.0.1:80/tcp", outcome: lost}
  - {from: pod, to: "10.96.0.1:80/tcp"}
  - {from: pod, to: "10.96.0.1:80/tcp", outcome: drop, reason: none}
`;
  assert.throws(
    () => parseFlowFile(text, "mistakes.yaml"),
    (error: Error) => {
      for (const part of [
        "test/flows/mistakes.yaml",
        "settings.detectLocal.bridge",
        "objects[0].kind",
        "objects[1].spec.ports[0].port",
        "flows[0].reaches[0]",
        "flows[1].source",
        "flows[1].to[0]",
        "flows[2].outcome",
        "flows[3]: must have either reaches or outcome",
        "flows[4].reason: Unknown field",
      ]) {
        assert.ok(error.message.includes(part), `${part} in ${error.message}`);
      }
      return true;
    },
  );
  assert.throws(() => parseFlowFile("name: [", "broken.yaml"), /broken\.yaml: line 1/);
});
