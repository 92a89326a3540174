/** Takes a snapshot of a namespace together with those that its wires lead to: a node with its pods. Reads only. */
import { readFileSync } from "node:fs";
import { findNamespaces, namespaceId } from "../../kernel/namespace.ts";
import { listLinks, namespaceNumber, openRoute } from "../../kernel/route/index.ts";
import { errorText } from "../../telemetry/log.ts";
import { capture } from "./capture.ts";
import type { NumberedNamespace, Snapshot } from "./types.ts";

/** Namespaces that are looked into at most. */
const most = 2000;

/** A namespace of this machine: its name as `inNamespace` takes it, undefined for the calling thread's own. */
interface Candidate {
  readonly name: string | undefined;
  readonly id: string;
}

/**
 * Reads the state of a network namespace, and of all others that are reached over links from it: pods, and in a lab
 * everything. Namespaces are found by their names (`ip netns`, container runtimes) and by the processes in them.
 *
 * @param namespace a name, or undefined for the calling thread's own.
 * @throws what {@link capture} throws for the first namespace. That another one could not be read is said in `missing`.
 */
export async function captureSurroundings(namespace?: string): Promise<Snapshot> {
  const start: Candidate = { name: namespace, id: namespaceId(namespace) };
  const others = findNamespaces().filter(({ id }) => id !== start.id);
  const machine = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);
  const identityOf = ({ id }: Candidate) => `${machine}/${id.split(":").at(-1)}`;
  const missing: string[] = [];
  const taken: Snapshot[] = [];
  const waiting: Candidate[] = [start];
  const seen = new Set([start.id]);
  const next = () => {
    if (waiting.length === 0) waiting.push(...leadingTo(seen, [start, ...others]).slice(0, most - seen.size));
    return waiting.shift();
  };
  for (let candidate = next(); candidate !== undefined; candidate = next()) {
    seen.add(candidate.id);
    try {
      const snapshot = await capture(candidate.name);
      const namespaces: NumberedNamespace[] = [];
      // Those that are known already come first: for a pod that is its node, and nothing is left to look for.
      const known = [start, ...others].toSorted((a, b) => Number(seen.has(b.id)) - Number(seen.has(a.id)));
      for (const { number, to } of leadingFrom(snapshot, candidate, known)) {
        namespaces.push({ number, identity: identityOf(to) });
        if (seen.has(to.id)) continue;
        if (seen.size >= most) {
          missing.push(`namespaces: there are more than ${most}`);
          break;
        }
        seen.add(to.id);
        waiting.push(to);
      }
      taken.push({ ...snapshot, identity: identityOf(candidate), ...(namespaces.length > 0 && { namespaces }) });
    } catch (error) {
      if (candidate === start) throw error;
      missing.push(`namespace ${candidate.name}: ${errorText(error)}`);
    }
  }
  const [first, ...places] = taken;
  if (first === undefined) throw new Error("the namespace went while it was looked at");
  return { ...first, missing: [...first.missing, ...missing].slice(0, 100), ...(places.length > 0 && { places }) };
}

/** The namespaces that have not been seen, and are on links of those that have, which do not say so themselves. */
function leadingTo(seen: ReadonlySet<string>, candidates: readonly Candidate[]): readonly Candidate[] {
  const known = candidates.filter(({ id }) => seen.has(id));
  return candidates.filter((candidate) => {
    if (seen.has(candidate.id)) return false;
    try {
      using socket = openRoute(candidate.name);
      const links = listLinks(socket).filter(({ kind }) => kind === "macvlan");
      return leadingFrom({ links }, candidate, known).length > 0;
    } catch {
      return false;
    }
  });
}

/** The numbers on a namespace's links, with those of the candidates that they stand for. */
function leadingFrom(
  { links }: Pick<Snapshot, "links">,
  { name }: Candidate,
  candidates: readonly Candidate[],
): readonly { readonly number: number; readonly to: Candidate }[] {
  const wanted = new Set(links.flatMap(({ linkNamespace }) => (linkNamespace === undefined ? [] : [linkNamespace])));
  if (wanted.size === 0) return [];
  using socket = openRoute(name);
  const found: { number: number; to: Candidate }[] = [];
  for (const to of candidates) {
    if (wanted.size === 0) break;
    try {
      const number = namespaceNumber(socket, to.name ?? "/proc/thread-self/ns/net");
      if (number === undefined || !wanted.delete(number)) continue;
      found.push({ number, to });
    } catch {
      // It went meanwhile.
    }
  }
  return found;
}
