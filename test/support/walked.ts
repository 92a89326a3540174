/** Walks through the namespaces of a test, each held against a real connection. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { listLinks } from "../../src/kernel/route/index.ts";
import { parseAddress } from "../../src/net/address.ts";
import { formatWalk, summaryOf } from "../../src/trace/render/index.ts";
import { captureSurroundings, formatSnapshot, parseSnapshot } from "../../src/trace/snapshot/index.ts";
import { stepsOf, type Walk, walk } from "../../src/trace/walk/index.ts";
import type { Host } from "./network.ts";
import { attemptTcp } from "./sockets.ts";

/** What a walk says of a connection. */
export interface Told {
  readonly summary: string;
  readonly walked: Walk;
  /** What it says of links. */
  readonly links: readonly string[];
}

/**
 * What a walk says of a TCP connection, through a snapshot of all that the sender's links lead to, which is written and read.
 *
 * @throws if a real connection ends otherwise.
 */
export async function told(from: Host, to: string, port: number): Promise<Told> {
  const snapshot = parseSnapshot(formatSnapshot(await captureSurroundings(from.namespace)), "snapshot");
  const destination = parseAddress(to);
  const packet = { family: "IPv4", destination, protocol: 6, destinationPort: port } as const;
  const walked = walk(snapshot, { packet }, { answers: true });
  const summary = summaryOf(walked);
  const attempt = await attemptTcp(from, { to: destination, port, timeout: summary === "delivered" ? 5000 : 250 });
  const expected =
    summary === "delivered" ? ["answered"] : summary === "no socket" ? ["refused"] : ["silent", "failed"];
  assert.ok(
    expected.includes(attempt.kind),
    `${JSON.stringify(attempt)}, and ${formatWalk(walked, { verbose: true })}`,
  );
  const steps = walked.ends.flatMap(({ state }) => stepsOf(state));
  return { summary, walked, links: steps.flatMap((step) => (step.kind === "link" ? [step.text] : [])) };
}

/** Waits for the links to say that they can carry packets, which they do some time after they were made. */
export async function ready(...hosts: readonly Host[]): Promise<void> {
  const isReady = () => hosts.every(({ route }) => listLinks(route).every(({ up, running }) => !up || running));
  for (let tries = 100; !isReady() && tries > 0; tries--) await sleep(50);
}
