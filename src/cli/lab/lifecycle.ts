/** `portolan lab up`, `down`, `reset`, and the supervisor that they start and end. */
import { intFlag, stringFlag, stringsFlag, switchFlag } from "../../config/flags.ts";
import { up as bringUp, reset as forget, down as takeDown } from "../../lab/operations.ts";
import { labCommand } from "../../lab/plan/names.ts";
import { LabFolder, listLabs } from "../../lab/state.ts";
import { exitStatus } from "../command.ts";
import { programVersion } from "../version.ts";
import { checkMode, labNameOf, labPart, refuseArguments } from "./part.ts";

/** `lab up`. */
export const up = labPart({
  name: "up",
  world: "makes",
  usage: "[--nodes N] [--mode MODE] [--dual-stack] [--zones A,B] [--demo]",
  summary: "Start a lab, and wait until it is ready",
  description: `A lab that was down comes back with the nodes, the mode and the objects that it had, unless flags ask for others. One that runs is left as it is.`,
  examples: [
    { line: 'eval "$(portolan lab up)"', what: "two nodes, and kubectl of this shell talks to them" },
    { line: "portolan lab up --nodes 3 --zones a,b,c", what: "three nodes, each in a zone of its own" },
    { line: "portolan lab up --name six --dual-stack --mode iptables", what: "another lab beside it" },
    { line: "portolan lab up --demo", what: "with an example, and what to try with it" },
  ],
  flags: {
    nodes: intFlag(2, { help: "Nodes, 1 to 100; as many as it had, if it was there before." }),
    mode: stringFlag("", { help: "Mode of the service proxies; the best that this kernel can do if none is named." }),
    "dual-stack": switchFlag(false, { help: "IPv4 and IPv6." }),
    zones: stringsFlag([], { help: "Zones, given to the nodes in turn." }),
    demo: switchFlag(false, {
      help: "Put an example into it and say what to try; stays until Ctrl-C, and leaves nothing.",
    }),
  },
  async run({ values, given, args, context }) {
    refuseArguments(args);
    const name = labNameOf(values);
    if (values.mode !== "") await checkMode(values.mode);
    const began = performance.now();
    const wishes = {
      name,
      ...(given.has("nodes") && { nodes: values.nodes }),
      ...(given.has("mode") && { mode: values.mode }),
      ...(given.has("dual-stack") && { dualStack: values["dual-stack"] }),
      ...(given.has("zones") && { zones: values.zones }),
    };
    if (values.demo) {
      const { runDemo } = await import("../../lab/demo.ts");
      await runDemo({ wishes, out: context.out, signal: context.signal });
      return exitStatus.ok;
    }
    const { started, granted, status } = await bringUp(wishes, (text) => context.err(`  ${text}\n`), context.signal);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const nodes = status.nodes.map((node) => node.name).join(", ");
    const modes = [...new Set(status.nodes.map((node) => node.mode))].join(", ");
    const what = started ? `is ready after ${seconds} s` : "runs already";
    context.err(`Lab ${name} ${what}: ${nodes}, mode ${modes}\n`);
    if (!granted) {
      context.err(
        `It is left as it is, not as the flags ask: ${labCommand(name, "down")} first, or see portolan lab node and mode\n`,
      );
    }
    context.out(`export KUBECONFIG=${new LabFolder(name).kubeconfig}\n`);
    return exitStatus.ok;
  },
});

/** `lab down`. */
export const down = labPart({
  name: "down",
  usage: "[--all]",
  summary: "End a lab; what its API holds comes back with the next up",
  examples: [
    { line: "portolan lab down", what: "also sweeps up what a crash or a reboot left" },
    { line: "portolan lab down --all", what: "all labs of this user" },
  ],
  flags: { all: switchFlag(false, { help: "All labs of this user." }) },
  async run({ values, args, context }) {
    refuseArguments(args);
    for (const name of values.all ? listLabs() : [labNameOf(values)]) {
      const found = await takeDown(name);
      context.err(found ? `Lab ${name} is down\n` : `There is no lab ${name}\n`);
    }
    return exitStatus.ok;
  },
});

/** `lab reset`. */
export const reset = labPart({
  name: "reset",
  usage: "",
  summary: "End a lab and forget everything about it",
  examples: [{ line: "portolan lab reset && portolan lab up --dual-stack", what: "begin anew, otherwise" }],
  flags: {},
  async run({ values, args, context }) {
    refuseArguments(args);
    const name = labNameOf(values);
    await forget(name);
    context.err(`Lab ${name} is forgotten\n`);
    return exitStatus.ok;
  },
});

/** `lab supervise`: what `up` starts in the background. */
export const supervise = labPart({
  name: "supervise",
  world: "makes",
  usage: "",
  summary: "Keep a lab running in the foreground, as up does in the background",
  examples: [{ line: "portolan lab supervise", what: "one that up has made before; ends with Ctrl-C" }],
  flags: {},
  async run({ values, args, context }) {
    refuseArguments(args);
    const folder = new LabFolder(labNameOf(values));
    // The API server and all that belongs to it are of no use to the other commands.
    const { supervise: keep } = await import("../../lab/supervisor.ts");
    await keep({ folder, version: programVersion, write: context.err, signal: context.signal });
    return exitStatus.ok;
  },
});
