/** What looks at the packets of links outside of netfilter: filters of tc, and programs of drivers (XDP), over rtnetlink. */
import type { MessageReader, NetlinkSocket, NetlinkWriter } from "../netlink/index.ts";
import { messageType } from "./constants.ts";

/** A filter of tc at a link's hook. */
export interface TrafficFilter {
  /** The interface's index. */
  readonly interface: number;
  readonly hook: "ingress" | "egress";
  /** What decides: `bpf`, `flower`, `u32`, `matchall`. */
  readonly kind: string;
  /** The name of the object file and section that a `bpf` filter was loaded from, or of the program. */
  readonly name?: string;
}

/** The program that sees what a link receives before all others. */
export interface DriverProgram {
  /** The interface's index. */
  readonly interface: number;
  /** The program's id. */
  readonly program: number;
}

/** Bytes of `struct tcmsg` and `struct ifinfomsg`. */
const trafficHeader = 20;
const linkHeader = 16;
/** `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)` and `..._EGRESS`. */
const parents = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
/** `TCA_KIND`, `TCA_OPTIONS`, `TCA_BPF_NAME`. */
const trafficAttribute = { kind: 1, options: 2 } as const;
const bpfName = 7;
/** `IFLA_XDP`, and `IFLA_XDP_PROG_ID` within. */
const xdpAttribute = 43;
const xdpProgramId = 4;

/** The filters at the hooks `ingress` and `egress` of all links of the socket's namespace, each named once. */
export function listTrafficFilters(socket: NetlinkSocket): readonly TrafficFilter[] {
  // Only links with one of these disciplines have such hooks.
  const hooked = socket.dump("list queueing disciplines", messageType.getDiscipline, tcmsg(0, 0), (message) => {
    const kind = kindOf(message);
    return kind === "clsact" || kind === "ingress" ? { index: message.i32(4), kind } : undefined;
  });
  const found = hooked.flatMap(({ index, kind }) =>
    (kind === "clsact" ? (["ingress", "egress"] as const) : (["ingress"] as const)).flatMap((hook) =>
      socket.dump("list filters", messageType.getFilter, tcmsg(index, parents[hook]), (message): TrafficFilter => {
        const name = programOf(message);
        return {
          interface: index,
          hook,
          kind: kindOf(message) ?? "filter",
          ...(name !== undefined && { name }),
        };
      }),
    ),
  );
  // The kernel names a filter's kind once for itself, without a name, and once for each of its rules.
  const named = new Set(found.flatMap((each) => (each.name === undefined ? [] : [placeOf(each)])));
  const kept = found.filter((each) => each.name !== undefined || !named.has(placeOf(each)));
  return [...new Map(kept.map((each) => [`${placeOf(each)} ${each.name}`, each])).values()];
}

const placeOf = ({ interface: index, hook, kind }: TrafficFilter) => `${index} ${hook} ${kind}`;

/** The drivers' programs of the socket's namespace. */
export function listDriverPrograms(socket: NetlinkSocket): readonly DriverProgram[] {
  const write = (writer: NetlinkWriter) => writer.bytes(new Uint8Array(linkHeader));
  return socket.dump("list links' programs", messageType.getLink, write, (message) => {
    for (const attribute = message.attributes(linkHeader); attribute.next(); ) {
      if (attribute.type !== xdpAttribute) continue;
      for (const xdp = attribute.nested(); xdp.next(); ) {
        if (xdp.type === xdpProgramId) return { interface: message.i32(4), program: xdp.u32() };
      }
    }
    return undefined;
  });
}

/** `struct tcmsg`. */
function tcmsg(index: number, parent: number): (writer: NetlinkWriter) => void {
  return (writer) => {
    for (const field of [0, index, 0, parent, 0]) writer.u32(field);
  };
}

function kindOf(message: MessageReader): string | undefined {
  for (const attribute = message.attributes(trafficHeader); attribute.next(); ) {
    if (attribute.type === trafficAttribute.kind) return attribute.string();
  }
  return undefined;
}

function programOf(message: MessageReader): string | undefined {
  for (const attribute = message.attributes(trafficHeader); attribute.next(); ) {
    if (attribute.type !== trafficAttribute.options) continue;
    for (const option = attribute.nested(); option.next(); ) {
      if (option.type === bpfName && kindOf(message) === "bpf") return option.string();
    }
  }
  return undefined;
}
