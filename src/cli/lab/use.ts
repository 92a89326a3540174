/** `portolan lab exec`, `kubectl` and `apply`: things done in a lab, or to it. */
import { stringFlag, stringsFlag } from "../../config/flags.ts";
import { runningLab } from "../../lab/operations.ts";
import { findPlace, runAt, runKubectl } from "../../lab/places.ts";
import { labNameOf, labPart, wrongUsage } from "./part.ts";

const programStatus = { 3: "and others: what the program ended with" } as const;

/** `lab exec`. */
export const exec = labPart({
  name: "exec",
  world: "enters",
  usage: "POD|NODE|outside [-n NAMESPACE] -- COMMAND...",
  summary: "Run a program of this machine in a pod, on a node, or outside of the cluster",
  examples: [
    { line: "portolan lab exec hello -- curl -s http://hello/", what: "in the first pod whose name begins so" },
    { line: "portolan lab exec node1 -- nft list table ip portolan", what: "on a node" },
    { line: "portolan lab exec outside -- curl -s http://172.20.0.11:30080/", what: "be a client outside" },
    { line: "portolan lab exec kube-dns -n kube-system -- ss -lnup", what: "a pod of another namespace" },
  ],
  statuses: programStatus,
  flags: { namespace: stringFlag("default", { shorthand: "n", help: "Namespace of the pod." }) },
  run({ values, args: [called, ...more], tail }) {
    const name = labNameOf(values);
    if (called === undefined) throw wrongUsage("name one pod, one node, or outside");
    if (more.length > 0) throw wrongUsage(`put -- before what is to be run: ${called} -- ${more.join(" ")}`);
    if (tail === undefined || tail.length === 0) throw wrongUsage("say what to run, after --");
    return runAt(findPlace(runningLab(name), name, called, values.namespace), tail);
  },
});

/** `lab kubectl`. */
export const kubectl = labPart({
  name: "kubectl",
  usage: "[--] ARGUMENT...",
  summary: "Run this machine's kubectl on the lab",
  examples: [
    { line: "portolan lab kubectl -- get pods -A -o wide", what: "all pods" },
    { line: "portolan lab kubectl --name other get nodes", what: "what follows a name is kubectl's too" },
    { line: "portolan lab kubectl -- --help", what: "the help of kubectl" },
  ],
  statuses: programStatus,
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
  examples: [{ line: "portolan lab apply -f examples/lab/hello.yaml", what: "three pods behind three Services" }],
  statuses: programStatus,
  flags: { filename: stringsFlag([], { shorthand: "f", help: "Files or folders." }) },
  run({ values, args }) {
    if (values.filename.length === 0 || args.length > 0) throw wrongUsage("name files or folders, each with -f");
    const files = values.filename.flatMap((file) => ["-f", file]);
    return runKubectl(runningLab(labNameOf(values)), ["apply", ...files]);
  },
});
