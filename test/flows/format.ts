/** The format of flow files, as README.md says it: parsed strictly, all problems with their places. */
import { globSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { InvalidInputError } from "../../src/config/problems.ts";
import { type EndpointSlice, projectEndpointSlice, serviceNameLabel } from "../../src/kube/objects/endpointslice.ts";
import { type Fields, isFields, Problems } from "../../src/kube/objects/fields.ts";
import type { Projected } from "../../src/kube/objects/resource.ts";
import { projectService, type Service } from "../../src/kube/objects/service.ts";
import type { JsonObject } from "../../src/kube/server/json.ts";
import { parseLabelSelector, selects } from "../../src/kube/server/select/labels.ts";
import { parseYaml, YamlError } from "../../src/kube/yaml.ts";
import { type Address, type Family, families, tryParseAddress } from "../../src/net/address.ts";
import { formatHostPort, isPort, type Protocol, tryParseHostPort, tryParseProtocol } from "../../src/net/protocol.ts";
import type { ModeName } from "../../src/proxy/modes/mode.ts";
import type { DetectLocal } from "../../src/service/detector.ts";
import { type NodePortSelector, tryParseNodePortSelector } from "../../src/service/nodeports.ts";
import { servedLabels } from "../../src/service/policy.ts";
import { nodeZone, type Place, places, ranges } from "./places.ts";

/** A file of flows. */
export interface FlowFile {
  /** The file's name without folder and extension. */
  readonly id: string;
  /** What it shows, a sentence. */
  readonly name: string;
  readonly settings: FlowSettings;
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly rows: readonly Row[];
}

/** How the node under test is configured. */
export interface FlowSettings {
  readonly detectLocal: DetectLocal;
  readonly nodePortAddresses: readonly NodePortSelector[];
  readonly localhostNodePorts: boolean;
  readonly masqueradeAll: boolean;
  readonly masqueradeBit: number;
  readonly allowExternalIPs: boolean;
  readonly zone: string;
  readonly serviceCIDRs: typeof ranges.services;
  readonly families: readonly Family[];
}

/** Where a row's connections go to. */
export interface Target {
  readonly address: Address;
  readonly port: number;
  readonly protocol: Protocol;
}

/** One of the endpoints of a row: a place, and its port if the row names it. */
export interface Reached {
  readonly place: Place;
  readonly port?: number;
}

/** What becomes of a row's connections. */
export type Expected =
  | {
      readonly kind: "reaches";
      readonly endpoints: readonly Reached[];
      readonly masqueraded: boolean;
      /** The label that this row's affinity shares with others. */
      readonly sticky?: string;
    }
  | { readonly kind: "reject" | "drop" | "ignored" };

/** One client, one target: rows with several of them in the file are several here. */
export interface Row {
  readonly from: Place;
  readonly to: Target;
  readonly expected: Expected;
  /** The modes for which it counts; undefined: all. */
  readonly modes?: readonly ModeName[];
  readonly note?: string;
}

/** All flow files of this folder. @throws {InvalidInputError} as {@link parseFlowFile}. */
export function loadFlowFiles(): readonly FlowFile[] {
  return globSync(`${import.meta.dirname}/*.yaml`)
    .sort()
    .map((path) => parseFlowFile(readFileSync(path, "utf8"), basename(path)));
}

/** A row as messages name it: `from outside to 192.0.2.1:30080/tcp`. */
export function describeRow(row: Row): string {
  return `from ${row.from.name} to ${describeTarget(row.to)}`;
}

/** `192.0.2.1:30080/tcp`. */
export function describeTarget(to: Target): string {
  return `${formatHostPort(to.address, to.port)}/${to.protocol.toLowerCase()}`;
}

/** `p1` or `p1:8080`. */
export function describeReached(reached: Reached): string {
  return reached.port === undefined ? reached.place.name : `${reached.place.name}:${reached.port}`;
}

/**
 * Parses a flow file.
 *
 * @param file its name, for errors.
 * @throws {InvalidInputError} with everything that is wrong.
 */
export function parseFlowFile(text: string, file: string): FlowFile {
  const reader = new FlowReader();
  const parsed = reader.read(documentOf(text, file), basename(file, ".yaml"));
  if (reader.problems.length > 0) throw new InvalidInputError(`test/flows/${file}`, reader.problems);
  return parsed;
}

function documentOf(text: string, file: string): unknown {
  try {
    const [document, ...more] = parseYaml(text);
    if (document === undefined || more.length > 0) throw new InvalidInputError(file, ["must be one YAML document"]);
    return document.value;
  } catch (error) {
    if (error instanceof YamlError) throw new InvalidInputError(file, [`line ${error.line}: ${error.message}`]);
    throw error;
  }
}

const modeNames: readonly ModeName[] = ["nftables", "iptables", "ipvs", "userspace", "ebpf", "kernelspace"];
const kept = ["kept", "masqueraded"] as const;
const outcomes = ["reject", "drop", "ignored"] as const;

/** Reads one file; problems are collected. */
class FlowReader {
  readonly problems: string[] = [];

  read(raw: unknown, id: string): FlowFile {
    const root = this.#fields("", raw, ["name", "settings", "objects", "backends", "flows"]);
    const name = this.#with((p) => p.text("name", root.name));
    if (name === "") this.problems.push("name: Required value: a sentence");
    const services: Service[] = [];
    const slices: EndpointSlice[] = [];
    for (const [i, object] of this.#list("objects", root.objects).entries()) {
      this.#object(`objects[${i}]`, object, services, slices);
    }
    for (const [i, backend] of this.#list("backends", root.backends).entries()) {
      slices.push(...this.#backend(`backends[${i}]`, backend, i, services));
    }
    const rows = this.#list("flows", root.flows).flatMap((row, i) => this.#rows(`flows[${i}]`, row));
    if (rows.length === 0) this.problems.push("flows: Required value: at least one row");
    return { id, name, settings: this.#settings(root.settings), services, slices, rows };
  }

  #settings(raw: unknown): FlowSettings {
    const fields = this.#fields("settings", raw, [
      "detectLocal",
      "nodePortAddresses",
      "localhostNodePorts",
      "masqueradeAll",
      "masqueradeBit",
      "allowExternalIPs",
      "zone",
      "serviceCIDRs",
      "families",
    ]);
    const detectLocal = this.#detectLocal(fields.detectLocal);
    return this.#with((p) => ({
      detectLocal,
      nodePortAddresses: p.each("settings.nodePortAddresses", fields.nodePortAddresses ?? ["all"], (path, item) => {
        const selector = tryParseNodePortSelector(String(item));
        if (selector === undefined) p.invalid(path, item, "must be a prefix, primary, localhost or all");
        return selector;
      }),
      localhostNodePorts: p.flag("settings.localhostNodePorts", fields.localhostNodePorts, false),
      masqueradeAll: p.flag("settings.masqueradeAll", fields.masqueradeAll, false),
      masqueradeBit: p.integer("settings.masqueradeBit", fields.masqueradeBit, 0, 31, 14),
      allowExternalIPs: p.flag("settings.allowExternalIPs", fields.allowExternalIPs, true),
      zone: p.text("settings.zone", fields.zone ?? nodeZone),
      serviceCIDRs: p.each("settings.serviceCIDRs", fields.serviceCIDRs, (path, item) => p.prefix(path, item)),
      families: p.each("settings.families", fields.families ?? families, (path, item) =>
        p.oneOf(path, item, families, "IPv4"),
      ),
    }));
  }

  #detectLocal(raw: unknown): DetectLocal {
    const at = "settings.detectLocal";
    const fields = this.#fields(at, raw, ["mode", "clusterCIDRs", "bridge", "prefix"]);
    return this.#with((p): DetectLocal => {
      const modes = ["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"] as const;
      const mode = p.oneOf(`${at}.mode`, fields.mode, modes, "ClusterCIDR");
      const allowed = {
        ClusterCIDR: "clusterCIDRs",
        NodeCIDR: "",
        BridgeInterface: "bridge",
        InterfaceNamePrefix: "prefix",
      };
      for (const key of Object.keys(fields)) {
        if (key !== "mode" && key !== allowed[mode])
          p.invalid(`${at}.${key}`, fields[key], `means nothing with ${mode}`);
      }
      const word = (key: string) => {
        const text = p.text(`${at}.${key}`, fields[key]);
        if (text === "") p.required(`${at}.${key}`, `mode ${mode} needs it`);
        return text;
      };
      switch (mode) {
        case "ClusterCIDR": {
          const prefixes = fields.clusterCIDRs ?? ranges.cluster;
          return { mode, clusterCIDRs: p.each(`${at}.clusterCIDRs`, prefixes, (path, item) => p.prefix(path, item)) };
        }
        case "NodeCIDR":
          return { mode };
        case "BridgeInterface":
          return { mode, bridge: word("bridge") };
        case "InterfaceNamePrefix":
          return { mode, prefix: word("prefix") };
      }
    });
  }

  #object(path: string, raw: unknown, services: Service[], slices: EndpointSlice[]): void {
    const { kind, metadata } = this.#with((p) => p.fields(path, raw));
    if (!isServed(metadata)) return;
    if (kind === "Service") services.push(...this.#projected(path, projectService(raw)));
    else if (kind === "EndpointSlice") slices.push(...this.#projected(path, projectEndpointSlice(raw)));
    else
      this.problems.push(`${path}.kind: Unsupported value: ${JSON.stringify(kind)}: supported: Service, EndpointSlice`);
  }

  #projected<T>(path: string, projected: Projected<T>): T[] {
    if (projected.outcome === "object") return [projected.object];
    const problems = projected.outcome === "ignored" ? ["addressType: is ignored"] : projected.problems;
    this.problems.push(...problems.map((problem) => `${path}.${problem}`));
    return [];
  }

  /** Makes one raw EndpointSlice for each family that the Service has an address of, and projects them. */
  #backend(path: string, raw: unknown, index: number, services: readonly Service[]): readonly EndpointSlice[] {
    const fields = this.#fields(path, raw, ["service", "ports", "endpoints", "families"]);
    const key = this.#with((p) => p.text(`${path}.service`, fields.service));
    const [namespace = "", name = ""] = key.split("/");
    if (!services.some((service) => service.namespace === namespace && service.name === name)) {
      this.problems.push(
        `${path}.service: Invalid value: ${JSON.stringify(key)}: must be namespace/name of a Service above`,
      );
      return [];
    }
    const members = this.#list(`${path}.endpoints`, fields.endpoints).map((item, i) =>
      this.#member(`${path}.endpoints[${i}]`, item),
    );
    const wanted = this.#with((p) =>
      p.each(`${path}.families`, fields.families ?? families, (at, item) => p.oneOf(at, item, families, "IPv4")),
    );
    return wanted.flatMap((family) =>
      this.#projected(
        path,
        projectEndpointSlice({
          metadata: {
            namespace,
            name: `${name}-${index}-${family.toLowerCase()}`,
            labels: { [serviceNameLabel]: name },
          },
          addressType: family,
          ports: fields.ports,
          endpoints: members.flatMap((make) => make?.(family) ?? []),
        }),
      ),
    );
  }

  #member(path: string, raw: unknown): ((family: Family) => Fields) | undefined {
    const fields =
      typeof raw === "string"
        ? { at: raw }
        : this.#fields(path, raw, ["at", "ready", "serving", "terminating", "zones", "nodes", "nodeName"]);
    const place = this.#place(typeof raw === "string" ? path : `${path}.at`, fields.at);
    if (place === undefined) return undefined;
    const { ready, serving, terminating, zones, nodes, nodeName } = fields as Fields;
    const names = (values: unknown) => Array.isArray(values) && values.map((value) => ({ name: value }));
    return (family) => ({
      addresses: [place[family]],
      conditions: { ready, serving, terminating },
      nodeName: nodeName ?? (place.nodeName === "" ? undefined : place.nodeName),
      ...((zones ?? nodes) !== undefined && {
        hints: {
          ...(zones !== undefined && { forZones: names(zones) || zones }),
          ...(nodes !== undefined && { forNodes: names(nodes) || nodes }),
        },
      }),
    });
  }

  #rows(path: string, raw: unknown): readonly Row[] {
    const fields = this.#fields(path, raw, ["from", "to", "reaches", "source", "outcome", "sticky", "modes", "note"]);
    const expected = this.#expected(path, fields);
    const { modes, note } = this.#with((p) => ({
      modes:
        fields.modes === undefined
          ? undefined
          : p.each(`${path}.modes`, fields.modes, (at, item) => p.oneOf(at, item, modeNames, "nftables")),
      note: p.text(`${path}.note`, fields.note),
    }));
    const clients = oneOrMore(fields.from).map((name, i) => this.#place(`${path}.from[${i}]`, name));
    const targets = oneOrMore(fields.to).map((text, i) => this.#target(`${path}.to[${i}]`, text));
    const rows: Row[] = [];
    for (const from of clients) {
      for (const to of targets) {
        if (from === undefined || to === undefined || expected === undefined) continue;
        rows.push({ from, to, expected, ...(modes && { modes }), ...(note !== "" && { note }) });
      }
    }
    return rows;
  }

  #expected(path: string, fields: Fields): Expected | undefined {
    if ((fields.reaches === undefined) === (fields.outcome === undefined)) {
      this.problems.push(`${path}: must have either reaches or outcome`);
      return undefined;
    }
    if (fields.outcome !== undefined) {
      for (const key of ["source", "sticky"]) {
        if (fields[key] !== undefined) this.problems.push(`${path}.${key}: means nothing with outcome`);
      }
      return this.#with((p) => ({ kind: p.oneOf(`${path}.outcome`, fields.outcome, outcomes, "drop") }));
    }
    const endpoints = this.#list(`${path}.reaches`, fields.reaches).map((item, i): Reached | undefined => {
      const at = `${path}.reaches[${i}]`;
      const [name, port] = String(item).split(":");
      const place = this.#place(at, name);
      if (port !== undefined && !isPort(Number(port))) this.problems.push(`${at}: ${port} is not a port`);
      return place && (port === undefined ? { place } : { place, port: Number(port) });
    });
    if (endpoints.length === 0) this.problems.push(`${path}.reaches: Required value: at least one endpoint`);
    if (fields.source === undefined) this.problems.push(`${path}.source: Required value: kept or masqueraded`);
    return this.#with((p) => {
      const source = p.oneOf(`${path}.source`, fields.source, kept, "kept");
      const sticky = p.text(`${path}.sticky`, fields.sticky);
      return {
        kind: "reaches",
        endpoints: endpoints.filter((endpoint) => endpoint !== undefined),
        masqueraded: source === "masqueraded",
        ...(sticky !== "" && { sticky }),
      };
    });
  }

  #place(path: string, name: unknown): Place | undefined {
    const place = typeof name === "string" ? places.get(name) : undefined;
    if (place === undefined) {
      this.problems.push(
        `${path}: Invalid value: ${JSON.stringify(name)}: must be one of ${[...places.keys()].join(", ")}`,
      );
    }
    return place;
  }

  #target(path: string, raw: unknown): Target | undefined {
    const [, hostPort = "", protocolName = ""] = /^(.*)\/(tcp|udp|sctp)$/.exec(String(raw)) ?? [];
    const { host = "", port } = tryParseHostPort(hostPort) ?? {};
    const address = tryParseAddress(host);
    const protocol = tryParseProtocol(protocolName);
    if (address === undefined || protocol === undefined || !isPort(port)) {
      this.problems.push(
        `${path}: Invalid value: ${JSON.stringify(raw)}: must be like 10.96.0.1:80/tcp or [fd00:96::1]:53/udp`,
      );
      return undefined;
    }
    return { address, port, protocol };
  }

  /** An object of these fields and no others. */
  #fields(path: string, raw: unknown, known: readonly string[]): Fields {
    const fields = this.#with((p) => p.fields(path === "" ? "file" : path, raw));
    for (const key of Object.keys(fields)) {
      if (known.includes(key)) continue;
      this.problems.push(`${path === "" ? "" : `${path}.`}${key}: Unknown field: there are ${known.join(", ")}`);
    }
    return fields;
  }

  #list(path: string, raw: unknown): readonly unknown[] {
    return this.#with((p) => p.list(path, raw));
  }

  /** Reads with the readers of API objects, and keeps their problems. */
  #with<T>(read: (problems: Problems) => T): T {
    const problems = new Problems();
    const value = read(problems);
    const result = problems.result(() => value);
    if (result.outcome === "invalid") this.problems.push(...result.problems);
    return value;
  }
}

const served = parseLabelSelector(servedLabels);

/** Whether a proxy's watch delivers an object with this metadata at all. */
function isServed(metadata: unknown): boolean {
  const labels = isFields(metadata) && isFields(metadata.labels) ? metadata.labels : {};
  return selects(served, labels as JsonObject);
}

function oneOrMore(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}
