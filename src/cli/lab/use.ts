/** `portolan lab exec`, `kubectl` and `apply`: things done in a lab, or to it. */
import { stringFlag, stringsFlag } from "../../config/flags.ts";
import { runningLab } from "../../lab/operations.ts";
import { findPlace, runAt, runKubectl } from "../../lab/places.ts";
import { labNameOf, labPart, wrongUsage } from "./part.ts";

/** `lab exec`. */
export const exec = labPart({
  name: "exec",
  world: "enters",
  usage: "POD|NODE|outside [-n NAMESPACE] -- COMMAND...",
  summary: "Run a program of this machine in a pod, on a node, or outside of the cluster",
  flags: { namespace: stringFlag("default", { shorthand: "n", help: "Namespace of the pod." }) },
  run({ values, args: [called, ...more], tail }) {
    const name = labNameOf(values);
    if (called === undefined || more.length > 0) throw wrongUsage("name one pod, one node, or outside");
    if (tail === undefined || tail.length === 0) throw wrongUsage("say what to run, after --");
    return runAt(findPlace(runningLab(name), name, called, values.namespace), tail);
  },
});

/** `lab kubectl`. */
export const kubectl = labPart({
  name: "kubectl",
  usage: "[--] ARGUMENT...",
  summary: "Run this machine's kubectl on the lab",
  flags: {},
  run({ values, tail = [] }) {
    return runKubectl(runningLab(labNameOf(values)), tail);
  },
});

/** `lab apply`. */
export const apply = labPart({
  name: "apply",
  usage: "-f FILE|FOLDER...",
  summary: "Apply manifests with this machine's kubectl",
  flags: { filename: stringsFlag([], { shorthand: "f", help: "Files or folders." }) },
  run({ values, args }) {
    if (values.filename.length === 0 || args.length > 0) throw wrongUsage("name files or folders, each with -f");
    const files = values.filename.flatMap((file) => ["-f", file]);
    return runKubectl(runningLab(labNameOf(values)), ["apply", ...files]);
  },
});
