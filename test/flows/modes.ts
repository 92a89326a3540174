/** Runs all flow files through a mode, on the kernel, as tests of the calling file. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { enterNamespace } from "../../src/kernel/namespace.ts";
import type { Desired, Mode, ModeFactory } from "../../src/proxy/modes/mode.ts";
import type { Changes } from "../../src/service/decision.ts";
import { Cast } from "./cast.ts";
import { desiredOf } from "./desired.ts";
import { loadFlowFiles } from "./format.ts";
import { tryFlows } from "./packets.ts";

/**
 * How a mode gets from the decisions of one file to those of the next: all at once, or by the settings of the next file
 * with the decisions of the last one, and then the difference.
 */
export type Way = "replace" | "apply";

/**
 * Makes one test of each flow file: the mode is told of its decisions, then packets are sent for every row. This thread
 * lives in the node's namespace from then on, where the mode works. FLOWS=a,b runs the files of these names alone.
 *
 * @param label names the tests, and the namespaces.
 */
export function testFlows(factory: ModeFactory, way: Way, label: string): void {
  let cast: Cast;
  let mode: Mode;
  let last: Desired["decisions"] = new Map();

  before(async () => {
    cast = new Cast(`flows-${label}`);
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
    test(`${label}: ${file.name} (${file.id})`, async ({ signal }) => {
      const desired = desiredOf(file, factory.name);
      if (way === "replace") {
        await mode.replace(desired, signal);
      } else {
        await mode.replace({ settings: desired.settings, decisions: last }, signal);
        await mode.apply(changesBetween(last, desired.decisions), signal);
      }
      last = desired.decisions;
      cast.forgetConnections();
      assert.deepEqual(await tryFlows(cast, file, factory.name), []);
      assert.deepEqual(await mode.audit(signal), []);
    });
  }
}

function changesBetween(before: Desired["decisions"], next: Desired["decisions"]): Changes {
  const gone = [...before.keys()].filter((key) => !next.has(key)).map((key) => [key, undefined] as const);
  return new Map([...gone, ...next]);
}
