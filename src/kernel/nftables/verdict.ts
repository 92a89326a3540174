/** Verdicts as attributes (`NFTA_VERDICT_*`). */
import type { AttributeReader } from "../netlink/reader.ts";
import type { NetlinkWriter } from "../netlink/writer.ts";
import type { Verdict } from "./types.ts";

const codes = {
  drop: 0,
  accept: 1,
  stolen: 2,
  queue: 3,
  repeat: 4,
  stop: 5,
  continue: -1,
  break: -2,
  jump: -3,
  goto: -4,
  return: -5,
} as const;

const kinds = new Map(Object.entries(codes).map(([kind, code]) => [code as number, kind as Verdict["kind"]]));

/** Writes the attributes of a verdict. */
export function encodeVerdict(writer: NetlinkWriter, verdict: Verdict): void {
  const code = codes[verdict.kind];
  // The queue's number is in the upper half (`NF_QUEUE_NR`).
  writer.attributeU32BE(1, verdict.kind === "queue" ? code | (verdict.queue << 16) : code);
  if (verdict.kind === "jump" || verdict.kind === "goto") writer.attributeString(2, verdict.chain);
}

/** Reads the attributes of a verdict. @returns undefined for one of an unknown kind. */
export function decodeVerdict(attributes: AttributeReader): Verdict | undefined {
  let code: number | undefined;
  let chain: string | undefined;
  while (attributes.next()) {
    if (attributes.type === 1) code = attributes.i32BE();
    else if (attributes.type === 2) chain = attributes.string();
  }
  if (code === undefined) return undefined;
  if (code > 0 && (code & 0xff) === codes.queue) return { kind: "queue", queue: code >>> 16 };
  const kind = kinds.get(code);
  if (kind === undefined || kind === "queue") return undefined;
  if (kind !== "jump" && kind !== "goto") return { kind };
  return chain === undefined ? undefined : { kind, chain };
}

/** A verdict as `nft` writes it, such as `jump services`. */
export function formatVerdict(verdict: Verdict): string {
  if (verdict.kind === "jump" || verdict.kind === "goto") return `${verdict.kind} ${verdict.chain}`;
  return verdict.kind === "queue" ? `queue to ${verdict.queue}` : verdict.kind;
}
