/** Limits, quotas and objects: what depends on the packets that came before. */
import type { Expression, ObjrefMap } from "../../../kernel/nftables/index.ts";
import { show } from "../compute.ts";
import { runSynproxy } from "./synproxy.ts";
import { type Context, decide, depends, go, lost, miss, type Next, type Thread } from "./thread.ts";

/** An expression with a state of its own. */
export type Limiting = Extract<Expression, { kind: "quota" | "limit" | "connlimit" | "objref" | "objref map" }>;

/** Asks a limit. */
export function runLimit(expression: Limiting, thread: Thread, context: Context): readonly Next[] {
  switch (expression.kind) {
    case "quota": {
      const over = (expression.consumed ?? 0) >= expression.bytes;
      return decide(
        thread,
        over === (expression.inverted ?? false),
        () => `the quota of ${expression.bytes} bytes is ${expression.inverted ? "" : "not "}used up`,
      );
    }
    case "limit":
      return depends(
        thread,
        `the limit of ${expression.rate} each ${expression.unit} s is ${expression.inverted ? "" : "not "}exceeded`,
      );
    case "connlimit":
      return depends(
        thread,
        `there are ${expression.inverted ? "more than" : "at most"} ${expression.count} connections`,
      );
    case "objref": {
      const object = context.world.object(context.rule, expression.type, expression.name);
      if (expression.type === "quota" || expression.type === "limit" || expression.type === "connlimit") {
        if (object?.state.kind === "quota") return runLimit(object.state, thread, context);
        return depends(thread, `${expression.type} ${expression.name} lets it pass`);
      }
      return expression.type === "synproxy" ? runSynproxy(thread) : go(thread);
    }
    case "objref map":
      return throughMap(expression, thread, context);
  }
}

/** The object that a map has for a key, if it has one. */
function throughMap({ set, sreg }: ObjrefMap, thread: Thread, context: Context): readonly Next[] {
  const index = context.world.set(context.rule, set);
  if (index === undefined) return lost(thread, `there is no map ${set}`);
  const { data } = index.set;
  const key = thread.registers.get(sreg, index.set.key.length);
  const found = thread.state.touched.includes(set) ? undefined : index.find(key);
  if (found?.kind === "none") return miss(thread, `${show(key.data)} is not in map ${set}`);
  const name = found?.kind === "element" ? found.element.object : undefined;
  if (name === undefined || data?.kind !== "object") {
    return depends(thread, `map ${set} has an object for it that lets it pass`);
  }
  return runLimit({ kind: "objref", type: data.type, name }, thread, context);
}
