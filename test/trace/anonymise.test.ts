/** Walks through snapshots whose addresses and names are replaced end as before. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { anonymise, Mapping, replaceAddress } from "../../src/trace/anonymise/index.ts";
import { formatSnapshot, parseSnapshot, type Snapshot } from "../../src/trace/snapshot/index.ts";
import { type Ended, type Question, type Walk, walk } from "../../src/trace/walk/index.ts";
import { Arena } from "./arena.ts";
import { Random, randomShots, randomTables } from "./grammar.ts";
import { randomIptables } from "./iptables.ts";
import { lockOfOurOwn } from "./support.ts";

lockOfOurOwn();
const arena = new Arena("anon");
after(() => arena[Symbol.dispose]());

/** How a way ends, apart from names and what is said in words. */
function ending({ state, outcome }: Ended, mapping?: Mapping): string {
  const { packet, probability, assumptions } = state;
  const seen = (address: typeof packet.source) => (mapping === undefined ? address : replaceAddress(address, mapping));
  const gateway = "gateway" in outcome && outcome.gateway !== undefined ? [seen(outcome.gateway)] : [];
  const by = "by" in outcome ? outcome.by.replace(/^.* rule /, "") : "";
  return JSON.stringify([
    outcome.kind,
    seen(packet.source),
    seen(packet.destination),
    packet.destinationPort,
    packet.mark,
    gateway,
    by.startsWith("policy") ? "policy" : by,
    probability.toFixed(6),
    assumptions.length,
  ]);
}

const endings = ({ ends }: Walk, mapping?: Mapping) => ends.map((end) => ending(end, mapping)).sort();

/** @returns how many walks were compared. */
function compare(snapshot: Snapshot, random: Random, what: string): number {
  const mapping = new Mapping(Buffer.from(`secret ${what}`));
  const { snapshot: strange, unfaithful } = anonymise(snapshot, mapping);
  const read = parseSnapshot(formatSnapshot(strange), "file");
  assert.deepEqual(
    unfaithful.filter((each) => !/iprange|unknown/.test(each)),
    [],
    what,
  );
  const text = JSON.stringify(JSON.parse(formatSnapshot(strange)));
  assert.doesNotMatch(text, /10\.2\.0\.[23]\b|203\.0\.113|fd02::[23]\b|a rule \d|leaf1|MIDDLE/);
  let compared = 0;
  for (const { to, protocol, port, from } of randomShots(random, arena, 20)) {
    const question = (source: typeof to | undefined, destination: typeof to): Question => ({
      ...(from !== undefined && { input: from.input }),
      packet: {
        family: destination.includes(":") ? "IPv6" : "IPv4",
        ...(source !== undefined && { source }),
        destination,
        protocol: { TCP: 6, UDP: 17, ICMP: destination.includes(":") ? 58 : 1 }[protocol],
        ...(protocol === "ICMP"
          ? { icmpType: destination.includes(":") ? 128 : 8 }
          : { sourcePort: 33_333, destinationPort: port }),
      },
    });
    const source = from === undefined ? undefined : replaceAddress(from.address, mapping);
    const before = walk(snapshot, question(from?.address, to));
    const then = walk(read, question(source, replaceAddress(to, mapping)));
    assert.deepEqual(
      endings(then),
      endings(before, mapping),
      `${what}: ${protocol} ${from?.address ?? "node"} to ${to}:${port}`,
    );
    compared++;
  }
  return compared;
}

test("rules of nf_tables at random: the same outcome, with other addresses and names", async () => {
  let compared = 0;
  for (let i = 0; i < 4; i++) {
    const random = new Random(77_000 + i);
    arena.load(randomTables(random));
    compared += compare(await arena.snapshot(), random, `rule set ${i}`);
  }
  assert.equal(compared, 80);
});

/** Ranges over several networks, which iptables' structures cannot hold once they are replaced. */
function withoutRanges(text: string): string {
  return text.replaceAll(/^.*iprange.*\n/gm, "");
}

for (const variant of ["nft", "legacy"] as const) {
  test(`rules of iptables-${variant} at random: the same outcome, with other addresses and names`, async () => {
    let compared = 0;
    for (let i = 0; i < 3; i++) {
      const random = new Random(78_000 + i);
      arena.silence();
      arena.restore("iptables", variant, withoutRanges(randomIptables(random, "ip")));
      arena.restore("ip6tables", variant, withoutRanges(randomIptables(random, "ip6")));
      compared += compare(await arena.snapshot(), random, `rule set ${i}`);
    }
    assert.equal(compared, 60);
  });
}
