/** The steps of a packet's way, a line each. */
import { formatVerdict } from "../../kernel/nftables/index.ts";
import { formatHostPort } from "../../net/protocol.ts";
import type { Step } from "../walk/index.ts";
import { hasPorts } from "../walk/packet.ts";

/** How steps are told. */
export interface StepStyle {
  /** Those too that decide nothing, and rules that did not match. */
  readonly verbose: boolean;
  /** Places are named, and what happens in them is indented. */
  readonly places: boolean;
}

/** Lines of text. */
export function stepLines(steps: readonly Step[], style: StepStyle): readonly string[] {
  const indent = style.places ? "  " : "";
  const shown = style.verbose ? steps : interesting(steps);
  return shown.flatMap((step) => {
    if (step.kind === "place") return style.places ? [placeLine(step)] : [];
    const line = stepLine(step, style.verbose);
    return line === undefined ? [] : [`${indent}${line}`];
  });
}

/** Steps without those that decide nothing: chains in which nothing happens, hooks in which nothing is left. */
function interesting(steps: readonly Step[]): readonly Step[] {
  const kept: Step[] = [];
  /** Chains of which a step is kept, in the hook that is looked at: a jump to them is worth a line. */
  let told = new Set<string>();
  for (const step of steps.toReversed()) {
    if (step.kind === "hook" || step.kind === "place") {
      const hasNews = kept.at(-1)?.kind === "rule" || kept.at(-1)?.kind === "policy" || told.has("");
      if (step.kind === "place" || !isHookName(step.text) || hasNews) kept.push(step);
      told = new Set();
    } else if (step.kind === "rule") {
      if (!decides(step, told)) continue;
      told.add(`${step.table} ${step.chain}`);
      kept.push(step);
    } else if (step.kind !== "miss" && !(step.kind === "policy" && step.verdict === "accept")) {
      if (step.kind !== "route" && step.kind !== "link") told.add("");
      kept.push(step);
    }
  }
  return kept.reverse();
}

/** Whether a rule that matched changed or decided something, or leads to one that did. */
function decides({ verdict, effects, table }: Extract<Step, { kind: "rule" }>, told: ReadonlySet<string>): boolean {
  if (effects.some((effect) => !effect.startsWith("sets the priority"))) return true;
  if (verdict.kind === "jump" || verdict.kind === "goto") return told.has(`${table} ${verdict.chain}`);
  return verdict.kind !== "continue" && verdict.kind !== "return";
}

function placeLine({ place, role }: Extract<Step, { kind: "place" }>): string {
  return role === "pod" ? `pod ${place}` : place;
}

const hookNames = new Set(["prerouting", "input", "forward", "output", "postrouting"]);
const isHookName = (text: string) => hookNames.has(text);

function stepLine(step: Step, verbose: boolean): string | undefined {
  switch (step.kind) {
    case "place":
      return undefined;
    case "hook":
      return step.text;
    case "rule": {
      const place = `${step.family} ${step.table} ${step.chain} #${step.number}`;
      const handle = verbose && step.handle !== undefined ? ` (handle ${step.handle})` : "";
      const verdict = step.verdict.kind === "continue" ? [] : [formatVerdict(step.verdict)];
      const does = [...step.effects, ...verdict].join("; ") || "matches";
      const choice = step.choice === undefined ? "" : ` [${step.choice}]`;
      const comment = step.comment === undefined ? "" : `  "${step.comment}"`;
      return `  ${place}${handle}  → ${does}${choice}${comment}`;
    }
    case "policy":
      return `  ${step.family} ${step.table} ${step.chain}  → policy ${step.verdict}`;
    case "miss":
      return `    ${step.family} ${step.table} ${step.chain} #${step.number}: ${step.why}`;
    case "route":
      return `routing: ${step.text}`;
    case "link":
      return `link: ${step.text}`;
    case "tracked":
      return trackedLine(step, verbose);
    case "assumption":
      return `  depends: taken for granted here: ${step.text}`;
    case "rewrite":
    case "note":
      return `  ${step.text}`;
  }
}

function trackedLine(step: Extract<Step, { kind: "tracked" }>, verbose: boolean): string | undefined {
  const { original, reply, direction, real } = step;
  const translated = original.destination !== reply.source || original.source !== reply.destination;
  // That an answer is one, where nothing is translated, decides nothing.
  if (!real && !translated && !verbose) return undefined;
  const end = (address: string, port: number | undefined) =>
    port === undefined || !hasPorts(original.protocol) ? address : formatHostPort(address, port);
  const asked = `${end(original.source, original.sourcePort)} to ${end(original.destination, original.destinationPort)}`;
  if (direction === "reply") return `  connection tracking: an answer in the connection from ${asked}`;
  const known = real ? "is tracked already" : "was seen before";
  return `  connection tracking: the connection from ${asked} ${known}: it goes to ${end(reply.source, reply.sourcePort)}, as from ${end(reply.destination, reply.destinationPort)}`;
}
