/** Runs all flow files through a mode, on the kernel, as tests of the calling file. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { enterNamespace } from "../../src/kernel/namespace.ts";
import type { Mode, ModeFactory } from "../../src/proxy/modes/mode.ts";
import { Cast } from "./cast.ts";
import { desiredOf } from "./desired.ts";
import { loadFlowFiles } from "./format.ts";
import { tryFlows } from "./packets.ts";

/**
 * Makes one test of each flow file: the mode is told of its decisions, then packets are sent for every row. This thread
 * lives in the node's namespace from then on, where the mode works.
 *
 * @param label names the tests, where that is not the mode's name.
 */
export function testFlows(factory: ModeFactory, label: string = factory.name): void {
  let cast: Cast;
  let mode: Mode;

  before(async () => {
    cast = new Cast(`flows-${label}`);
    enterNamespace(cast.node.namespace);
    mode = await factory.create();
  });

  after(() => {
    mode?.close();
    cast?.[Symbol.dispose]();
  });

  for (const file of loadFlowFiles()) {
    test(`${label}: ${file.name} (${file.id})`, async (context) => {
      await mode.replace(desiredOf(file, factory.name), context.signal);
      cast.forgetConnections();
      assert.deepEqual(await tryFlows(cast, file, factory.name), []);
      assert.deepEqual(await mode.audit(context.signal), []);
    });
  }
}
