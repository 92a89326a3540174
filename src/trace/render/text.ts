/** A walk as text for a terminal, to be read from top to bottom. */
import { formatVerdict } from "../../kernel/nftables/index.ts";
import type { Ended, Outcome, Step, Walk } from "../walk/index.ts";
import { formatTarget, type Group, ownSteps, type Story, type Summary, storyOf, summaryOf } from "./story.ts";

/** Settings of the text. */
export interface TextOptions {
  /** Every step, also those that decide nothing, and every branch. */
  readonly verbose: boolean;
}

/** The most endpoints that are listed of a group, and branches that are told in full. */
const mostListed = 12;
const mostTold = 3;

/** Writes a walk. */
export function formatWalk(walk: Walk, { verbose }: TextOptions): string {
  const story = storyOf(walk);
  const lines = [...stepLines(story.common, verbose), ""];
  const apart = story.groups.some(({ ends }) => ends.some((each) => ownSteps(each, story).length > 0));
  if (apart) {
    const told = verbose ? story.groups : story.groups.slice(0, mostTold);
    for (const [i, group] of told.entries()) lines.push(...groupLines(group, i, story, verbose), "");
    const left = story.groups.length - told.length;
    if (left > 0) lines.push(`… and ${left} more ${left === 1 ? "way" : "ways"}: -v shows all`, "");
  }
  lines.push(...resultLines(walk, story));
  return `${lines.join("\n")}\n`;
}

function groupLines(group: Group, index: number, story: Story, verbose: boolean): readonly string[] {
  const { ends, probability } = group;
  const [likeliest] = ends;
  if (likeliest === undefined) return [];
  const { assumptions } = likeliest.state;
  const chance = assumptions.length > 0 ? "" : ` (${percent(probability)})`;
  const title = assumptions.length > 0 ? `If ${assumptions.join(", and ")}:` : `Way ${index + 1}${chance}:`;
  const shown = verbose ? ends : [likeliest];
  const blocks = shown.flatMap((each) => {
    const head = ends.length > 1 && "to" in each.outcome ? [`  for example to ${destinationOf(each)}`] : [];
    return [...head, ...stepLines(ownSteps(each, story), verbose).map((line) => `  ${line}`)];
  });
  const more = ends.length > 1 ? [`  → ${oneOf(ends)}`] : [`  → ${sentence(likeliest.outcome)}`];
  return [story.groups.length === 1 ? `Chosen at random, ${ends.length} ways:` : title, ...blocks, ...more];
}

function destinationOf({ outcome }: Ended): string {
  return "to" in outcome ? formatTarget(outcome.to) : outcome.kind;
}

/** Endpoints in a line, with their share where shares differ. */
function oneOf(ends: readonly Ended[]): string {
  const sentences = new Set(ends.map(({ outcome }) => sentence(outcome)));
  const [only] = sentences;
  if (sentences.size === 1 && only !== undefined) return only;
  const shares = ends.map(({ state }) => state.probability);
  const even = Math.max(...shares) - Math.min(...shares) < 0.02 / ends.length;
  const all = ends.map((each) => `${destinationOf(each)}${even ? "" : ` (${percent(each.state.probability)})`}`);
  const listed = [...new Set(all)];
  const rest = listed.length - mostListed;
  const kind = ends.every(({ outcome }) => outcome.kind === "delivered") ? "delivered to" : "goes to";
  return `${kind} one of ${listed.length}: ${listed.slice(0, mostListed).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

function stepLines(steps: readonly Step[], verbose: boolean): readonly string[] {
  return steps.flatMap((step, i) => {
    const line = stepLine(step, verbose);
    if (line === undefined) return [];
    // The name of a hook in which nothing happened is noise.
    if (step.kind === "hook" && !verbose && isHookName(step.text) && !hasNews(steps.slice(i + 1))) return [];
    return [line];
  });
}

/** Whether a line follows before the next hook. */
function hasNews(steps: readonly Step[]): boolean {
  const end = steps.findIndex(({ kind }) => kind === "hook");
  return (end < 0 ? steps : steps.slice(0, end)).some(
    (step) => stepLine(step, false) !== undefined && step.kind !== "route",
  );
}

const hookNames = new Set(["prerouting", "input", "forward", "output", "postrouting"]);
const isHookName = (text: string) => hookNames.has(text);

function stepLine(step: Step, verbose: boolean): string | undefined {
  switch (step.kind) {
    case "hook":
      return isHookName(step.text) ? `${step.text}` : step.text;
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
    case "assumption":
      return `  depends: taken for granted here: ${step.text}`;
    case "place":
      return `[${step.place}]`;
    case "link":
    case "rewrite":
    case "note":
      return `  ${step.text}`;
  }
}

function resultLines(walk: Walk, { groups }: Story): readonly string[] {
  const summary = summaryOf(walk);
  const [only] = groups;
  if (groups.length === 1 && only !== undefined) {
    const [first] = only.ends;
    if (first === undefined) return [];
    const what = only.ends.length > 1 ? oneOf(only.ends) : sentence(first.outcome);
    return [`Result: ${what}`, ...sourceLines(walk, only.ends), ...remedyLines(only.ends)];
  }
  const titles: Partial<Record<Summary, string>> = {
    depends: "Result: depends on what the snapshot cannot tell",
    mixed: "Result: connections differ",
  };
  const rows = groups.slice(0, mostListed).map(({ ends, probability }) => {
    const [first] = ends;
    if (first === undefined) return "";
    const when =
      first.state.assumptions.length > 0 ? `if ${first.state.assumptions.join(", and ")}` : percent(probability);
    return `  ${when}: ${ends.length > 1 ? oneOf(ends) : sentence(first.outcome)}`;
  });
  const more = groups.length > mostListed ? [`  … and ${groups.length - mostListed} more`] : [];
  const all = groups.flatMap(({ ends }) => ends);
  return [titles[summary] ?? "Result:", ...rows, ...more, ...sourceLines(walk, all), ...remedyLines(all)];
}

/** Whether the other side sees the sender. */
function sourceLines({ packet }: Walk, ends: readonly Ended[]): readonly string[] {
  const sources = new Set(ends.flatMap(({ outcome }) => ("to" in outcome ? [outcome.to.source] : [])));
  const [only] = sources;
  if (sources.size === 0) return [];
  if (sources.size > 1) return [`Source: seen as ${[...sources].slice(0, mostListed).join(" or ")}`];
  return only === packet.source
    ? [`Source: ${only}, unchanged`]
    : [`Source: ${packet.source} is seen as ${only} (masqueraded)`];
}

function remedyLines(ends: readonly Ended[]): readonly string[] {
  const remedies: Partial<Record<Outcome["kind"], string>> = {
    "no socket": "no program listens there: look at the server, and whether it binds to this address",
    "no route": "add a route, or ask why the network's agent (CNI) has not",
    "forwarding off": "sysctl -w net.ipv4.ip_forward=1 (IPv6: net.ipv6.conf.all.forwarding=1)",
    martian: "loosen rp_filter or route_localnet, or repair the routes",
  };
  const kinds = new Set(ends.map(({ outcome }) => outcome.kind));
  return [...kinds].flatMap((kind) => (remedies[kind] === undefined ? [] : [`To do: ${remedies[kind]}`]));
}

/** An outcome in words. */
export function sentence(outcome: Outcome): string {
  switch (outcome.kind) {
    case "delivered":
      return `delivered on this node, to ${formatTarget(outcome.to)}`;
    case "forwarded":
      return `leaves by ${outcome.interface} to ${formatTarget(outcome.to)}${outcome.gateway === undefined ? "" : `, through ${outcome.gateway}`}`;
    case "rejected":
      return `rejected by ${outcome.by}, with ${outcome.how}`;
    case "dropped":
      return `dropped by ${outcome.by}, without a word`;
    case "no socket":
      return `refused: nobody listens on ${formatTarget(outcome.to)}`;
    case "no route":
      return `no route: ${outcome.why}`;
    case "martian":
      return `dropped as a martian: ${outcome.why}`;
    case "forwarding off":
      return `dropped: this node does not forward: ${outcome.why}`;
    case "no neighbour":
    case "not bridged":
    case "too long":
    case "loop":
    case "not awaited":
      return `lost: ${outcome.why}`;
    case "unknown":
      return `unknown: ${outcome.why}`;
  }
}

function percent(probability: number): string {
  const value = 100 * probability;
  return value > 0 && value < 0.1 ? "under 0.1 %" : `${value.toFixed(value < 10 && value % 1 > 0.05 ? 1 : 0)} %`;
}
