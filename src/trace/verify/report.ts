/** What the comparison of a walk with the kernel tells people: pure. */
import type { Reaction } from "../../kernel/sockets/firstpacket.ts";
import { linesOfAccount, type Parting } from "./compare.ts";
import type { Verification } from "./verify.ts";

/** Writes it. A difference is written so that it can be pasted into a bug report. */
export function formatVerification(
  verification: Verification,
  interfaceName: (place: string, index: number) => string,
): string {
  const { comparison, accounts, reaction, unwatched, legacy, walk } = verification;
  const lines: string[] = [];
  if (comparison.kind === "agrees") {
    for (const [place, account] of accounts) {
      if (account.length === 0) continue;
      lines.push(
        `${place}:`,
        ...linesOfAccount(account, (index) => interfaceName(place, index)).map((line) => `  ${line}`),
      );
    }
    const ways = walk.ends.length > 1 ? `: it went one of the ${walk.ends.length} ways that the walk has` : "";
    lines.push("", `Agreed: the kernel did what the walk says${ways}`);
    if (comparison.sentOn !== undefined) {
      const what = "sent what the datagram carried on, or back, in another one, which is shown above as well";
      lines.push(`A program of ${comparison.sentOn} ${what}.`);
    }
    if (walk.ends.some(({ state }) => state.assumptions.length > 0))
      lines.push("What the walk did not know, the packet has decided.");
  } else if (comparison.kind === "not compared") {
    lines.push(`Not compared: the walk does not follow every way: ${comparison.why}`);
  } else {
    lines.push("The kernel and the walk differ, which is an error of this program: please report it.", "");
    lines.push(
      ...partingLines(comparison.parting),
      "",
      `The walk goes on to: ${JSON.stringify(comparison.end?.outcome)}`,
    );
  }
  lines.push(`The sender saw: ${reactionText(reaction)}`);
  for (const { place, why } of unwatched) lines.push(`Not watched: ${place}: ${why}`);
  for (const place of legacy) {
    lines.push(`Not traced: rules of iptables' old variant in ${place}; what they do to the header is compared`);
  }
  return `${lines.join("\n")}\n`;
}

/** Both, line by line, from a little before they part: `-` what the kernel did, `+` what the walk says. */
function partingLines({ place, kernel, walk, same }: Parting): readonly string[] {
  return [
    `In ${place}, the first difference after ${same} equal ${same === 1 ? "line" : "lines"} (- the kernel, + the walk):`,
    ...kernel.slice(0, same).map((line) => `    ${line}`),
    ...kernel.slice(same).map((line) => `  - ${line}`),
    ...walk.slice(same).map((line) => `  + ${line}`),
  ];
}

function reactionText(reaction: Reaction): string {
  switch (reaction.kind) {
    case "answered":
      return "an answer";
    case "nothing":
      return "nothing, for as long as it was watched";
    case "error":
      return reaction.code === "ECONNREFUSED" ? "that it was refused" : `the error ${reaction.code}`;
  }
}
