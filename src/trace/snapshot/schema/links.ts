/** Interfaces, their addresses, neighbours and forwarding databases. */
import { address, byKind, flag, list, maybe, object, oneOf, whole } from "../shape.ts";
import { mac, million, name, u8, u16, u32 } from "./values.ts";

const state = oneOf("incomplete", "reachable", "stale", "delay", "probe", "failed", "noArp", "permanent", "none");
const link = object({
  index: u32,
  name,
  kind: maybe(name),
  hardware: u16,
  loopback: flag,
  up: flag,
  running: flag,
  noArp: flag,
  promiscuous: maybe(flag),
  operState: oneOf("unknown", "notPresent", "down", "lowerLayerDown", "testing", "dormant", "up"),
  mtu: u32,
  mac: maybe(mac),
  master: maybe(u32),
  link: maybe(u32),
  linkNamespace: maybe(whole(-0x8000_0000, 0x7fff_ffff)),
  alias: maybe(name),
  details: maybe(
    byKind({
      vxlan: { id: u32, port: u16, local: maybe(address), group: maybe(address), device: maybe(u32), learning: flag },
      ipip: { local: maybe(address), remote: maybe(address) },
      bridge: { stp: flag, vlanFiltering: flag },
      vlan: { id: u16 },
      bond: { active: maybe(u32) },
      macvlan: { mode: oneOf("private", "vepa", "bridge", "passthru", "source") },
    }),
  ),
  port: maybe(object({ state: u8, hairpin: flag, learning: flag, flood: flag })),
});
const interfaceAddress = object({
  interface: u32,
  address,
  prefixLength: whole(0, 128),
  peer: maybe(address),
  broadcast: maybe(address),
  label: maybe(name),
  scope: u8,
  secondary: flag,
  tentative: flag,
  duplicate: flag,
  deprecated: flag,
  permanent: flag,
});

export const links = list(link);
export const addresses = list(interfaceAddress, million);
export const neighbours = list(object({ interface: u32, address, mac: maybe(mac), state, router: flag }), million);
export const fdb = list(
  object({
    interface: u32,
    mac,
    bridge: maybe(u32),
    destination: maybe(address),
    port: maybe(u16),
    vni: maybe(u32),
    vlan: maybe(u16),
    state,
    externallyLearned: flag,
  }),
  million,
);
