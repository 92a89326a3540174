/** `portolan lab mode` and `node`: changes of a lab that runs. */
import { stringFlag } from "../../config/flags.ts";
import { ask } from "../../lab/operations.ts";
import { exitStatus } from "../command.ts";
import { labNameOf, labPart, wrongUsage } from "./part.ts";

/** `lab mode`. */
export const mode = labPart({
  name: "mode",
  usage: "MODE",
  summary: "Have every node's proxy work in another mode; no connection breaks",
  flags: {},
  async run({ values, args: [wanted, ...more], context }) {
    const { modeNames } = await import("../../proxy/modes/index.ts");
    if (wanted === undefined || more.length > 0 || !modeNames.includes(wanted)) {
      throw wrongUsage(`name one mode: ${modeNames.join(", ")}`);
    }
    const name = labNameOf(values);
    await ask(name, { op: "mode", mode: wanted }, context.signal);
    context.err(`All proxies of lab ${name} work in mode ${wanted}\n`);
    return exitStatus.ok;
  },
});

const operations = { remove: "removeNode", stop: "stopNode", start: "startNode" } as const;

/** `lab node`. */
export const node = labPart({
  name: "node",
  usage: "add [--zone ZONE] | remove NODE | stop NODE | start NODE",
  summary: "Add or remove a node, pull its plug or switch it on again",
  flags: { zone: stringFlag("", { help: "Zone of the new node." }) },
  async run({ values, args: [action = "", which, ...more], context }) {
    const name = labNameOf(values);
    if (action === "add" && which === undefined) {
      const added = (await ask(name, { op: "addNode", zone: values.zone }, context.signal)) as string;
      context.out(`${added}\n`);
      return exitStatus.ok;
    }
    if (!isOperation(action) || which === undefined || more.length > 0) {
      throw wrongUsage("say node add, node remove NODE, node stop NODE or node start NODE");
    }
    await ask(name, { op: operations[action], name: which }, context.signal);
    return exitStatus.ok;
  },
});

function isOperation(word: string): word is keyof typeof operations {
  return Object.hasOwn(operations, word);
}
