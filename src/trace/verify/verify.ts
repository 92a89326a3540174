/** Sends the packet of a question, has the kernel trace it wherever it comes to, and holds the walk against that. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { findNamespaces, inNamespace } from "../../kernel/namespace.ts";
import type { TraceStep } from "../../kernel/nftables/index.ts";
import { FirstPacket, type Reaction } from "../../kernel/sockets/firstpacket.ts";
import { errorText } from "../../telemetry/log.ts";
import { type Cluster, type Ended, type Question, stepsOf, type Walk, walkCluster } from "../walk/index.ts";
import type { World } from "../walk/world.ts";
import { type Account, accountOf, sortSteps } from "./account.ts";
import { type Comparison, compareWith } from "./compare.ts";
import { Tracing } from "./tracing.ts";

/** What became of it. */
export interface Verification {
  readonly walk: Walk;
  readonly comparison: Comparison;
  readonly accounts: ReadonlyMap<string, Account>;
  /** What the sender saw in the time that was waited. */
  readonly reaction: Reaction;
  /** Places at which nobody looked, with the reason. */
  readonly unwatched: readonly { readonly place: string; readonly why: string }[];
  /** Places with rules of iptables' old variant, which the kernel does not trace: what they do shows in headers alone. */
  readonly legacy: readonly string[];
}

/** Milliseconds that are waited for the packet: less than after which TCP sends its first packet again. */
const patience = 400;
const pause = 20;

/**
 * Sends one packet, and one alone. In every network namespace that the walk may come to, a table of our own traces
 * exactly that packet; it is gone when this returns, and whatever else ends the process. Nothing else is changed.
 *
 * @param prepare makes the places; each walk uses up how much work is done with them.
 * @throws {RangeError} if the packet cannot be sent from here; what sending and tracing throw: EPERM without CAP_NET_ADMIN.
 */
export async function verify(prepare: () => Cluster, question: Question, signal: AbortSignal): Promise<Verification> {
  const cluster = prepare();
  const namespaces = namespacesOf(cluster);
  const start = cluster.world(question.place ?? "") ?? cluster.worlds[0];
  if (start === undefined) throw new RangeError("there is no place to send from");
  if (question.input !== undefined) {
    throw new RangeError(
      `the packet comes in by ${question.input}, from where nobody here can send: name its sender as FROM, such as a pod`,
    );
  }
  const from = namespaces.get(start);
  if (from === undefined) throw new RangeError(`${start.place} is in no network namespace of this machine`);
  const { packet } = question;
  const isTcp = packet.protocol === tcp;
  // Nobody else's packet has these bytes. A sequence number of 0 would be chosen anew.
  const token = isTcp ? randomBytes(4).fill(1, 0, 1) : Buffer.concat([Buffer.from("portolan"), randomBytes(4)]);
  const traced = { family: packet.family, protocol: packet.protocol, token };
  const unwatched: { readonly place: string; readonly why: string }[] = [];
  const tracings = new Map<string, Tracing>();
  using open = new DisposableStack();
  for (const world of cluster.worlds) {
    const namespace = namespaces.get(world);
    try {
      if (namespace === undefined) throw new Error("it is in no network namespace of this machine");
      tracings.set(world.place, open.use(new Tracing(namespace.name, traced)));
    } catch (error) {
      unwatched.push({ place: world.place, why: errorText(error) });
    }
  }
  const make = () =>
    new FirstPacket({
      ...packet,
      ...(isTcp ? { sequence: token.readUInt32BE() } : { payload: token }),
    });
  const sender = open.use(runIn(from.name, make));
  runIn(from.name, () => {
    sender.send();
    return sender;
  });
  const steps = new Map<string, TraceStep[]>();
  const deadline = performance.now() + patience;
  for (let news = true; performance.now() < deadline && (news || sender.reaction().kind === "nothing"); ) {
    await sleep(pause, undefined, { signal });
    news = false;
    for (const [place, tracing] of tracings) {
      const more = tracing.take();
      if (more.length > 0) news = true;
      steps.set(place, [...(steps.get(place) ?? []), ...more]);
    }
  }
  const accounts = new Map([...steps].map(([place, all]) => [place, accountOf([...sortSteps(all).values()].flat())]));
  const asked: Question = {
    ...question,
    packet: { ...packet, ...(isEcho(packet.protocol) ? {} : { sourcePort: sender.sourcePort }) },
  };
  const walk = walkCluster(cluster, asked);
  const nameOf = (place: string, index: number) => cluster.world(place)?.linkName(index) ?? String(index);
  const comparison = compareWith((options) => walkCluster(prepare(), asked, options), walk.place, accounts, nameOf);
  return {
    walk,
    comparison,
    accounts: comparison.kind === "agrees" ? inOrder(accounts, comparison.way) : accounts,
    reaction: sender.reaction(),
    unwatched,
    legacy: cluster.worlds
      .filter(({ snapshot }) => snapshot.iptables.some(({ chains }) => chains.some(({ rules }) => rules.length > 0)))
      .map(({ place }) => place),
  };
}

const tcp = 6;

/** In the order in which the packet came to the places. */
function inOrder(accounts: ReadonlyMap<string, Account>, { state }: Ended): ReadonlyMap<string, Account> {
  const visited = stepsOf(state).flatMap((step) => (step.kind === "place" ? [step.place] : []));
  const rank = (place: string) => visited.indexOf(place);
  return new Map([...accounts].toSorted(([a], [b]) => rank(a) - rank(b)));
}

function isEcho(protocol: number): boolean {
  return protocol === 1 || protocol === 58;
}

function runIn<T extends object>(namespace: string | undefined, work: () => T): T {
  if (namespace === undefined) return work();
  let made: T | undefined;
  inNamespace(namespace, (): undefined => {
    made = work();
  });
  if (made === undefined) throw new Error(`nothing was made in ${namespace}`);
  return made;
}

/** The namespaces of this machine that places were taken from; of one without a name, the calling thread's own. */
function namespacesOf(cluster: Cluster): ReadonlyMap<World, { readonly name: string | undefined }> {
  const existing = findNamespaces();
  const byNumber = new Map(existing.map(({ id, name }) => [id.split(":").at(-1), name]));
  const names = new Set(existing.map(({ name }) => name));
  const found = new Map<World, { readonly name: string | undefined }>();
  for (const world of cluster.worlds) {
    const { identity, name } = world.snapshot;
    const known = identity === undefined ? undefined : byNumber.get(identity.split("/").at(-1));
    if (known !== undefined) found.set(world, { name: known });
    else if (names.has(name)) found.set(world, { name });
    else if (identity === undefined && cluster.worlds.length === 1) found.set(world, { name: undefined });
  }
  return found;
}
