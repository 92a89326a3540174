/** `portolan lab mode` and `node`: changes of a lab that runs. */
import { durationFlag, floatFlag, stringFlag } from "../../config/flags.ts";
import { impair } from "../../lab/network/impair.ts";
import { ask, runningLab } from "../../lab/operations.ts";
import { exitStatus } from "../command.ts";
import { checkMode, labNameOf, labPart, refuseArguments, wrongUsage } from "./part.ts";

/** `lab mode`. */
export const mode = labPart({
  name: "mode",
  world: "enters",
  usage: "MODE",
  summary: "Have every node's proxy work in another mode; no connection breaks",
  examples: [{ line: "portolan lab mode iptables", what: "the rules of all nodes become those of iptables" }],
  flags: {},
  async run({ values, args: [wanted = "", ...more], context }) {
    const name = labNameOf(values);
    runningLab(name);
    await checkMode(more.length > 0 ? "" : wanted);
    await ask(name, { op: "mode", mode: wanted }, context.signal);
    context.err(`All proxies of lab ${name} work in mode ${wanted}\n`);
    return exitStatus.ok;
  },
});

/** `lab netem`. */
export const netem = labPart({
  name: "netem",
  world: "enters",
  usage: "[--delay TIME] [--jitter TIME] [--loss PERCENT] [--node NODE]",
  summary: "Make the wire between the machines slow or lossy; without flags, whole again",
  examples: [
    { line: "portolan lab netem --delay 50ms --jitter 5ms", what: "as if the nodes were in different towns" },
    { line: "portolan lab netem --loss 5 --node node2", what: "a bad cable at one node" },
    { line: "portolan lab netem", what: "all as it was" },
  ],
  flags: {
    delay: durationFlag(0, { help: "What each packet takes longer, in each direction." }),
    jitter: durationFlag(0, { help: "By how much that may be more or less." }),
    loss: floatFlag(0, { help: "Of a hundred packets, how many are lost." }),
    node: stringFlag("", { help: "Only to and from this node, or outside." }),
  },
  async run({ values: { name, delay, jitter, loss, node: which }, args, context }) {
    refuseArguments(args);
    if (!(loss >= 0 && loss <= 100)) throw wrongUsage("--loss must be 0 to 100");
    if (!(delay >= 0 && delay <= 60_000)) throw wrongUsage("--delay must be 0s to 1m");
    if (!(jitter >= 0 && jitter <= delay)) throw wrongUsage("--jitter must be 0s to the delay");
    const lab = labNameOf({ name });
    await impair(lab, { delay, jitter, loss, ...(which !== "" && { node: which }) });
    const what = [
      delay > 0 ? `slow by ${delay}${jitter > 0 ? `±${jitter}` : ""} ms` : "",
      loss > 0 ? `lossy by ${loss} %` : "",
    ].filter(Boolean);
    context.err(`The wire of lab ${lab} is ${what.join(" and ") || "as it should be"}\n`);
    return exitStatus.ok;
  },
});

const operations = { remove: "removeNode", stop: "stopNode", start: "startNode" } as const;

/** `lab node`. */
export const node = labPart({
  name: "node",
  usage: "add [--zone ZONE] | remove NODE | stop NODE | start NODE",
  summary: "Add or remove a node, pull its plug or switch it on again",
  examples: [
    { line: "portolan lab node add --zone b", what: "one node more; its name is printed" },
    {
      line: "portolan lab node stop node2",
      what: "a power cut: nobody on the node is told, the API learns that it is lost",
    },
    { line: "portolan lab node start node2", what: "power is back, and its pods with it" },
    { line: "portolan lab node remove node3", what: "take it out; its pods go elsewhere if somebody wants them" },
  ],
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
