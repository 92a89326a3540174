/** Findings as text for people. */
import { explanationOf, type Finding } from "./finding.ts";

/** How text is shown: with or without colours. */
export interface Style {
  readonly colour: boolean;
  /** Columns. */
  readonly width: number;
}

const codes = { error: "31;1", warning: "33;1", good: "32" } as const;

/** One finding: what and how bad, why, and what to do. */
export function formatFinding(finding: Finding, style: Style): string {
  const { severity, subject, message, remedy } = finding;
  const word = paint(severity === "error" ? "ERROR" : "WARNING", codes[severity], style);
  const indent = "    ";
  return [
    `${word} ${subject}`,
    ...folded(message, style.width - indent.length).map((line) => indent + line),
    ...folded(`Do: ${remedy}`, style.width - indent.length).map((line) => indent + line),
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
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  if (findings.length === 0) return paint(`${node}: nothing found`, codes.good, style);
  const counts = [count(errors, "error"), count(warnings, "warning")].filter((text) => text !== "");
  return `${node}: ${counts.join(", ")}`;
}

function count(number: number, what: string): string {
  return number === 0 ? "" : `${number} ${what}${number === 1 ? "" : "s"}`;
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
