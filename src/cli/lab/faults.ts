/** `portolan lab break`, `repair` and `quiz`. */
import { createInterface } from "node:readline/promises";
import { stringFlag } from "../../config/flags.ts";
import { breakLab, breakSomething, currentFaults, findFault, repairLab, usualService } from "../../lab/breaking.ts";
import { faults } from "../../lab/faults/index.ts";
import { runningLab } from "../../lab/operations.ts";
import { labCommand } from "../../lab/plan/names.ts";
import { exitStatus } from "../command.ts";
import { labNameOf, labPart, refuseArguments, wrongUsage } from "./part.ts";

const serviceFlag = {
  service: stringFlag(`${usualService.namespace}/${usualService.name}`, {
    help: "The Service that faults of Services are about, NAME or NAMESPACE/NAME.",
  }),
};

function serviceOf(text: string): { readonly namespace: string; readonly name: string } {
  const [name = "", namespace = "default", ...more] = text.split("/").reverse();
  if (name === "" || namespace === "" || more.length > 0)
    throw wrongUsage(`--service must be NAME or NAMESPACE/NAME, not ${JSON.stringify(text)}`);
  return { namespace, name };
}

/** `lab break`. */
export const breaking = labPart({
  name: "break",
  world: "enters",
  usage: "[FAULT] [--service SERVICE]",
  summary: "Break something that breaks in real life; without a name, list what can be broken",
  examples: [
    { line: "portolan lab break", what: "what can be broken, and what one would see" },
    { line: "portolan lab break hairpin-off", what: "break one thing" },
    { line: "portolan lab break wrong-selector --service shop/web", what: "of a Service of yours" },
    { line: "portolan trace --lab lab outside 172.20.0.11:30080", what: "find out why no answer comes" },
  ],
  flags: serviceFlag,
  async run({ values, args: [wanted, ...more], context: { out, err, signal } }) {
    if (more.length > 0) throw wrongUsage("one fault at a time");
    if (wanted === undefined) {
      out(faults.map(({ name, deed, symptom }) => `${name}\n    ${deed}\n    Seen: ${symptom}\n`).join(""));
      return exitStatus.ok;
    }
    const fault = findFault(wanted);
    const name = labNameOf(values);
    await breakLab(name, fault, serviceOf(values.service), signal);
    err(`${fault.deed}\nSeen: ${fault.symptom}\nUndo it with: ${labCommand(name, "repair")}\n`);
    return exitStatus.ok;
  },
});

/** `lab repair`. */
export const repair = labPart({
  name: "repair",
  world: "enters",
  usage: "[FAULT]",
  summary: "Undo what was broken",
  examples: [
    { line: "portolan lab repair", what: "everything" },
    { line: "portolan lab repair hairpin-off", what: "one fault of several" },
  ],
  flags: {},
  async run({ values, args: [only, ...more], context: { err, signal } }) {
    if (more.length > 0) throw wrongUsage("one fault, or all");
    const repaired = await repairLab(labNameOf(values), only && findFault(only).name, signal);
    err(repaired.length === 0 ? "Nothing was broken\n" : `Repaired: ${repaired.join(", ")}\n`);
    return exitStatus.ok;
  },
});

/** `lab quiz`. */
export const quiz = labPart({
  name: "quiz",
  world: "enters",
  usage: "[--service SERVICE]",
  summary: "Break one thing at random, let you find out which, and explain it",
  examples: [{ line: "portolan lab quiz", what: "look around in another terminal, and answer here" }],
  flags: serviceFlag,
  async run({ values, args, context: { out, signal } }) {
    refuseArguments(args);
    const name = labNameOf(values);
    const broken = currentFaults(runningLab(name));
    if (broken.length > 0) throw new Error(`lab ${name} is broken already: ${labCommand(name, "repair")} first`);
    const fault = await breakSomething(name, serviceOf(values.service), signal);
    try {
      out(`Something in lab ${name} is broken. Look around in another terminal, then say what it is:\n\n`);
      out(faults.map((choice, i) => `  ${String(i + 1).padStart(2)}  ${choice.deed}\n`).join(""));
      out("\nA number is an answer; hint says what somebody would see; enter nothing to give up.\n");
      const prompt = "\nYour answer: ";
      out(prompt);
      const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
      signal.addEventListener("abort", () => lines.close(), { once: true });
      for await (const line of lines) {
        const answer = line.trim();
        if (answer === "hint") out(`${fault.symptom}\n${prompt}`);
        else if (answer === "" || answer === fault.name || faults[Number(answer) - 1] === fault) {
          out(answer === "" ? `It was: ${fault.deed}\n` : "Right.\n");
          break;
        } else out(`No. Look again.\n${prompt}`);
      }
      lines.close();
      out(`\n${fault.explanation}\nRemedy: ${fault.remedy}\n`);
    } finally {
      await repairLab(name, fault.name, AbortSignal.timeout(10_000));
      out("\nRepaired.\n");
    }
    return exitStatus.ok;
  },
});
