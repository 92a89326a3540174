/** From a flow file to what a mode has to do on the node under test. */

import type { Desired, ModeName } from "../../src/proxy/modes/mode.ts";
import { resolve } from "../../src/service/resolve.ts";
import { defaultIpvsSettings } from "../../src/service/settings.ts";
import { ServiceState } from "../../src/service/state.ts";
import type { FlowFile } from "./format.ts";
import { nodeAddresses, nodeName, ranges } from "./places.ts";

/** What `mode` gets for `Mode.replace`. It depends on the mode, since modes differ in node ports on loopback. */
export function desiredOf(file: FlowFile, mode: ModeName): Desired {
  const { zone, serviceCIDRs, families, ...options } = file.settings;
  const { context, settings } = resolve(
    // Round robin is exact: rows that are tried in turn would each see the same endpoint again and again. The hash of
    // the client's port is as good as chance.
    { mode, ...options, ...(mode === "ipvs" && { ipvs: { ...defaultIpvsSettings, scheduler: "mh" } }) },
    {
      name: nodeName,
      zone,
      families,
      addresses: { node: nodeAddresses.eth0.slice(0, 2), local: Object.values(nodeAddresses).flat() },
      podCIDRs: ranges.node,
      serviceCIDRs,
    },
  );
  const state = new ServiceState(context);
  for (const object of [...file.services, ...file.slices]) state.apply({ type: "upsert", object });
  state.takeChanges();
  return { settings, decisions: state.decisions };
}
