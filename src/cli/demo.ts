/** `portolan demo`: the service proxy at work, on this machine. */
import { runDemo } from "../lab/demo/demo.ts";
import { type Command, exitStatus } from "./command.ts";

/** The command. */
export const demo: Command = {
  name: "demo",
  summary: "Show the service proxy at work, in network namespaces of this machine",
  description:
    "Builds a node with three pods and a client outside, each a network namespace, runs the service proxy on examples/hello and shows which pod answers whom. Needs root. Ctrl-C ends it and leaves nothing behind.",
  usage: "",
  examples: [{ line: "portolan demo", what: "watch it, and try what it suggests" }],
  flags: {},
  async run(_args, { out, signal }) {
    if (process.getuid?.() !== 0) {
      throw new Error("the demo makes network namespaces, so it needs root: sudo ./portolan demo");
    }
    await runDemo({ out, signal });
    return exitStatus.ok;
  },
};
