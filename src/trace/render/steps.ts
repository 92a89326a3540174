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
  return steps.flatMap((step, i) => {
    if (step.kind === "place") return style.places ? [placeLine(step)] : [];
    const line = stepLine(step, style.verbose);
    if (line === undefined) return [];
    // The name of a hook in which nothing happened is noise.
    if (step.kind === "hook" && !style.verbose && isHookName(step.text) && !hasNews(steps.slice(i + 1))) return [];
    return [`${indent}${line}`];
  });
}

function placeLine({ place, role }: Extract<Step, { kind: "place" }>): string {
  return role === "pod" ? `pod ${place}` : place;
}

/** Whether a line follows before the next hook. */
function hasNews(steps: readonly Step[]): boolean {
  const end = steps.findIndex(({ kind }) => kind === "hook" || kind === "place");
  return (end < 0 ? steps : steps.slice(0, end)).some(
    (step) => stepLine(step, false) !== undefined && step.kind !== "route" && step.kind !== "link",
  );
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
      const quiet = step.verdict.kind === "continue" && step.effects.length === 0 && step.comment === undefined;
      if (quiet && !verbose) return undefined;
      const place = `${step.family} ${step.table} ${step.chain} #${step.number}`;
      const handle = verbose && step.handle !== undefined ? ` (handle ${step.handle})` : "";
      const verdict = step.verdict.kind === "continue" ? [] : [formatVerdict(step.verdict)];
      const does = [...step.effects, ...verdict].join("; ") || "matches";
      const choice = step.choice === undefined ? "" : ` [${step.choice}]`;
      const comment = step.comment === undefined ? "" : `  "${step.comment}"`;
      return `  ${place}${handle}  → ${does}${choice}${comment}`;
    }
    case "policy":
      if (step.verdict === "accept" && !verbose) return undefined;
      return `  ${step.family} ${step.table} ${step.chain}  → policy ${step.verdict}`;
    case "miss":
      return verbose ? `    ${step.family} ${step.table} ${step.chain} #${step.number}: ${step.why}` : undefined;
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
