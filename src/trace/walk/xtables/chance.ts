/**
 * Matches on what a snapshot cannot tell: chance, rates, the time, what a packet carries. They are said
 * in words, and both ways are followed (`linux/netfilter/xt_*.h`).
 */
import { depends, known, type Match, type Matches, textAt } from "./match.ts";

const statistic: Match = {
  length: 8,
  read(info) {
    const inverted = (info.getUint16(2, true) & 1) !== 0;
    const random = info.getUint16(0, true) === 0;
    const every = info.getUint32(4, true);
    const share = random ? every / 2 ** 31 : 1 / (every + 1);
    const text = random ? "drawn at random" : `${inverted ? "not " : ""}the one of ${every + 1} packets`;
    return { kind: "random", probability: inverted ? 1 - share : share, text };
  },
};

const limit: Match = {
  length: 8,
  read(info) {
    // Tenths of milliseconds between two packets (`XT_LIMIT_SCALE`).
    const average = info.getUint32(0, true);
    const rate = average === 0 ? "" : ` of ${Math.round((10_000 / average) * 100) / 100} packets a second`;
    return depends(`the limit${rate} is not exceeded`);
  },
};

const hashlimit = (nameLength: number, modeAt: number): Match => ({
  length: modeAt + 4,
  read(info) {
    const over = (info.getUint32(modeAt, true) & 0x10) !== 0;
    return depends(`the limit ${textAt(info, 0, nameLength)} is ${over ? "" : "not "}exceeded`);
  },
});

const connlimit: Match = {
  length: 24,
  read(info) {
    const [count, flags] = [info.getUint32(16, true), info.getUint32(20, true)];
    const who = (flags & 2) !== 0 ? "destination" : "source";
    return depends(`the ${who} has ${(flags & 1) !== 0 ? "at most" : "more than"} ${count} connections`);
  },
};

const quota: Match = {
  length: 16,
  read(info) {
    const inverted = (info.getUint32(0, true) & 1) !== 0;
    return depends(`the quota of ${info.getBigUint64(8, true)} bytes is ${inverted ? "" : "not "}used up`);
  },
};

const string: Match = {
  length: 150,
  read(info) {
    const pattern = Array.from({ length: Math.min(128, info.getUint8(148)) }, (_, i) => info.getUint8(20 + i));
    const inverted = (info.getUint8(149) & 1) !== 0;
    const shown = JSON.stringify(String.fromCharCode(...pattern));
    return depends(`the packet ${inverted ? "does not contain" : "contains"} ${shown}`);
  },
};

/** A match of which no more is said than what it is about. */
const said = (text: string): Match => ({ length: 0, read: () => depends(text) });

/** These matches. */
export const chanceMatches: Matches = {
  "comment 0": { length: 0, read: () => known(true, "comment") },
  "nfacct 0": { length: 0, read: () => known(true, "it is counted") },
  "nfacct 1": { length: 0, read: () => known(true, "it is counted") },
  "statistic 0": statistic,
  "limit 0": limit,
  "hashlimit 1": hashlimit(16, 16),
  "hashlimit 2": hashlimit(255, 272),
  "hashlimit 3": hashlimit(255, 272),
  "connlimit 1": connlimit,
  "quota 0": quota,
  "string 0": string,
  "string 1": string,
  "bpf 0": said("a BPF program takes the packet"),
  "bpf 1": said("a BPF program takes the packet"),
  "time 0": said("it is the time that the rule wants"),
  "cpu 0": said("the CPU is the rule's"),
  "connbytes 0": said("the connection has carried what the rule wants"),
  "connlabel 0": said("the connection has the rule's label"),
  "cluster 0": said("the connection is for this node of the cluster"),
  "rateest 0": said("the rate is as the rule wants it"),
  "osf 0": said("the sender's operating system is the rule's"),
  "policy 0": said("the packet's IPsec policy is the rule's"),
  "realm 0": said("the route's realm is the rule's"),
  "devgroup 0": said("the interface's group is the rule's"),
  "eui64 0": said("the source is made of the hardware address"),
  "tcpmss 0": said("the packet's MSS is as the rule wants it"),
  "ipv6header 0": said("the packet has the headers that the rule wants"),
};
