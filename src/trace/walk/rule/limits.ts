/** Limits, quotas and objects: what depends on the packets that came before. */
import type { Expression } from "../../../kernel/nftables/index.ts";
import { type Context, decide, depends, go, lost, type Next, type Thread } from "./thread.ts";

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
      return expression.type === "synproxy" ? lost(thread, "synproxy answers for the server") : go(thread);
    }
    case "objref map":
      return depends(thread, `map ${expression.set} has an object for it that lets it pass`);
  }
}
