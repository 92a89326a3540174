/** Findings as text for people. */
import { explanationOf, type Finding, isFault } from "./finding.ts";

/** How text is shown: with or without colours. */
export interface Style {
  readonly colour: boolean;
  /** Columns. */
  readonly width: number;
}

const codes = { error: "31;1", warning: "33;1", note: "36;1", good: "32", command: "1" } as const;

/** One finding: what and how bad, why, and what to do. Commands stand on lines of their own, whole, to be copied. */
export function formatFinding(finding: Finding, style: Style): string {
  const { severity, subject, message, remedy, run = [] } = finding;
  const word = paint(severity.toUpperCase(), codes[severity], style);
  const indent = "    ";
  return [
    `${word} ${printable(subject)}`,
    ...folded(message, style.width - indent.length).map((line) => indent + line),
    ...folded(`Do: ${remedy}`, style.width - indent.length).map((line) => indent + line),
    ...run.map((line) => `${indent}    ${paint(printable(line), codes.command, style)}`),
    `${indent}See: ${explanationOf(finding)}`,
    "",
  ].join("\n");
}

/** All findings of a node, and a line that says how many. */
export function formatReport(node: string, findings: readonly Finding[], style: Style): string {
  const parts = findings.map((finding) => `${formatFinding(finding, style)}\n`);
  return `${parts.join("")}${formatSummary(node, findings, style)}\n`;
}

/** How many faults a node has. */
export function formatSummary(node: string, findings: readonly Finding[], style: Style): string {
  const words = ["error", "warning", "note"] as const;
  const counts = words.flatMap((word) => count(findings.filter(({ severity }) => severity === word).length, word));
  if (findings.some(isFault)) return `${node}: ${counts.join(", ")}`;
  return paint([`${node}: nothing found`, ...counts].join(", "), codes.good, style);
}

function count(number: number, what: string): readonly string[] {
  return number === 0 ? [] : [`${number} ${what}${number === 1 ? "" : "s"}`];
}

function paint(text: string, code: string, { colour }: Style): string {
  return colour ? `\x1b[${code}m${text}\x1b[0m` : text;
}

/** Lines of words, none longer than it must be. */
function folded(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of printable(text).split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** Names may come from a file that somebody else wrote: they are not to move the cursor. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, "?");
}
