/** The second witness of flows: real packets through the node under test, whatever serves there. */

import { isSystemError } from "../../src/kernel/errno.ts";
import type { EndpointSlice } from "../../src/kube/objects/endpointslice.ts";
import { type Address, familyOf, parseAddress } from "../../src/net/address.ts";
import { type Protocol, protocols } from "../../src/net/protocol.ts";
import type { Host } from "../support/network.ts";
import { attemptSctp, serveSctp } from "../support/sctp.ts";
import { type Attempt, attemptTcp, attemptUdp, type Listener, serveTcp, serveUdp } from "../support/sockets.ts";
import { type Cast, elsewherePort } from "./cast.ts";
import { describeReached, describeRow, type Expected, type FlowFile, type Row, type Target } from "./format.ts";
import { addressOf, isNodeAddress, type Place, placeOf } from "./places.ts";

/** Milliseconds after which nobody answers any more: everything is on one machine. */
const silence = 300;
/** Milliseconds after which an expected answer is missing; a first packet may be lost to a neighbour not yet found. */
const patience = 1500;
/** Rows that are tried at the same time. */
const concurrency = 24;

/** Somebody who answered. */
interface Answered {
  readonly name: string;
  readonly port: number;
  /** The client's address as the endpoint saw it, and as the client knows it. */
  readonly seen: Address;
  readonly own: Address;
}

/**
 * Tries all rows of a file and returns what is not as it says, a line for each row that is wrong.
 *
 * @param mode rows that are not for this mode are left out.
 */
export async function tryFlows(cast: Cast, file: FlowFile, mode: string): Promise<readonly string[]> {
  const rows = file.rows.filter((row) => row.modes?.some((name) => name === mode) ?? true);
  const listeners = listen(cast, file.slices, rows);
  try {
    return await tryRows(cast, mode, rows);
  } finally {
    for (const listener of listeners) listener.close();
  }
}

async function tryRows(cast: Cast, mode: string, rows: readonly Row[]): Promise<readonly string[]> {
  const problems = new Map<Row, string>();
  const queue = [...byAffinity(rows)];
  const worker = async () => {
    for (let group = queue.shift(); group !== undefined; group = queue.shift())
      await tryGroup(cast, mode, group, problems);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return rows.flatMap((row) => {
    const problem = problems.get(row);
    return problem === undefined ? [] : [`${describeRow(row)}: ${problem}${row.note ? ` (${row.note})` : ""}`];
  });
}

/** Rows one by one, but those together that one client must find stuck to the same endpoint. */
function byAffinity(rows: readonly Row[]): Iterable<readonly Row[]> {
  const groups = new Map<string | Row, Row[]>();
  for (const row of rows) {
    const label = row.expected.kind === "reaches" ? row.expected.sticky : undefined;
    const key = label === undefined ? row : `${row.from.name} ${familyOf(row.to.address)} ${label}`;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return groups.values();
}

/** Tries rows one after the other. */
async function tryGroup(cast: Cast, mode: string, rows: readonly Row[], problems: Map<Row, string>): Promise<void> {
  const seen = new Map<string, Row>();
  for (const row of rows) {
    const { expected } = row;
    const problem =
      expected.kind === "reaches"
        ? await tryReaching(cast, mode, row, expected, seen)
        : expected.kind === "ignored"
          ? await tryIgnored(cast, row)
          : await tryRefused(cast, row, expected.kind);
    if (problem !== undefined) problems.set(row, problem);
  }
}

type Reaches = Expected & { readonly kind: "reaches" };

/**
 * The one thing of flow files that a mode is exempt from: a userspace proxy makes connections of its own, so endpoints
 * see an address of the node whatever a row says of the source. SCTP it leaves to the kernel.
 */
function hidesClients(mode: string, { protocol }: Target): boolean {
  return mode === "userspace" && protocol !== "SCTP";
}

/** Connects until every endpoint has been seen, and often enough that others would have been. */
async function tryReaching(
  cast: Cast,
  mode: string,
  row: Row,
  expected: Reaches,
  stuckTo: Map<string, Row>,
): Promise<string | undefined> {
  const wanted = new Set(expected.endpoints.map(describeReached));
  const missing = new Set(wanted);
  const least = 4 * wanted.size + 4;
  // A fair choice leaves one of n out this often with a chance below n * e^-20.
  const most = Math.ceil(wanted.size * (20 + Math.log(wanted.size)));
  for (let tries = 0; tries < least || (expected.sticky === undefined && missing.size > 0); tries++) {
    if (tries >= most && tries >= least) return `never reached ${[...missing].join(", ")} in ${tries} connections`;
    const attempt = await attemptRow(cast, row, patience);
    const say = `expected ${[...wanted].join(", ")}, ${describeAttempt(attempt)}`;
    if (attempt.kind !== "answered") return say;
    const answered = parseAnswer(attempt);
    const reached = [answered.name, `${answered.name}:${answered.port}`].find((name) => wanted.has(name));
    if (reached === undefined) return say;
    missing.delete(reached);
    const masqueraded = expected.masqueraded || hidesClients(mode, row.to);
    const wrongSource = judgeSource(row.from, masqueraded, answered);
    if (wrongSource !== undefined) return wrongSource;
    if (expected.sticky === undefined) continue;
    const name = `${answered.name}:${answered.port}`;
    const [before] = [...stuckTo.keys()].filter((other) => other !== name);
    if (before !== undefined) return `went to ${name} after ${before}, in spite of affinity ${expected.sticky}`;
    stuckTo.set(name, row);
  }
  return undefined;
}

/** What is wrong with the source address that an endpoint saw; undefined if nothing is. */
function judgeSource(from: Place, masqueraded: boolean, { name, seen, own }: Answered): string | undefined {
  const asNode = masqueraded || name === from.name;
  if (from.site === "node" ? (asNode ? isNodeAddress(seen) : seen === own) : asNode === isNodeAddress(seen)) {
    if (asNode || seen === own) return undefined;
  }
  const should = asNode ? "masqueraded" : `the client's own ${own}`;
  return `expected the source to be ${should}, ${name} saw ${seen}`;
}

/** Goes on as if there were no Services: to a socket of the node, or elsewhere, with nothing changed. */
async function tryIgnored(cast: Cast, row: Row): Promise<string | undefined> {
  const { address, port } = row.to;
  const wanted = isNodeAddress(address) ? "node" : (placeOf(address)?.name ?? "elsewhere");
  for (let tries = 0; tries < 4; tries++) {
    const attempt = await attemptRow(cast, row, patience);
    const say = `expected to be left alone and get to ${wanted}, ${describeAttempt(attempt)}`;
    if (attempt.kind !== "answered") return say;
    const { name, port: at, seen, own } = parseAnswer(attempt);
    if (name !== wanted || (wanted !== "elsewhere" && at !== port)) return say;
    if (seen !== own) return `expected to be left alone, ${name} saw ${seen} and not the client's own ${own}`;
  }
  return undefined;
}

async function tryRefused(cast: Cast, row: Row, kind: "reject" | "drop"): Promise<string | undefined> {
  const wanted = kind === "reject" ? "refused" : "silent";
  for (let tries = 0; tries < (kind === "reject" ? 4 : 2); tries++) {
    const attempt = await attemptRow(cast, row, kind === "reject" ? patience : silence);
    if (attempt.kind !== wanted) return `expected ${kind}, ${describeAttempt(attempt)}`;
  }
  return undefined;
}

function attemptRow(cast: Cast, { from, to }: Row, timeout: number): Promise<Attempt> {
  const attempt = { TCP: attemptTcp, UDP: attemptUdp, SCTP: attemptSctp }[to.protocol];
  // The node chooses its own address by its routes, as its programs do.
  const source = from.site === "node" ? {} : { from: addressOf(from, familyOf(to.address)) };
  return attempt(cast.hostOf(from), { ...source, to: to.address, port: to.port, timeout });
}

function describeAttempt(attempt: Attempt): string {
  switch (attempt.kind) {
    case "answered": {
      const { name, port } = parseAnswer(attempt);
      return `was answered by ${name}:${port}`;
    }
    case "refused":
      return "was refused";
    case "silent":
      return "got no answer";
    case "failed":
      return `failed with ${attempt.code}`;
  }
}

/** What a listener says of itself and of the client: its name, its port, the client's address. */
function parseAnswer(attempt: Attempt & { readonly kind: "answered" }): Answered {
  const [name = "", port = "", seen = ""] = attempt.answer.split(" ");
  return { name, port: Number(port), seen: parseAddress(seen), own: attempt.own };
}

/** Listens at every endpoint, wherever rows go that is somebody's address, and elsewhere. */
function listen(cast: Cast, slices: readonly EndpointSlice[], rows: readonly Row[]): readonly Listener[] {
  const wanted = new Map<string, { readonly host: Host; readonly name: string; readonly at: Target }>();
  const add = (host: Host, name: string, address: Address, port: number, protocol: Protocol) => {
    wanted.set(`${protocol} ${address} ${port}`, { host, name, at: { address, port, protocol } });
  };
  for (const { ports, endpoints } of slices) {
    for (const { address } of endpoints) {
      const place = placeOf(address);
      if (place === undefined) continue;
      for (const { port, protocol } of ports) add(cast.hostOf(place), place.name, address, port, protocol);
    }
  }
  for (const { to } of rows) {
    const place = placeOf(to.address);
    if (place !== undefined) add(cast.hostOf(place), place.name, to.address, to.port, to.protocol);
  }
  const gateways = { IPv4: parseAddress("192.168.7.2"), IPv6: parseAddress("fd00:192:168:7::2") };
  for (const address of Object.values(gateways)) {
    for (const protocol of protocols) add(cast.elsewhere, "elsewhere", address, elsewherePort, protocol);
  }
  const listeners: Listener[] = [];
  for (const { host, name, at } of wanted.values()) {
    const serve = { TCP: serveTcp, UDP: serveUdp, SCTP: serveSctp }[at.protocol];
    try {
      listeners.push(serve(host, at.address, at.port, (client) => `${name} ${at.port} ${client.address}`));
    } catch (error) {
      // A mode that listens itself has the port already.
      if (host === cast.node && isSystemError(error, "EADDRINUSE")) continue;
      for (const listener of listeners) listener.close();
      throw error;
    }
  }
  return listeners;
}
