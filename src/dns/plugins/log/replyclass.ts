/** Classes of replies, as plugin log tells them apart. */
import type { Reply } from "../../server/plugin.ts";
import { RCODE, TYPE } from "../../wire/codes.ts";

/** `success`: an answer; `denial`: the name or type does not exist; `error`: everything else. */
export type ReplyClass = "success" | "denial" | "error";

/** What a directive may name. */
export const replyClasses = ["success", "denial", "error", "all"] as const;

/** The class of a reply; a query that was dropped counts as an error. */
export function replyClassOf(reply: Reply): ReplyClass {
  if (reply === undefined) return "error";
  const { rcode, answer, authority } = reply;
  if (rcode === RCODE.NXDOMAIN) return "denial";
  if (rcode !== RCODE.NOERROR) return "error";
  const noData = answer.length === 0 && authority.some(({ type }) => type === TYPE.SOA);
  return noData ? "denial" : "success";
}
