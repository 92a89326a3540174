import { chains as names } from "../../proxy/modes/iptables/names.ts";
import { titleOf } from "../chains.ts";
import { type Check, command } from "../finding.ts";

/** Packets of the tunnel that inherit the mark of what they carry. */
export const doubleMasquerade: Check = {
  name: "double-masquerade",
  about:
    "Whether the proxy takes its mark off before it masquerades, where a VXLAN carries the packet on: the tunnel's packet inherits the mark.",
  seen: ["kubernetes/kubernetes#88986", "kubernetes/kubernetes#92035", "flannel-io/flannel#1282"],
  run({ chains, snapshot }) {
    const tunnel = snapshot.links.find(({ kind, up }) => kind === "vxlan" && up);
    if (tunnel === undefined) return [];
    return chains
      .filter(({ table, name, size }) => table === "nat" && name === names.postrouting && size > 0)
      .filter(({ rules }) => rules.every(({ mark }) => mark === undefined))
      .map((chain) => ({
        severity: "warning" as const,
        subject: titleOf(chain),
        message: `${titleOf(chain)}, masquerades packets and leaves their mark on: over ${tunnel.name} the tunnel's own packets have it, too, and are masqueraded once more. With --random-fully and the kernel's checksum offload their checksums come out wrong, and connections to Services wait 63 s.`,
        remedy: "kube-proxy and kubelet 1.19 or newer, which take the mark off; until then, no checksum offload",
        run: [command`ethtool -K ${tunnel.name} tx-checksum-ip-generic off`],
      }));
  },
};
