/**
 * The chains and rules of the table. Their number does not depend on services or endpoints: those are elements of the
 * sets and maps that the rules look into (`sets.ts`), found by action words (`word.ts`). All of it hangs on hooks of
 * type nat, which see the first packet of a connection only: the others cost nothing.
 */
import {
  type BaseChain,
  firstRegister,
  priorities,
  register,
  type Verdict,
  rules as words,
} from "../../../kernel/nftables/index.ts";
import { type Address, addressLength, type Family } from "../../../net/address.ts";
import { type Prefix, parsePrefix } from "../../../net/prefix.ts";
import { protocolNumbers, protocols } from "../../../net/protocol.ts";
import type { FamilySettings } from "../../../service/settings.ts";
import { affinityClients, affinityPools } from "./sets.ts";
import {
  clearPriority,
  compareAddress,
  dnatFromMap,
  inInterfaceStarting,
  inPrefix,
  inProtocols,
  inSet,
  isLocal,
  keepPool,
  key,
  maskedPriority,
  priorityFromMap,
  priorityFromSlot,
  type Step,
  slot,
  verdictMap,
  wordBits,
} from "./steps.ts";
import {
  flags,
  largestAffinitySize,
  largestSize,
  masqueradeMask,
  memberMask,
  poolMask,
  verdictMask,
  verdicts,
} from "./word.ts";

const { jump, goTo, drop, returns } = words;

/** A rule of the table. */
export interface RuleText {
  readonly steps: readonly Step[];
  readonly comment?: string;
}

/** A chain of the table with its rules. */
export interface ChainText {
  readonly name: string;
  readonly base?: BaseChain;
  readonly rules: readonly RuleText[];
}

/** What the rules depend on beside the family. */
export interface RulesetSettings extends FamilySettings {
  readonly masqueradeBit: number;
  /** An address that no connection reaches but through a front end. */
  readonly guarded?: Address;
}

/**
 * The powers of two from which a slot of a pool of size class n is drawn, one after the other until a slot is hit. More
 * than half of the first 2^n slots hold an endpoint, so that after 8 draws no more than one packet in 256 is left, which
 * the first half takes: it is full. The first slot is full as long as there is any endpoint, even if this very moment
 * the pool has become smaller.
 */
function drawsOf(size: number): readonly number[] {
  return [...new Array<number>(size === 0 ? 0 : 8).fill(2 ** size), ...(size > 1 ? [2 ** (size - 1)] : []), 1];
}

const frontEnd = ["daddr", "l4proto", "dport"] as const;
const nodePort = ["l4proto", "dport"] as const;

/** The name of the chain for one affinity timeout. */
export function affinityChain(seconds: number): string {
  return `affinity-${seconds}`;
}

/**
 * All chains of a family, those that are jumped to before those that jump to them.
 *
 * @param affinities the affinity timeouts in use, in seconds.
 */
export function ruleset(
  family: Family,
  settings: RulesetSettings,
  affinities: ReadonlySet<number>,
): readonly ChainText[] {
  const bit = (1 << settings.masqueradeBit) >>> 0;
  const mark = words.changeMark(bit, bit);
  return [
    refuse(family),
    ...picks(family),
    ...choices(),
    choose(),
    ...[...affinities].map((seconds) => affinityFor(seconds, family)),
    affinity(affinities),
    { name: "masquerade-pod", rules: [rule(wordBits(flags.pod, "neq", 0), mark)] },
    { name: "masquerade-node", rules: [rule(wordBits(flags.node, "neq", 0), mark)] },
    masqueradeByClient(family, settings, mark),
    dispatch(mark),
    ...byClient("front-end", family, settings),
    ...byClient("node-port", family, settings),
    services(family, settings),
    { name: "nat-prerouting", base: nat("prerouting", priorities.dstnat), rules: [rule(jump("services"))] },
    { name: "nat-output", base: nat("output", priorities.dstnat), rules: [rule(jump("services"))] },
    postrouting(family, bit),
  ];
}

function nat(hook: BaseChain["hook"], priority: number): BaseChain {
  return { type: "nat", hook, priority };
}

function rule(...parts: readonly (Step | readonly Step[] | string)[]): RuleText {
  const comment = parts.find((part) => typeof part === "string");
  const steps = parts.filter((part) => typeof part !== "string").flat();
  return { steps, ...(comment !== undefined && { comment }) };
}

function services(family: Family, settings: RulesetSettings): ChainText {
  return {
    name: "services",
    rules: [
      ...(settings.guarded === undefined
        ? []
        : [rule(compareAddress("daddr", "eq", settings.guarded, family), drop, "through services only")]),
      rule(priorityFromMap(frontEnd, "front-ends", family), goTo("front-end")),
      rule(onNodePortAddress(family, settings), priorityFromMap(nodePort, "node-ports", family), goTo("node-port")),
      rule(
        key(["daddr"], family),
        inSet("cluster-ips"),
        isLocal("daddr", "neq"),
        goTo("refuse"),
        "a port that no service has",
      ),
      rule(key(["daddr"], family), inSet("service-cidrs"), isLocal("daddr", "neq"), drop, "no service"),
    ],
  };
}

function onNodePortAddress(family: Family, { nodePortAddresses }: RulesetSettings): readonly Step[] {
  if (nodePortAddresses.kind === "addresses") return [...key(["daddr"], family), inSet("node-port-addresses")];
  if (nodePortAddresses.loopback) return isLocal("daddr");
  const notLoopback =
    family === "IPv4"
      ? inPrefix("daddr", parsePrefix("127.0.0.0/8"), family, "neq")
      : compareAddress("daddr", "neq", "::1" as Address, family);
  return [...isLocal("daddr"), ...notLoopback];
}

/** The chain that a front end's word leads to, and those that look whether it is another for pods or for the node. */
function byClient(what: "front-end" | "node-port", family: Family, settings: RulesetSettings): readonly ChainText[] {
  const fields = what === "front-end" ? frontEnd : nodePort;
  const fromPods: ChainText = {
    name: `${what}-from-pods`,
    rules: [rule(priorityFromMap(fields, `${what}s-from-pods`, family))],
  };
  const fromNode: ChainText = {
    name: `${what}-from-node`,
    rules: [rule(priorityFromMap(fields, `${what}s-from-node`, family))],
  };
  const client: ChainText = {
    name: `${what}-by-client`,
    rules: [...fromPod(family, settings, goTo(fromPods.name)), rule(isLocal("saddr"), goTo(fromNode.name))],
  };
  const sources = [...frontEnd, "saddr"] as const;
  const guard = rule(
    wordBits(flags.checkSources, "neq", 0),
    key(sources, family),
    inSet("allowed-sources", true),
    drop,
    "not in the source ranges",
  );
  const entry: ChainText = {
    name: what,
    rules: [
      ...(what === "front-end" ? [guard] : []),
      rule(wordBits(flags.perClient, "neq", 0), jump(client.name)),
      rule(goTo("dispatch")),
    ],
  };
  return [fromPods, fromNode, client, entry];
}

/** Rules that do something if the packet comes from a pod, as the local detector knows it. */
function fromPod(family: Family, { detector }: RulesetSettings, action: Step): readonly RuleText[] {
  switch (detector.kind) {
    case "none":
      return [];
    case "prefixes":
      return detector.prefixes.map((prefix: Prefix) => rule(inPrefix("saddr", prefix, family), action));
    case "bridge":
      return [rule(words.isInterface("input", detector.interface), action)];
    case "interfacePrefix":
      return [rule(inInterfaceStarting(detector.prefix), action)];
  }
}

function masqueradeByClient(family: Family, settings: RulesetSettings, mark: readonly Step[]): ChainText {
  const notPod = flags.node | flags.other;
  return {
    name: "masquerade-by-client",
    rules: [
      ...fromPod(family, settings, goTo("masquerade-pod")),
      rule(wordBits(notPod, "eq", notPod), mark, returns),
      rule(wordBits(notPod, "eq", 0), returns),
      rule(isLocal("saddr"), goTo("masquerade-node")),
      rule(wordBits(flags.other, "neq", 0), mark),
    ],
  };
}

/** Does what the word says. */
function dispatch(mark: readonly Step[]): ChainText {
  const entries: (readonly [number, Verdict])[] = [
    [verdicts.affinity, { kind: "goto", chain: "affinity" }],
    [verdicts.drop, { kind: "drop" }],
    [verdicts.reject, { kind: "goto", chain: "refuse" }],
  ];
  for (let size = 0; size <= largestSize; size++) entries.push([size, { kind: "goto", chain: pickChain(size) }]);
  return {
    name: "dispatch",
    rules: [
      rule(wordBits(masqueradeMask, "eq", masqueradeMask), mark),
      rule(
        wordBits(masqueradeMask, "neq", 0),
        wordBits(masqueradeMask, "neq", masqueradeMask),
        jump("masquerade-by-client"),
      ),
      rule(maskedPriority(verdictMask), verdictMap(entries)),
      rule(drop, "these rules are replaced this moment"),
    ],
  };
}

function refuse(family: Family): ChainText {
  const portUnreachable = family === "IPv4" ? 3 : 4;
  return {
    name: "refuse",
    rules: [
      rule(words.isProtocol(protocolNumbers.TCP), words.rejectReset),
      rule({ kind: "reject", type: "icmp", code: portUnreachable }),
    ],
  };
}

function pickChain(size: number): string {
  return `pick-${2 ** size}`;
}

function chooseChain(size: number): string {
  return `choose-${2 ** size}`;
}

/** Chains that send the packet to one of the endpoints in the first 2^n slots of its pool. */
function picks(family: Family): readonly ChainText[] {
  const pick = (modulus: number) => rule(withPorts(family), slot(modulus), dnatFromMap("endpoints", family));
  return Array.from({ length: largestSize + 1 }, (_, size) => ({
    name: pickChain(size),
    rules: [rule(keepPool()), ...drawsOf(size).map(pick), rule(drop, "its service went this moment")],
  }));
}

/** Chains that choose an endpoint to remember among the first 2^n slots: its number replaces the word. */
function choices(): readonly ChainText[] {
  const choice = (modulus: number) => rule(priorityFromSlot(modulus, "affinity-slots"), returns);
  return Array.from({ length: largestAffinitySize + 1 }, (_, size) => ({
    name: chooseChain(size),
    rules: [rule(keepPool()), ...drawsOf(size).map(choice), rule(drop, "its service went this moment")],
  }));
}

/** Holds for all protocols of services. nft reads a translation of ports back only in a rule that says so. */
function withPorts(family: Family): readonly Step[] {
  return [...key(["l4proto"], family), inProtocols(protocols.map((protocol) => protocolNumbers[protocol]))];
}

function choose(): ChainText {
  const entries = Array.from(
    { length: largestAffinitySize + 1 },
    (_, size) => [size, { kind: "jump", chain: chooseChain(size) }] as const,
  );
  return {
    name: "choose",
    rules: [
      rule(priorityFromMap(["priority"], "affinity-sizes", "IPv4")),
      rule(maskedPriority(verdictMask), verdictMap(entries)),
    ],
  };
}

/** Session affinity: which timeout the pool has. */
function affinity(affinities: ReadonlySet<number>): ChainText {
  return {
    name: "affinity",
    rules: [rule(keepPool()), ...[...affinities].map(affinityRule), rule(drop, "its service went this moment")],
  };
}

/** The rule of chain `affinity` for one timeout. */
function affinityRule(seconds: number): RuleText {
  return rule(key(["priority"], "IPv4"), inSet(affinityPools(seconds)), goTo(affinityChain(seconds)));
}

/**
 * Session affinity with one timeout. The client's endpoint, if it is remembered, replaces the pool in the word; if that
 * endpoint is gone it is forgotten; then one is chosen and remembered.
 */
function affinityFor(seconds: number, family: Family): ChainText {
  const clients = affinityClients(seconds);
  const addressWords = addressLength(family) / 4;
  const dynset = (op: "update" | "delete"): readonly Step[] => [
    ...key(["saddr"], family),
    ...maskedPriority(poolMask, register(addressWords)),
    { kind: "meta", dreg: register(addressWords + 1), key: "priority" },
    {
      kind: "dynset",
      set: clients,
      op,
      sreg: firstRegister,
      dataReg: register(addressWords + 1),
      ...(op === "update" && { timeout: 1000 * seconds }),
    },
  ];
  const toEndpoint = [...withPorts(family), ...key(["priority"], family), ...dnatFromMap("affinity-endpoints", family)];
  const remembered = wordBits(memberMask, "neq", 0);
  const chooseOne = [
    rule(remembered, dynset("delete"), keepPool(), "the endpoint is gone"),
    rule(jump("choose")),
    rule(dynset("update")),
    rule(toEndpoint),
  ];
  return {
    name: affinityChain(seconds),
    rules: [
      rule(priorityFromMap(["saddr", "priority"], clients, family)),
      rule(remembered, dynset("update"), toEndpoint, "back to the endpoint of before"),
      ...chooseOne,
      // The one that was chosen may have gone this very moment.
      ...chooseOne,
      rule(drop, "its service went this moment"),
    ],
  };
}

function postrouting(family: Family, bit: number): ChainText {
  const translated = words.anyBit(words.field.ctStatus, words.ctStatus.dnat);
  const masquerade = words.masquerade("fully-random");
  return {
    name: "nat-postrouting",
    base: nat("postrouting", priorities.srcnat),
    rules: [
      rule(translated, clearPriority(), "the word has served"),
      rule(words.anyBit(words.field.mark, bit), words.changeMark(0, bit), masquerade),
      rule(
        translated,
        key(["saddr", "daddr"], family),
        inSet("hairpin"),
        masquerade,
        "clients that are their own endpoint",
      ),
    ],
  };
}
