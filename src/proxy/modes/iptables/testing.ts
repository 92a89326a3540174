/** Short ways to decisions and contexts, for tests. */

import type { Family } from "../../../net/address.ts";
import { parsePrefix } from "../../../net/prefix.ts";
import type { Decision } from "../../../service/decision.ts";
import { decide, type PolicyContext } from "../../../service/policy.ts";
import type { LocalDetector, NodePortAddresses } from "../../../service/settings.ts";
import { here, type ServiceChange, service, slice } from "../../../service/testing.ts";
import { type Context, contextOf, type Machine } from "./context.ts";

/** The only decision of `shop/web` with changes and endpoints as `slice` takes them. */
export function decisionOf(
  change: ServiceChange,
  endpoints: readonly string[],
  context: PolicyContext = here,
): Decision {
  const [decision] = decide(service(change), endpoints.length === 0 ? [] : [slice(endpoints)], context);
  if (decision === undefined) throw new Error("there is no decision");
  return decision;
}

/** What a test's context has other than pods in 10.244.0.0/16, node ports everywhere but loopback, no counters. */
export interface ContextChange extends Partial<Machine> {
  readonly family?: Family;
  readonly detector?: LocalDetector;
  readonly nodePortAddresses?: NodePortAddresses;
}

/** A context of one family. */
export function context(change: ContextChange = {}): Context {
  const { family = "IPv4", detector, nodePortAddresses, ...machine } = change;
  const own = {
    detector: detector ?? { kind: "prefixes", prefixes: [parsePrefix("10.244.0.0/16")] },
    nodePortAddresses: nodePortAddresses ?? { kind: "all", loopback: false },
    serviceCIDRs: [],
  } as const;
  const settings = { masqueradeBit: 14, families: { [family]: own } };
  return contextOf(settings, family, { dropInvalid: true, counters: new Set(), ...machine });
}

/** The result of a generator that only yields to let others work. */
export function finish<Result>(work: Generator<undefined, Result>): Result {
  let step = work.next();
  while (step.done !== true) step = work.next();
  return step.value;
}
